"""Convolutions and linear layers by oneDNN, whose weights are packed once. See `cpu`.

On 2 cores with AVX-512, seven taps of 128 channels run at 215 GFLOP/s instead of PyTorch's 160, one tap of 64 channels
at 125 instead of 52, a transposed convolution of 512 at 185 instead of 119 (torch 2.13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.derived import derived, joined
from xcodec_fast.kernels import layouts

_OPERATORS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight", "_reorder_linear_weight")
_NO_ACTIVATION: tuple[Any, ...] = ("none", [], "")


@cache
def has(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the operators, and the CPU the type."""
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def linear(x: Tensor, weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    """x weight^T + bias of layers side by side. `[..., C]` -> `[..., C' of all]`."""
    return _product(x, derived(_packed_matrix, *weights), bias)


def linear_of_taps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x `[..., K C]` by a convolution's weight `[C', C, K]` -> `[..., C']`."""
    return _product(x, derived(_packed_taps, weight), bias)


def _product(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, matrix, bias, *_NO_ACTIVATION)


def conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int, groups: int = 1
) -> Tensor:
    """`[B, C, T]` -> `[B, C', T']`, channels-last."""
    return _conv1d(x, derived(_packed_in(groups), weight), bias, [0, padding], [1, stride], [1, dilation], groups)


def conv_two_taps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """By both taps of a transposed convolution's weight `[C, C', 2 stride]`. `[B, C, T]` -> `[B, stride C', T + 1]`."""
    return _conv1d(x, derived(_packed_two_taps, weight), bias, [0, 1], [1, 1], [1, 1], 1)


def _conv1d(x: Tensor, packed: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
    """geometry: padding, stride, dilation, groups."""
    image = x[:, :, None].contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._convolution_pointwise(image, packed, bias, *geometry, *_NO_ACTIVATION)[:, :, 0]


def _packed_matrix(*weights: Tensor) -> Tensor:
    """Weights side by side as oneDNN wants them, for any number of rows."""
    return torch.ops.mkldnn._reorder_linear_weight(joined(*weights), None)


def _packed_taps(weight: Tensor) -> Tensor:
    return _packed_matrix(layouts.by_taps(weight).flatten(1))


@cache
def _packed_in(groups: int) -> Callable[[Tensor], Tensor]:
    """For a weight of that many groups, what `derived` takes."""

    def packed(weight: Tensor) -> Tensor:
        return _packed(weight, groups)

    packed.__qualname__ = f"packed_in_{groups}"
    return packed


def _packed(weight: Tensor, groups: int) -> Tensor:
    """A weight as oneDNN wants it for a thousand positions; where it wants another order, it reorders in the call."""
    size = [1, weight.shape[1] * groups, 1, 1000]
    image = weight[:, :, None].contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._reorder_convolution_weight(image, [0, 0], [1, 1], [1, 1], groups, size)


def _packed_two_taps(weight: Tensor) -> Tensor:
    return _packed(layouts.two_taps(weight).transpose(1, 2), 1)
