"""A CPU's convolutions and linear layers by oneDNN, on channels-last tensors and weights packed once.

PyTorch's convolution of one dimension takes `[B, C, T]` as it lies: oneDNN then reorders input, weight and output in
each call, and has slower loops for few channels. Here the tensors are `[B, C, T]` too, but channels-last in memory, so
that what one layer writes the next one reads as it is. On 2 cores with AVX-512, seven taps of 128 channels run at 215
GFLOP/s instead of 160, one tap of 64 channels at 125 instead of 52, a transposed convolution of 512 at 185 instead of
119 (torch 2.13).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.derived import derived, joined
from xcodec_fast.dispatch import forced_backend
from xcodec_fast.kernels import layouts
from xcodec_fast.plain import why_not_plain

_OPERATORS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight", "_reorder_linear_weight")
_NO_ACTIVATION: tuple[Any, ...] = ("none", [], "")


def suits(weights: Iterable[Tensor | None], *inputs: Tensor | None) -> bool:
    """Whether oneDNN takes an operation on these: on a CPU, of one type that it has, and without a gradient.

    Not where a backend is forced, nor where nothing that is packed could be kept: for weights made in inference mode.
    """
    if torch.compiler.is_compiling():
        return False
    held = [weight for weight in weights if weight is not None]
    tensors = [*held, *(tensor for tensor in inputs if tensor is not None)]
    return (
        all(tensor.device.type == "cpu" and tensor.dtype == tensors[0].dtype for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
        and not any(weight.is_inference() for weight in held)
        and not torch._C._is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and not why_not_plain(tensors)
        and forced_backend() is None
        and bool(torch.backends.mkldnn.enabled)
        and _has(tensors[0].dtype)
    )


@cache
def _has(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def linear(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """x weight^T + bias of layers side by side, all with a bias or none. `[..., C]` -> `[..., C' of all]`."""
    bias = derived(joined, *biases) if len(biases) > 1 else next(iter(biases), None)
    return _product(x, derived(_packed_matrix, *weights), bias)


def _product(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, matrix, bias, *_NO_ACTIVATION)


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Weight `[C', C / groups, K]`. `[B, C, T]` -> `[B, C', T']`, channels-last."""
    channels, taps = weight.shape[1:]
    by_product = channels == 1 or (taps < 2 * stride and not padding)
    # What does not fit, the convolution refuses in its own words.
    if by_product and x.shape[1] == channels and x.shape[2] + 2 * padding > (taps - 1) * dilation:
        return _conv_by_product(x, weight, bias, stride, padding, dilation)
    return _conv1d(x, derived(_packed_in(groups), weight), bias, [0, padding], [1, stride], [1, dilation], groups)


def _conv_by_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int
) -> Tensor:
    """Convolution as a product with the inputs of each output side by side, copied where they overlap.

    For one tap of 768 channels at 250 positions oneDNN's convolution takes 15 ms, PyTorch's 1.7; for HuBERT's first
    layer, of one channel, on 5 s 62 ms, this 3.4. HuBERT's other layers run at 205 GFLOP/s instead of 160.
    """
    reach = (weight.shape[2] - 1) * dilation + 1
    padded = F.pad(x, (padding, padding)) if padding else x  # pad copies, for 0 too
    inputs = padded.transpose(1, 2).unfold(1, reach, stride)[..., ::dilation]
    return _product(inputs.transpose(2, 3).flatten(2), derived(_packed_taps, weight), bias).transpose(1, 2)


def conv_transpose1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, output_padding: int
) -> Tensor:
    """Transposed convolution by a weight `[C, C', 2 stride]`. `[B, C, T]` -> `[B, C', T']`, channels-last.

    As one of two taps, whose output f holds the outputs f stride ... f stride + stride - 1: they read inputs f - 1, f.
    """
    bias = None if bias is None else derived(_repeated, bias, weight)
    y = _conv1d(x, derived(_packed_two_taps, weight), bias, [0, 1], [1, 1], [1, 1], 1).transpose(1, 2)
    y = y.unflatten(2, (stride, -1)).flatten(1, 2)
    return y[:, padding : (x.shape[-1] + 1) * stride - padding + output_padding].transpose(1, 2)


def _conv1d(x: Tensor, packed: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
    """geometry: padding, stride, dilation, groups."""
    image = x[:, :, None].contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._convolution_pointwise(image, packed, bias, *geometry, *_NO_ACTIVATION)[:, :, 0]


def _packed_matrix(*weights: Tensor) -> Tensor:
    """Packed, 58 rows of HuBERT's feed-forward layers run at 144 GFLOP/s instead of 115, 250 at 109 instead of 105."""
    return torch.ops.mkldnn._reorder_linear_weight(joined(*weights), None)


def _packed_taps(weight: Tensor) -> Tensor:
    return _packed_matrix(weight.transpose(1, 2).flatten(1))


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


def _repeated(bias: Tensor, weight: Tensor) -> Tensor:
    return bias.repeat(weight.shape[2] // 2)
