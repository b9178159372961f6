"""What a kernel's tensors must agree in: sizes, device, type, and a layout without gaps."""

from __future__ import annotations

import torch
from torch import Tensor

from xcodec_fast.kernels.launch import FLOATS

_MAY_BE_0 = ("B", "N", "T")


def check_shapes(function: str, **arguments: tuple[Tensor, str]) -> None:
    """Raise ValueError unless all tensors are on one device and have the named sizes, the same name the same size.

    A name that is a number stands for that size.
    """
    sizes: dict[str, int] = {}
    device = next(iter(arguments.values()))[0].device
    for name, (tensor, names) in arguments.items():
        expected = names.split()
        fits = tensor.dim() == len(expected) and all(
            sizes.setdefault(axis, int(axis) if axis.isdigit() else size) == size
            for axis, size in zip(expected, tensor.shape, strict=True)
        )
        if not fits:
            known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items() if not axis.isdigit())
            raise ValueError(f"{function}: {name} is [{', '.join(expected)}] ({known}), not {list(tensor.shape)}")
        if tensor.device != device:
            raise ValueError(f"{function}: {name} is on {tensor.device}, the others on {device}")
    for axis, size in sizes.items():
        if size == 0 and axis not in _MAY_BE_0:
            raise ValueError(f"{function}: {axis} is 0")


def check_inputs(function: str, **arguments: tuple[Tensor | None, str]) -> None:
    """Raise ValueError as `check_shapes`, on a tensor that is not contiguous, and on another type than the first's.

    The first is of `FLOATS`, an `interval` of int32.
    """
    given = {name: (tensor, names) for name, (tensor, names) in arguments.items() if tensor is not None}
    first = next(iter(given.values()))[0]
    for name, (tensor, _) in given.items():
        if not tensor.is_contiguous():
            strides = f"{list(tensor.shape)} has the strides {tensor.stride()}"
            raise ValueError(f"{function}: {name} {strides}, but must be contiguous")
        expected = (torch.int32,) if name == "interval" else FLOATS if tensor is first else (first.dtype,)
        if tensor.dtype not in expected:
            raise ValueError(f"{function}: {name} is {tensor.dtype}, but must be {' or '.join(map(str, expected))}")
    check_shapes(function, **given)
