"""Layers whose call is their formula and nothing more, and tensors that are their values and nothing more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.utils.parametrize import is_parametrized

_KINDS = (nn.Conv1d, nn.ConvTranspose1d, nn.Linear)


def is_plain(layer: Any, but_for_global_hooks: bool = False) -> bool:
    """Whether calling a convolution or linear layer computes just that, from its `weight` and `bias`.

    Not with hooks, in a subclass, or with a `forward` or a weight that was set on the instance; parametrized it may be.
    Hooks of all modules are those of profilers, which only look on.
    """
    kind, tensors = type(layer), layer._parameters
    if kind not in _KINDS and is_parametrized(layer):  # torch makes a subclass whose weight is a property
        kind, tensors = kind.__bases__[0], {**tensors, **layer.parametrizations}
    return (
        kind in _KINDS
        and "weight" in tensors
        and "bias" in tensors
        and "forward" not in vars(layer)
        and not (layer._forward_pre_hooks or layer._forward_hooks)
        and not (layer._backward_pre_hooks or layer._backward_hooks)
        and (but_for_global_hooks or not _has_any_global_hook())
    )


def is_unseen(module: nn.Module, *layers: Any) -> bool:
    """Whether a module may be gone through piece by piece: no hook sees it, or what is within, called.

    layers: its convolutions and linear layers.
    """
    hooks = (part._forward_pre_hooks or part._forward_hooks for part in module.modules())
    return all(is_plain(layer) and keeps_its_weight(layer) for layer in layers) and not any(hooks)


def all_modules(model: nn.Module) -> list[nn.Module]:
    """Every module, in a quarter of the time that `modules()` takes."""
    found = [model]
    for module in found:
        found.extend(child for child in module._modules.values() if child is not None)
    return found


def keeps_its_weight(layer: nn.Module) -> bool:
    """Whether its weight is one tensor, not computed at every access: what is derived from that could not be kept."""
    return not is_parametrized(layer)


def why_not_plain(tensors: Iterable[Tensor | None]) -> str:
    """What goes on besides the tensors' values that a kernel or a kept result would lose; "" for nothing."""
    # Within a transform every result is wrapped, even one of tensors that are not.
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "a function transform is under way"
    for tensor in tensors:
        if tensor is None:
            continue
        if forward_ad.unpack_dual(tensor).tangent is not None:
            return "a tensor carries a forward-mode tangent"
        if type(tensor) not in (Tensor, nn.Parameter):
            return f"a tensor is a {type(tensor).__name__}"
    return ""
