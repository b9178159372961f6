"""Validity intervals: which positions of a padded batch are a row's own; all others count as zero at every layer.

        start      start + length
    ..... |#############|..........   audio, or any layer's positions
          own positions               outside: as if the clip ended here

A padded operation is given its input with everything outside set to zero. So row by row its result is that of the row
alone: the zeros are the padding that the row would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

Length = TypeVar("Length", int, Tensor)


@dataclass(frozen=True)
class Interval:
    """One interval a row. start, length: int64 `[B]`; start a multiple of every stride still to come."""

    start: Tensor
    length: Tensor

    def own(self, positions: int) -> Tensor:
        """bool `[B, positions]`."""
        i = torch.arange(positions, device=self.start.device)
        return (i >= self.start[:, None]) & (i < (self.start + self.length)[:, None])


def from_zero(lengths: Sequence[int], device: torch.device) -> Interval:
    """A row's first positions, so many each."""
    length = torch.tensor(lengths, device=device)
    return Interval(torch.zeros_like(length), length)


def keep(x: Tensor, interval: Interval | None) -> Tensor:
    """x `[B, ..., n]` with zeros outside each row's interval; x itself without one."""
    if interval is None:
        return x
    own = interval.own(x.shape[-1])
    # Not a product: outside may lie NaN.
    if x.ndim == 3 and x.stride(1) == 1:  # masked_fill gives a contiguous tensor: here a channels-last one
        return x.transpose(1, 2).masked_fill(~own[..., None], 0).transpose(1, 2)
    return x.masked_fill(~own.view(len(own), *[1] * (x.ndim - 2), -1), 0)


def evenly(count: int, most: int) -> Iterator[tuple[int, int]]:
    """Starts and stops that cut 0 ... count into as few parts of at most `most` as can be, as even as can be."""
    size = -(-count // max(1, -(-count // most)))
    for start in range(0, count, max(1, size)):
        yield start, min(start + size, count)


def conv_length(length: Length, conv: nn.Conv1d) -> Length:
    """Output positions of a convolution: floor((T + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    padding, reach = int(conv.padding[0]), conv.dilation[0] * (conv.kernel_size[0] - 1)
    return (length + 2 * padding - reach - 1) // conv.stride[0] + 1


def through(interval: Interval | None, conv: nn.Conv1d) -> Interval | None:
    """The own outputs of a convolution. Start and length travel apart: start // stride is exact, the end is not."""
    if interval is None:
        return None
    return Interval(interval.start // conv.stride[0], conv_length(interval.length, conv).clamp(min=0))


def upsampled(interval: Interval | None, conv: nn.ConvTranspose1d) -> Interval | None:
    """The own outputs of a transposed convolution that gives its stride of positions for each."""
    if interval is None:
        return None
    return Interval(interval.start * conv.stride[0], interval.length * conv.stride[0])


def inputs_of(low: int, high: int, conv: nn.Conv1d | nn.ConvTranspose1d) -> tuple[int, int]:
    """The first and the last input on which the outputs low ... high of a convolution depend."""
    reach, stride, pad = (conv.kernel_size[0] - 1) * conv.dilation[0], conv.stride[0], int(conv.padding[0])
    if isinstance(conv, nn.ConvTranspose1d):  # input i reaches the outputs i * stride - pad + (0 ... reach)
        return -((reach - low - pad) // stride), (high + pad) // stride
    return low * stride - pad, high * stride - pad + reach
