"""Linear layers and convolutions by PyTorch's matrix products, the BLAS that it was built with. See `cpu`.

A convolution is a sum of products, one a tap, of the rows that the tap reads: nothing is copied, nothing reordered.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.derived import derived, joined
from xcodec_fast.kernels import layouts


def has(dtype: torch.dtype) -> bool:
    """Whether products of this type are MKL's, which is what was measured."""
    return dtype == torch.float32 and torch.backends.mkl.is_available()


def linear(x: Tensor, weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    """x weight^T + bias of layers side by side. `[..., C]` -> `[..., C' of all]`."""
    return F.linear(x, derived(joined, *weights) if len(weights) > 1 else weights[0], bias)


def linear_of_taps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x `[..., K C]` by a convolution's weight `[C', C, K]` -> `[..., C']`."""
    return F.linear(x, derived(_taps_in_a_row, weight), bias)


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int) -> Tensor:
    """`[B, C, T]` -> `[B, C', T']`, channels-last."""
    return _sum_of_taps(x, derived(_matrices, weight), bias, stride, padding, dilation)


def conv_two_taps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """By both taps of a transposed convolution's weight `[C, C', 2 stride]`. `[B, C, T]` -> `[B, stride C', T + 1]`."""
    return _sum_of_taps(x, derived(_two_matrices, weight), bias, 1, 1, 1)


def _sum_of_taps(x: Tensor, matrices: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int) -> Tensor:
    """y[t] = bias + sum over k of x[t stride + k dilation - padding] matrices[k], `[K, C, C']`."""
    rows = x.transpose(1, 2).contiguous()
    positions = rows.shape[1]
    made = (positions + 2 * padding - (len(matrices) - 1) * dilation - 1) // stride + 1
    shape = len(rows), made, matrices.shape[2]
    y = rows.new_zeros(shape) if bias is None else rows.new_empty(shape).copy_(bias)
    for tap, matrix in enumerate(matrices):
        offset = tap * dilation - padding  # of the first output's input
        first, stop = max(0, -(offset // stride)), min(made, (positions - 1 - offset) // stride + 1)
        if first < stop:
            read = rows[:, first * stride + offset : (stop - 1) * stride + offset + 1 : stride]
            for outputs, inputs in zip(y[:, first:stop], read, strict=True):
                outputs.addmm_(inputs, matrix)
    return y.transpose(1, 2)


def _taps_in_a_row(weight: Tensor) -> Tensor:
    return layouts.by_taps(weight).flatten(1)


def _matrices(weight: Tensor) -> Tensor:
    return weight.permute(2, 1, 0).contiguous()


def _two_matrices(weight: Tensor) -> Tensor:
    return layouts.two_taps(weight).permute(1, 2, 0).contiguous()
