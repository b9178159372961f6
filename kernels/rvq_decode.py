"""The sum of the entries that codes name: out = bias + sum_q T_q[code_q].

The tables T are a residual vector quantizer's codebooks, or a linear layer's image of them.

Names in the kernel: p_ a pointer, o_ what a block's elements are at, m_ a mask.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from xcodec_fast.kernels import launch
from xcodec_fast.kernels.shapes import check_inputs


@triton.jit(do_not_specialize=["n"])
def _decode(
    codes,
    tables,
    bias,
    out,
    n,
    Q: tl.constexpr,
    K: tl.constexpr,
    C: tl.constexpr,
    BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Grid (row tiles, channel tiles). codes: `[n, Q]`; tables: `[Q, K, C]`; bias: `[C]`; out: `[n, C]`."""
    o_rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    o_channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    m_rows = o_rows < n
    m_channels = o_channels < C
    total = tl.zeros((ROWS, CHANNELS), tl.float32)
    for q in tl.static_range(Q):
        code = tl.load(codes + o_rows * Q + q, mask=m_rows, other=0)
        known = (code >= 0) & (code < K)
        entry = tl.load(
            tables + (tl.cast(q, tl.int64) * K + code)[:, None] * C + o_channels[None, :],
            mask=(m_rows & known)[:, None] & m_channels[None, :],
            other=float("nan"),
        )
        total += entry.to(tl.float32)
    if BIAS:
        total += tl.load(bias + o_channels, mask=m_channels, other=0.0).to(tl.float32)[None, :]
    p_out = out + o_rows[:, None] * C + o_channels[None, :]
    tl.store(p_out, total.to(out.dtype.element_ty), mask=m_rows[:, None] & m_channels[None, :])


def decode(codes: Tensor, tables: Tensor, bias: Tensor | None = None) -> Tensor:
    """The sum of the codes' table rows, and the bias, summed in float32. A code outside [0, K) gives a row of NaN.

    codes: `[N, Q]`, int64; tables: `[Q, K, C]`, float32, float16 or bfloat16; bias: `[C]` of the same dtype ->
    `[N, C]`, in the tables' dtype. Raises as `shapes.check_inputs` and `launch.chip` do.
    """
    check_inputs(
        "decode",
        codes=(codes, "N Q", torch.int64),
        tables=(tables, "Q K C", *launch.FLOATS),
        bias=(bias, "C", tables.dtype),
    )
    (total, stages), (_, entries, channels) = codes.shape, tables.shape
    out = torch.empty((total, channels), dtype=tables.dtype, device=codes.device)
    if total == 0:
        return out
    launch.chip(codes.device)  # raises where no kernel runs; the blocks are the same on every chip
    blocks = launch.decode_blocks(total, channels)
    with torch.cuda.device_of(codes):
        _decode[(triton.cdiv(total, blocks.rows), triton.cdiv(channels, blocks.channels))](
            codes,
            tables,
            bias,
            out,
            total,
            Q=stages,
            K=entries,
            C=channels,
            BIAS=bias is not None,
            ROWS=blocks.rows,
            CHANNELS=blocks.channels,
            num_warps=blocks.warps,
        )
    return out
