"""DAC's residual units (arXiv 2306.06546), and three of them in a row, by blocks of a long clip on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from xcodec_fast import cpu
from xcodec_fast.functional import snake
from xcodec_fast.intervals import evenly
from xcodec_fast.plain import is_unseen
from xcodec_fast.ways import Way, Whole

_T = TypeVar("_T")
_BLOCK = 1 << 20  # values, 4 MB in float32: a few such tensors fit into a CPU's last cache


class Snake1d(nn.Module):
    """Snake with one alpha per channel. `[B, C, T]` -> `[B, C, T]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return snake(x, self.alpha)


class ResidualUnit(nn.Module):
    """x + conv2(snake2(conv1(snake1(x)))), the seven taps of conv1 dilated.

    x and s = snake1(x), `[B, C, T]` -> the next two.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake1d(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, s: Tensor, then: Snake1d, way: Way, keep_y: bool = True) -> tuple[Any, Tensor]:
        return way.residual_unit(x, s, self.conv1, self.snake2.alpha, self.conv2, then.alpha, keep_y)


def through_units(
    units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d, way: Way, consumes: bool
) -> Tensor:
    """Three units, and the Snake after them alone: nothing skips over what follows.

    consumes: whether s may be overwritten, as nobody else has it.
    """
    if isinstance(way, Whole) and way.interval is None and _suit_blocks(units, x, s, then):
        return _in_blocks(units, x, s, then, way, s if consumes else torch.empty_like(s))
    return _one_by_one(units, x, s, then, way)


def _one_by_one(units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d, way: Way) -> Tensor:
    for unit, following in pairwise(units):
        x, s = unit(x, s, following.snake1, way)
    return units[-1](x, s, then, way, keep_y=False)[1]


def _in_blocks(units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d, way: Way, made: Tensor) -> Tensor:
    """Each block of positions with as many on each side as the units reach; the results go to `made`.

    That may be s, whose memory is mapped already: decoding 5 s is 1.01 to 1.02 times as fast as with new memory.
    """
    reach = sum(int(unit.conv1.padding[0]) for unit in units)

    def blocks() -> Iterator[tuple[slice, Tensor]]:
        for start, stop in evenly(x.shape[2], max(8 * reach, _BLOCK // x.shape[1])):
            first = max(0, start - reach)
            around = slice(first, stop + reach)
            y = _one_by_one(units, x[..., around], s[..., around], then, way)
            yield slice(start, stop), y[..., start - first : stop - first]

    # A block reads around its own of the one before, too.
    for own, y in _after_the_next(blocks()):
        made[..., own] = y
    return made


def _after_the_next(items: Iterator[_T]) -> Iterator[_T]:
    """Each item when the one after it is there."""
    before = next(items)
    for item in items:
        yield before
        before = item
    yield before


def _suit_blocks(units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d) -> bool:
    """Where tensors are larger than a CPU's caches, and nobody sees the layers called block by block."""
    parameters = (parameter for unit in units for parameter in unit.parameters())
    return (
        x[0].numel() > 2 * _BLOCK
        and all(is_unseen(unit, unit.conv1, unit.conv2) for unit in units)
        and cpu.suits((then.alpha, *parameters), x, s)
    )
