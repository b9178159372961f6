"""What a kernel's tensors must agree in: sizes and device."""

from __future__ import annotations

from torch import Tensor


def check_shapes(function: str, **arguments: tuple[Tensor, str]) -> None:
    """Raise ValueError unless all tensors are on one device and have the named sizes, the same name the same size."""
    sizes: dict[str, int] = {}
    device = next(iter(arguments.values()))[0].device
    for name, (tensor, names) in arguments.items():
        expected = names.split()
        fits = tensor.dim() == len(expected) and all(
            sizes.setdefault(axis, size) == size for axis, size in zip(expected, tensor.shape, strict=True)
        )
        if not fits:
            known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
            raise ValueError(f"{function}: {name} is [{', '.join(expected)}] ({known}), not {list(tensor.shape)}")
        if tensor.device != device:
            raise ValueError(f"{function}: {name} is on {tensor.device}, the others on {device}")
    for axis, size in sizes.items():
        if size == 0 and axis != "N":
            raise ValueError(f"{function}: {axis} is 0")
