"""The operations of the semantic models alone, as in `functional`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.derived import derived
from xcodec_fast.dispatch import uses_triton
from xcodec_fast.plain import is_plain, why_not_plain

_gelu_tanh = partial(F.gelu, approximate="tanh")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


def projections(x: Tensor, *linears: Any) -> tuple[Tensor, ...]:
    """Each linear layer's map of x `[B, F, C]`; on a GPU in one multiplication, by the layers' joined weights."""
    if all(map(is_plain, linears)) and uses_triton(x, *linears):
        weights, biases = zip(*((layer.weight, layer.bias) for layer in linears), strict=True)
        without = [bias is None for bias in biases]
        if all(without) or not any(without):
            bias = None if all(without) else derived(_joined, *biases)
            return F.linear(x, derived(_joined, *weights), bias).split([len(weight) for weight in weights], -1)
    return tuple(linear(x, layer) for layer in linears)


def linear(x: Tensor, layer: Any) -> Tensor:
    """x weight^T + bias. `[..., C]` -> `[..., C']`."""
    if is_plain(layer) and _suits_onednn(x, layer.weight):
        # 58 frames of HuBERT base: 104 GFLOP/s, MKL's 88, on 2 AVX2 cores; a push of its stream 1.06 x as fast.
        return torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "none", [], "")
    return layer(x)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Where torch has oneDNN's multiplication, which is without a gradient."""
    return (
        x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.compiler.is_compiling()
        and not why_not_plain((x, weight))
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _joined(*tensors: Tensor) -> Tensor:
    return torch.cat(tensors)


def own_group_norm(x: Tensor, own: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """GroupNorm of one channel a group over each row's own positions: (x - mean) / sqrt(var + eps) weight + bias.

    x: `[B, C, T]`; own: bool `[B, T]`. In two passes: in one, E[x^2] - E[x]^2, a mean 150 times the deviation errs
    1e-3 and more (30 s at 3,200 positions a second; in two below 3e-5).
    """
    mask = own[:, None]
    count = mask.sum(-1, keepdim=True).clamp(min=1)
    mean = (x * mask).sum(-1, keepdim=True) / count
    variance = ((x - mean) * mask).square().sum(-1, keepdim=True) / count
    return (x - mean) * (variance + eps).rsqrt() * weight[:, None] + bias[:, None]


def relative_position_buckets(length: int, num_buckets: int, max_distance: int, device: torch.device) -> Tensor:
    """T5's bidirectional buckets of the distances -(n-1)..n-1 (arXiv 1910.10683, section 2.1).

    Half of the buckets are for keys ahead. Of each half, the first half hold one distance each; the others
    grow logarithmically up to `max_distance` -> int64 `[2n - 1]`.
    """
    distance = torch.arange(1 - length, length, device=device)
    half = num_buckets // 2
    exact = half // 2
    magnitude = distance.abs()
    # In float32, like the reference: the rounding decides which bucket a boundary falls into.
    scale = torch.log(magnitude.float() / exact) / math.log(max_distance / exact)
    far = (exact + scale * (half - exact)).clamp(max=half - 1)
    return torch.where(magnitude < exact, magnitude, far.long()) + half * (distance > 0)
