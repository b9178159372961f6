"""Every convolution of the model, with what follows it, as one implicit GEMM on channels-last audio.

    x [B, T, CI], weight [CO, KW, CI]:
    y[o, n] = bias[n] + sum over tap, c of x[o STRIDE - PAD + tap DIL, c] weight[n, tap, c]

    GEMM rows o, columns n, inner index (tap, c):          x positions of row o, taps 0 1 2, DIL 3
                                                            |--o STRIDE - PAD--^..^..^

Positions outside the row's interval are zero: a load mask. Then y gains `skip`, and s = snake(y), gelu(y) or elu(y) is
written beside it or instead: the next convolution reads s, the next skip reads y, and neither is computed twice.

A transposed convolution of kernel 2 S and stride S is the same with two taps. Output position f S - P + phase gathers
frame f through kernel column `phase` and frame f - 1 through `phase + S`, so the GEMM has the rows f = 0 ... T, the
columns (phase, channel) and weight [S CO, 2, CI]; its output is channels-last memory shifted by P positions:

    row f:  taps (f - 1, f)  ->  positions f S - P ... f S - P + S - 1, those outside 0 ... TO - 1 not written

Accumulation is in float32. float32 operands go through the tensor cores as TF32 rounded to nearest (Triton's own "tf32"
truncates, a gain of 0.9955 at the decoder's end), as three TF32 products ("tf32x3"), or not at all ("ieee").
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from xcodec_fast.kernels.launch import FLOATS, chip, conv_blocks
from xcodec_fast.kernels.pieces import activated, rounded_to_tf32
from xcodec_fast.kernels.shapes import check_inputs
from xcodec_fast.kernels.snake import snake_of


@triton.jit(do_not_specialize=["T", "TO"])
def _conv1d(
    x,
    weight,
    bias,
    skip,
    alpha,
    interval,
    y,
    s,
    T,
    TO,
    DIL: tl.constexpr,
    CI: tl.constexpr,
    CO: tl.constexpr,  # GEMM columns: output channels, times UP
    KW: tl.constexpr,
    STRIDE: tl.constexpr,
    PAD: tl.constexpr,
    UP: tl.constexpr,  # output positions of a GEMM row
    CROP: tl.constexpr,  # output positions cut off at the start
    BIAS: tl.constexpr,
    SKIP: tl.constexpr,
    INTERVAL: tl.constexpr,
    Y: tl.constexpr,
    S: tl.constexpr,  # the activation that makes s, or None
    ROUND: tl.constexpr,
    PRECISION: tl.constexpr,
    BT: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BUFFERS: tl.constexpr,
):
    # One axis for both, columns innermost: the tiles of one stretch of audio run together, and the other axes of a
    # grid end at 65,535, which is nine minutes of audio.
    tile, across = tl.program_id(0), (CO + BN - 1) // BN
    columns = tile % across * BN + tl.arange(0, BN)
    first = (tile // across).to(tl.int64) * BT  # this tile's first GEMM row
    batch = tl.program_id(1).to(tl.int64)
    row = tl.arange(0, BT)
    # Positions are counted from the tile's own, in int32: int64 in the tile costs registers.
    low = (0 - first * STRIDE).to(tl.int32)
    high = (T - first * STRIDE).to(tl.int32)
    if INTERVAL:
        low = (tl.load(interval + 2 * batch) - first * STRIDE).to(tl.int32)
        high = (tl.load(interval + 2 * batch + 1) - first * STRIDE).to(tl.int32)
    x += (batch * T + first * STRIDE) * CI
    INNER: tl.constexpr = KW * CI
    inner = tl.arange(0, BK)
    total = tl.zeros((BT, BN), tl.float32)
    for block in tl.range(0, (INNER + BK - 1) // BK, num_stages=BUFFERS):
        if CI % BK == 0:
            # One tap a block, the tap innermost: its seven reads of the same lines of x hit the L1 cache.
            tap = block % KW
            source = (block // KW) * BK + inner
            position = row * STRIDE - PAD + tap * DIL
            a = tl.load(
                x + position[:, None] * CI + source[None, :],
                mask=((position >= low) & (position < high))[:, None],
                other=0.0,
                cache_modifier=".ca",
            )
            at = tap * CI + source
            b = tl.load(weight + columns[None, :] * INNER + at[:, None], mask=(columns < CO)[None, :], other=0.0)
        else:
            at = block * BK + inner
            position = (row * STRIDE - PAD)[:, None] + (at // CI * DIL)[None, :]
            inside = (position >= low) & (position < high) & (at < INNER)[None, :]
            a = tl.load(x + position * CI + (at % CI)[None, :], mask=inside, other=0.0)
            known = (columns < CO)[None, :] & (at < INNER)[:, None]
            b = tl.load(weight + columns[None, :] * INNER + at[:, None], mask=known, other=0.0)
        if ROUND:
            a = rounded_to_tf32(a)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    CHANNELS: tl.constexpr = CO // UP
    channel = columns % CHANNELS
    if BIAS:
        total += tl.load(bias + channel, mask=columns < CO, other=0.0).to(tl.float32)[None, :]
    position = (first * UP - CROP).to(tl.int32) + row[:, None] * UP + (columns // CHANNELS)[None, :]
    inside = (position >= 0) & (position < TO) & (columns < CO)[None, :]
    base = batch * TO * CHANNELS + first * CO - CROP * CHANNELS
    offset = row[:, None] * CO + columns[None, :]
    if SKIP:
        total += tl.load(skip + base + offset, mask=inside, other=0.0).to(tl.float32)
    if Y:
        tl.store(y + base + offset, total.to(y.dtype.element_ty), mask=inside)
    if S == "snake":
        of_channel = tl.load(alpha + channel, mask=columns < CO, other=1.0).to(tl.float32)
        tl.store(s + base + offset, snake_of(total, of_channel[None, :]).to(s.dtype.element_ty), mask=inside)
    elif S is not None:
        tl.store(s + base + offset, activated(total, S).to(s.dtype.element_ty), mask=inside)


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    interval: Tensor | None = None,
    skip: Tensor | None = None,
    activation: str | None = None,
    alpha: Tensor | None = None,
    keep_y: bool = True,
    precision: str = "ieee",
) -> tuple[Tensor | None, Tensor | None]:
    """x `[B, T, CI]`, weight `[CO, KW, CI]` -> y `[B, TO, CO]` or None, and activation(y) or None.

    Args:
        interval: int32 `[B, 2]`, start and end of each row's own positions; None for all.
        skip: `[B, TO, CO]`, added to y.
        activation: "snake", with alpha `[CO]`, "gelu" or "elu".
        keep_y: False where only activation(y) is wanted.
        precision: of float32, "tf32" (weight rounded already), "tf32x3" or "ieee".

    Raises as `shapes.check_inputs` and `launch.chip` do, and ValueError on another activation or length of `skip`, and
    where there is no output.
    """
    check_inputs(
        "conv1d",
        x=(x, "B T CI", *FLOATS),
        weight=(weight, "CO KW CI"),
        bias=(bias, "CO"),
        interval=(interval, "B 2", torch.int32),
        skip=(skip, "B TO CO"),
        alpha=(alpha, "CO"),
    )
    taps = weight.shape[1]
    length = (x.shape[1] + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    if skip is not None and skip.shape[1] != length:
        raise ValueError(f"conv1d: skip has {skip.shape[1]} positions, but must have {length}")
    geometry = (length, dilation, stride, padding, 1, 0, length)
    return _launch(x, weight, bias, geometry, interval, skip, activation, alpha, keep_y, precision)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int,
    padding: int,
    output_padding: int,
    interval: Tensor | None = None,
    activation: str | None = None,
    alpha: Tensor | None = None,
    keep_y: bool = True,
    precision: str = "ieee",
) -> tuple[Tensor | None, Tensor | None]:
    """x `[B, T, CI]`, weight `[stride CO, 2, CI]` by `two_taps`, bias and alpha `[CO]` -> as `conv1d`."""
    channels = weight.shape[0] // stride
    check_inputs(
        "conv_transpose1d",
        x=(x, "B T CI", *FLOATS),
        weight=(weight, f"{stride * channels} 2 CI"),
        bias=(bias, str(channels)),
        interval=(interval, "B 2", torch.int32),
        alpha=(alpha, str(channels)),
    )
    length = (x.shape[1] + 1) * stride - 2 * padding + output_padding
    geometry = (length, 1, 1, 1, stride, padding, x.shape[1] + 1)
    return _launch(x, weight, bias, geometry, interval, None, activation, alpha, keep_y, precision)


def _launch(x, weight, bias, geometry, interval, skip, activation, alpha, keep_y, precision):
    length, dilation, stride, padding, up, crop, rows = geometry
    batch, positions, channels = x.shape
    columns, taps, _ = weight.shape
    if activation not in (None, "snake", "gelu", "elu") or (activation == "snake") != (alpha is not None):
        raise ValueError(f"activation is {activation!r}, but must be gelu, elu, or snake with its alpha")
    if min(positions, length) < 1:
        raise ValueError(f"{positions} positions give no output through {taps} taps of dilation {dilation}")
    shape = (batch, length, columns // up)
    y = torch.empty(shape, dtype=x.dtype, device=x.device) if keep_y else None
    s = None if activation is None else torch.empty(shape, dtype=x.dtype, device=x.device)
    blocks = conv_blocks(batch, rows, columns, channels, x.dtype, precision, chip(x.device))
    grid = (triton.cdiv(columns, blocks.columns) * triton.cdiv(rows, blocks.rows), batch)
    with torch.cuda.device_of(x):
        _conv1d[grid](
            x,
            weight,
            bias,
            skip,
            alpha,
            interval,
            y,
            s,
            positions,
            length,
            dilation,
            channels,
            columns,
            taps,
            stride,
            padding,
            up,
            crop,
            bias is not None,
            skip is not None,
            interval is not None,
            keep_y,
            activation,
            precision == "tf32" and x.dtype == torch.float32,
            precision,
            blocks.rows,
            blocks.columns,
            blocks.inner,
            blocks.buffers,
            num_warps=blocks.warps,
        )
    return y, s
