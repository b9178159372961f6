"""A CPU's convolutions and linear layers, on channels-last tensors and weights laid out once: by oneDNN or by BLAS.

PyTorch's convolution of one dimension takes `[B, C, T]` as it lies: oneDNN then reorders input, weight and output in
each call, and has slower loops for few channels. Here the tensors are `[B, C, T]` too, but channels-last in memory, so
that what one layer writes the next one reads as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import blas, onednn
from xcodec_fast.derived import derived, joined
from xcodec_fast.dispatch import forced_backend
from xcodec_fast.plain import why_not_plain


def suits(weights: Iterable[Tensor | None], *inputs: Tensor | None) -> bool:
    """Whether an operation on these is computed here: on a CPU, of one type that it has, and without a gradient.

    Not where a backend is forced, nor where nothing that is laid out could be kept: for weights made in inference mode.
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
        and bool(library().has(tensors[0].dtype))
    )


@cache
def library() -> Any:
    """The module that computes: `blas` where AVX2 is the widest that the CPU has, else `onednn`.

    With AVX2 alone oneDNN's order of a weight depends on how long the input is, and one in another order is reordered
    in every call: for 512 channels and seven taps in 120 ms, three times what the convolution of 1,000 positions takes.
    MKL's products run there at 87 GFLOP/s a core, oneDNN's convolutions at 76, its products at 75 (AMD Zen 3).
    Convolutions in groups are oneDNN's either way, so that `blas` alone is not enough.
    """
    narrow = torch.backends.cpu.get_cpu_capability() == "AVX2"
    return blas if narrow and blas.has(torch.float32) and onednn.has(torch.float32) else onednn


def linear(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """x weight^T + bias of layers side by side, all with a bias or none. `[..., C]` -> `[..., C' of all]`."""
    bias = derived(joined, *biases) if len(biases) > 1 else next(iter(biases), None)
    return library().linear(x, weights, bias)


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
    if x.shape[1] != channels * groups or x.shape[2] + 2 * padding <= (taps - 1) * dilation:
        return F.conv1d(x, weight, bias, stride, padding, dilation, groups)  # refuses it in its own words
    if groups > 1:
        return onednn.conv1d(x, weight, bias, stride, padding, dilation, groups)
    if channels == 1 or (library() is onednn and taps < 2 * stride and not padding):
        return _by_product(x, weight, bias, stride, padding, dilation)
    return library().conv1d(x, weight, bias, stride, padding, dilation)


def _by_product(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int) -> Tensor:
    """Convolution as a product with the inputs of each output side by side.

    They are copied taps / stride times: it pays below 2, for one tap and HuBERT's strided layers, and for one channel
    (HuBERT's first layer, on 5 s, takes oneDNN's convolution 62 ms, this 3.4: `bench/README.md`).
    """
    reach = (weight.shape[2] - 1) * dilation + 1
    padded = F.pad(x, (padding, padding)) if padding else x  # pad copies, for 0 too
    inputs = padded.transpose(1, 2).unfold(1, reach, stride)[..., ::dilation].transpose(2, 3).flatten(2)
    return library().linear_of_taps(inputs, weight, bias).transpose(1, 2)


def conv_transpose1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, output_padding: int
) -> Tensor:
    """Transposed convolution by a weight `[C, C', 2 stride]`. `[B, C, T]` -> `[B, C', T']`, channels-last.

    As one of two taps, whose output f holds the outputs f stride ... f stride + stride - 1: they read inputs f - 1, f.
    """
    if x.shape[1] != len(weight):
        return F.conv_transpose1d(x, weight, bias, stride, padding, output_padding)  # refuses it in its own words
    bias = None if bias is None else derived(_repeated, bias, weight)
    y = library().conv_two_taps(x, weight, bias).transpose(1, 2)
    y = y.unflatten(2, (stride, -1)).flatten(1, 2)
    return y[:, padding : (x.shape[-1] + 1) * stride - padding + output_padding].transpose(1, 2)


def _repeated(bias: Tensor, weight: Tensor) -> Tensor:
    return bias.repeat(weight.shape[2] // 2)
