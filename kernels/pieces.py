"""What the products of a kernel are given and what becomes of their sums: rounding to TF32, gelu and elu."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rounded_to_tf32(x):
    """Nearest value of ten mantissa bits, ties away from zero. A GPU's NaN, 0x7FFFFFFF, would carry over to -0."""
    rounded = ((x.to(tl.int32, bitcast=True) + 0x1000) & -8192).to(tl.float32, bitcast=True)
    return tl.where(x == x, rounded, x)


@triton.jit
def activated(y, KIND: tl.constexpr):
    """gelu (erf) or elu of float32 values."""
    if KIND == "gelu":
        return 0.5 * y * (1.0 + tl.erf(y * 0.7071067811865476))
    else:
        tl.static_assert(KIND == "elu")
        # Near 0 the difference would leave few digits, or none: there its Taylor series, 2e-7 off at -0.5.
        near = tl.fma(y, 1 / 5040, 1 / 720)
        near = tl.fma(near, y, 1 / 120)
        near = tl.fma(near, y, 1 / 24)
        near = tl.fma(near, y, 1 / 6)
        near = tl.fma(near, y, 1 / 2)
        near = tl.fma(near * y, y, y)
        return tl.where(y > 0, y, tl.where(y > -0.5, near, tl.exp(y) - 1.0))
