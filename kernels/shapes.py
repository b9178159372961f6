"""What a kernel's tensors must agree in: sizes, device, type, and a layout without gaps."""

from __future__ import annotations

import torch
from torch import Tensor

_MAY_BE_0 = ("B", "N", "T")

Given = tuple[Tensor | None, str, *tuple[torch.dtype, ...]]  # a tensor, the names of its sizes, the types it may have


def check_inputs(function: str, **arguments: Given) -> None:
    """Raise ValueError unless all tensors are contiguous, on one device, and of the types and the sizes that are named.

    Where no type is named, it is the first tensor's. The same name is the same size, and a name that is a number stands
    for that size. An argument that is None is skipped.
    """
    given = {name: (tensor, names, types) for name, (tensor, names, *types) in arguments.items() if tensor is not None}
    first = next(iter(given.values()))[0]
    for name, (tensor, _, types) in given.items():
        if not tensor.is_contiguous():
            strides = f"{list(tensor.shape)} has the strides {tensor.stride()}"
            raise ValueError(f"{function}: {name} {strides}, but must be contiguous")
        expected = types or [first.dtype]
        if tensor.dtype not in expected:
            raise ValueError(f"{function}: {name} is {tensor.dtype}, but must be {' or '.join(map(str, expected))}")
        if tensor.device != first.device:
            raise ValueError(f"{function}: {name} is on {tensor.device}, the others on {first.device}")
    sizes: dict[str, int] = {}
    for name, (tensor, names, _) in given.items():
        _check_sizes(function, name, tensor, names.split(), sizes)
    for axis, size in sizes.items():
        if size == 0 and axis not in _MAY_BE_0:
            raise ValueError(f"{function}: {axis} is 0")


def _check_sizes(function: str, name: str, tensor: Tensor, axes: list[str], sizes: dict[str, int]) -> None:
    fits = tensor.dim() == len(axes) and all(
        sizes.setdefault(axis, int(axis) if axis.isdigit() else size) == size
        for axis, size in zip(axes, tensor.shape, strict=True)
    )
    if not fits:
        known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items() if not axis.isdigit())
        raise ValueError(f"{function}: {name} is [{', '.join(axes)}] ({known}), not {list(tensor.shape)}")
