"""Linear layers: by PyTorch, by `cpu`, and several of one input in a single product."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import cpu
from xcodec_fast.derived import derived, joined
from xcodec_fast.dispatch import uses_triton
from xcodec_fast.plain import is_plain, keeps_its_weight


def projections(x: Tensor, *linears: Any) -> tuple[Tensor, ...]:
    """Each linear layer's map of x `[B, F, C]`; on a GPU or by `cpu` in one product, by the layers' joined weights."""
    if not all(map(is_plain, linears)):
        return tuple(linear(x, layer) for layer in linears)
    weights = [layer.weight for layer in linears]
    biases = [layer.bias for layer in linears if layer.bias is not None]
    if len(biases) not in (0, len(linears)):
        return tuple(linear(x, layer) for layer in linears)
    if uses_triton(x, *linears):
        y = F.linear(x, derived(joined, *weights), derived(joined, *biases) if biases else None)
    elif all(map(keeps_its_weight, linears)) and cpu.suits((*weights, *biases), x):
        y = cpu.linear(x, weights, biases)
    else:
        return tuple(layer(x) for layer in linears)
    return y.split([len(weight) for weight in weights], -1)


def linear(x: Tensor, layer: Any) -> Tensor:
    """x weight^T + bias. `[..., C]` -> `[..., C']`."""
    if is_plain(layer) and keeps_its_weight(layer) and cpu.suits((layer.weight, layer.bias), x):
        return cpu.linear(x, [layer.weight], [] if layer.bias is None else [layer.bias])
    return layer(x)
