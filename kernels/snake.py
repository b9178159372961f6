"""Snake, x + sin(a x)^2 / (a + 1e-9): one read, one write; and as a piece of other kernels.

sin^2 has the period pi, so z = a x is reduced to r = z - k pi, k = round(z / pi), with pi in three float32 pieces, and
sin(r)^2 = r^2 p(r^2) with p of degree 6: 1.7e-7 from float64 up to |z| = 1000. `tl.sin` would bring its slow path for
huge arguments along, which spills registers.

    x [N, C] channels-last; a tile a program, of ROWS x CHANNELS; all channels where there are up to 1,024
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from xcodec_fast.kernels import launch
from xcodec_fast.kernels.shapes import check_inputs


@triton.jit
def snake_of(x, alpha):
    """Snake of float32 values; alpha has a shape that broadcasts."""
    z = alpha * x
    # Adding 1.5 * 2^23 leaves the nearest integer in the last bits.
    k = (z * 0.3183098861837907 + 12582912.0) - 12582912.0
    r = tl.fma(k, -3.140625, z)
    r = tl.fma(k, -9.67502593994140625e-4, r)
    r = tl.fma(k, -1.509957990978376432e-7, r)
    # From |z| = 1e5 on k may be a neighbour of the nearest integer and |r| pass 1.58, and from 2^22 pi = 1.318e7 on it
    # is not even near: sin^2 stays in 0..1 even so, and NaN stays NaN.
    r = tl.where(r > 1.58, 1.58, tl.where(r < -1.58, -1.58, r))
    u = r * r
    p = tl.fma(u, 7.978462690516608e-08, -4.220882146910299e-06)
    p = tl.fma(p, u, 0.0001409828255418688)
    p = tl.fma(p, u, -0.0031744795851409435)
    p = tl.fma(p, u, 0.04444437101483345)
    p = tl.fma(p, u, -0.3333333134651184)
    p = tl.fma(p, u, 1.0)
    return x + u * p / (alpha + 1e-9)


@triton.jit(do_not_specialize=["N"])
def _snake(x, alpha, y, N, C: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    tile, across = tl.program_id(0), (C + CHANNELS - 1) // CHANNELS
    first = (tile // across).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), tile % across * CHANNELS + tl.arange(0, CHANNELS)
    left = tl.minimum(N - first, ROWS).to(tl.int32)  # not int64 in the tile
    inside = (row < left)[:, None] & (channel < C)[None, :]
    offset = row[:, None] * C + channel[None, :]
    of_channel = tl.load(alpha + channel, mask=channel < C, other=1.0).to(tl.float32)
    value = snake_of(tl.load(x + first * C + offset, mask=inside, other=0.0).to(tl.float32), of_channel[None, :])
    tl.store(y + first * C + offset, value.to(y.dtype.element_ty), mask=inside)


def snake(x: Tensor, alpha: Tensor) -> Tensor:
    """`[B, T, C]`, alpha `[C]` -> `[B, T, C]`. Raises as `shapes.check_inputs` and `launch.chip` do."""
    check_inputs("snake", x=(x, "B T C", *launch.FLOATS), alpha=(alpha, "C"))
    launch.chip(x.device)  # raises where no kernel runs; the blocks are the same on every chip
    y = torch.empty_like(x)
    rows, channels = x.shape[0] * x.shape[1], x.shape[2]
    height, width = launch.snake_block(channels)
    with torch.cuda.device_of(x):
        _snake[(triton.cdiv(rows, height) * triton.cdiv(channels, width),)](x, alpha, y, rows, channels, height, width)
    return y
