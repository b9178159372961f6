"""A whole residual unit of up to 128 channels in one launch: y = x + W2 snake(W1 * s + b1) + b2, s' = snake(y).

    s [B, T, C] --7 taps, dilated--> h [BT, C] --snake, 1 x 1--> + x --> y, and s' for the next unit

s = snake(x) was written by whoever wrote x. The tile h stays in registers between the two products: the unit reads s
and x once and writes y and s'. That is 4 passes over the audio, the last of three units 3, where separate kernels make
9: 10.5 against 25.7 us an audio second and level in float32 at 4.3 TB/s (arithmetic, not measured).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from xcodec_fast.kernels.launch import FLOATS, chip, unit_blocks
from xcodec_fast.kernels.layouts import UNIT_CHANNELS
from xcodec_fast.kernels.pieces import rounded_to_tf32
from xcodec_fast.kernels.shapes import check_inputs
from xcodec_fast.kernels.snake import snake_of


@triton.jit(do_not_specialize=["T"])
def _residual_unit(
    s,
    x,
    weight1,
    bias1,
    alpha2,
    weight2,
    bias2,
    alpha,
    interval,
    y,
    s_next,
    T,
    DIL: tl.constexpr,
    C: tl.constexpr,
    KW: tl.constexpr,
    INTERVAL: tl.constexpr,
    Y: tl.constexpr,
    ROUND: tl.constexpr,
    PRECISION: tl.constexpr,
    BT: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BUFFERS: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * BT
    batch = tl.program_id(1).to(tl.int64)
    row, column, inner = tl.arange(0, BT), tl.arange(0, C), tl.arange(0, BK)
    low = (0 - first).to(tl.int32)
    high = (T - first).to(tl.int32)
    if INTERVAL:
        low = (tl.load(interval + 2 * batch) - first).to(tl.int32)
        high = (tl.load(interval + 2 * batch + 1) - first).to(tl.int32)
    base = (batch * T + first) * C
    h = tl.zeros((BT, C), tl.float32)
    for block in tl.range(0, KW * (C // BK), num_stages=BUFFERS):
        tap = block % KW
        channel = (block // KW) * BK + inner
        position = row + (tap - KW // 2) * DIL
        a = tl.load(
            s + base + position[:, None] * C + channel[None, :],
            mask=((position >= low) & (position < high))[:, None],
            other=0.0,
            cache_modifier=".ca",
        )
        if ROUND:
            a = rounded_to_tf32(a)
        b = tl.load(weight1 + column[None, :] * (KW * C) + (tap * C + channel)[:, None])
        h = tl.dot(a, b, h, input_precision=PRECISION)
    h = snake_of(h + tl.load(bias1 + column).to(tl.float32)[None, :], tl.load(alpha2 + column).to(tl.float32)[None, :])
    if ROUND:
        h = rounded_to_tf32(h)
    h = h.to(weight2.dtype.element_ty)
    inside = (row < T - first)[:, None]
    for part in tl.range(0, C // BN, num_stages=1):
        n = part * BN + tl.arange(0, BN)
        out = tl.dot(h, tl.load(weight2 + n[None, :] * C + column[:, None]), input_precision=PRECISION)
        out += tl.load(bias2 + n).to(tl.float32)[None, :]
        offset = base + row[:, None] * C + n[None, :]
        out += tl.load(x + offset, mask=inside, other=0.0).to(tl.float32)
        if Y:
            tl.store(y + offset, out.to(y.dtype.element_ty), mask=inside)
        out = snake_of(out, tl.load(alpha + n).to(tl.float32)[None, :])
        tl.store(s_next + offset, out.to(s_next.dtype.element_ty), mask=inside)


def residual_unit(
    s: Tensor,
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    alpha2: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    alpha: Tensor,
    *,
    dilation: int,
    interval: Tensor | None = None,
    keep_y: bool = True,
    precision: str = "ieee",
) -> tuple[Tensor | None, Tensor]:
    """s, x `[B, T, C]`, weight1 `[C, KW, C]`, weight2 `[C, C]` -> y or None, s'.

    C is 16, 32, 64 or 128, KW odd, T at least 1; interval, keep_y and precision as in `conv1d`. Raises as
    `shapes.check_inputs` and `launch.chip` do, and ValueError on other C, KW and T.
    """
    check_inputs(
        "residual_unit",
        s=(s, "B T C", *FLOATS),
        x=(x, "B T C"),
        weight1=(weight1, "C KW C"),
        bias1=(bias1, "C"),
        alpha2=(alpha2, "C"),
        weight2=(weight2, "C C"),
        bias2=(bias2, "C"),
        alpha=(alpha, "C"),
        interval=(interval, "B 2", torch.int32),
    )
    (batch, positions, channels), taps = s.shape, weight1.shape[1]
    if channels not in UNIT_CHANNELS or taps % 2 == 0 or positions < 1:
        raise ValueError(f"residual_unit: no kernel for C = {channels}, KW = {taps}, T = {positions}")
    y = torch.empty_like(s) if keep_y else None
    s_next = torch.empty_like(s)
    blocks = unit_blocks(batch, positions, channels, s.dtype, precision, chip(s.device))
    with torch.cuda.device_of(s):
        _residual_unit[(triton.cdiv(positions, blocks.rows), batch)](
            s,
            x,
            weight1,
            bias1,
            alpha2,
            weight2,
            bias2,
            alpha,
            interval,
            y,
            s_next,
            positions,
            dilation,
            channels,
            taps,
            interval is not None,
            keep_y,
            precision == "tf32" and s.dtype == torch.float32,
            precision,
            blocks.rows,
            blocks.columns,
            blocks.inner,
            blocks.buffers,
            num_warps=blocks.warps,
        )
    return y, s_next
