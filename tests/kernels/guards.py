"""What shows a kernel that writes outside its outputs, leaves parts of them unwritten, or needs an order of programs.

    margin | output or scratch, poisoned | margin

The poison is NaN, or for integers a number that no kernel computes. What a kernel failed to write stays poisoned, so a
comparison with the right result fails; what it read before writing it spoils what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

MARGIN = 4096
WALL = 12344  # of margins: not NaN, which a kernel may well write out of place


def poison(dtype: torch.dtype) -> float | int:
    if dtype.is_floating_point:
        return float("nan")
    return torch.iinfo(dtype).max // 3


def guarded(
    *size: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """A poisoned tensor, and the flat buffer that holds it between two margins."""
    count = prod(size)
    buffer = torch.full((count + 2 * MARGIN,), WALL, dtype=dtype, device=device)
    return buffer[MARGIN : MARGIN + count].fill_(poison(dtype)).view(size), buffer


def margins_intact(buffer: Tensor) -> bool:
    margins = torch.cat([buffer[:MARGIN], buffer[-MARGIN:]])
    return torch.equal(margins, torch.full_like(margins, WALL))


def between_nan(tensor: Tensor) -> Tensor:
    """The same values with NaN margins around them: what a kernel reads beyond the end spoils its result."""
    copy, buffer = guarded(*tensor.shape, dtype=tensor.dtype, device=tensor.device)
    buffer.fill_(float("nan"))
    return copy.copy_(tensor)


class Guards(TorchFunctionMode):
    """Within it, what `torch.empty` and `torch.empty_like` give is guarded: `buffers`, whose margins leaving checks."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[Tensor] = []

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty_like:
            like = args[0]
            size, kwargs = like.shape, {"dtype": like.dtype, "device": like.device, **kwargs}
        elif func is torch.empty:
            size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        else:
            return func(*args, **kwargs)
        tensor, buffer = guarded(*size, **kwargs)
        self.buffers.append(buffer)
        return tensor

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if error[0] is None:
            self.check()

    def check(self) -> None:
        for buffer in self.buffers:
            assert margins_intact(buffer), f"written outside of a tensor of {buffer.numel() - 2 * MARGIN} values"


@contextmanager
def reversed_grid() -> Iterator[None]:
    """Within it, the interpreter runs the programs of a launch from the last to the first."""
    from triton.runtime.interpreter import interpreter_builder as builder

    forward = builder.set_grid_idx

    def backward(x: int, y: int, z: int) -> None:
        sizes = builder.grid_dim
        forward(sizes[0] - 1 - x, sizes[1] - 1 - y, sizes[2] - 1 - z)

    builder.set_grid_idx = backward
    try:
        yield
    finally:
        builder.set_grid_idx = forward
