"""Delay lines: convolutions over a stream, a step at a time, with the results of one over the whole.

A step brings n new frames. A layer of rate u (positions a frame) then computes its positions

            seen * u                       (seen + n) * u
    ...........|..............................|
       |<left>|                      |<right>|
        ##################################            [seen * u - left, (seen + n) * u - right)

`right` are those that wait for later input. What a convolution reads before its new input is what its line keeps:

    |  line  |          new input           |
    |<------>|  the inputs of (left, right) that were computed in the steps before

Everything outside a row's own positions counts as zero, as the whole's padding does. Position i of a buffer that
begins `left` before is inside [0, N u) exactly where left - seen u <= i < left + (valid - missing) u; the mask falls on
line and new input together. So what a line holds from before a start is never read, and two integers reset a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xcodec_fast.functional import Then, conv1d
from xcodec_fast.intervals import Interval, inputs_of

Extent = tuple[int, int]  # left and right, in positions


@dataclass(frozen=True)
class StreamState:
    """What a step leaves to the next, for B rows.

    seen: int64 `[B]`, the frames stepped; missing: int64 `[B]`, those of them that came after the row's end; lines:
    `[B, C, length]` each, in the order of the layers.
    """

    seen: Tensor
    missing: Tensor
    lines: tuple[Tensor, ...]

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in a fixed order."""
        return self.seen, self.missing, *self.lines


class Walk:
    """One step's way through the layers: the lines in order, the new ones collected, the extent of what is at hand.

    Args:
        state: before the step.
        frames: n.
        rate: positions a frame of the first layer.
        valid: int64 `[B]`, how many of the n frames are before the row's end.
        active: bool `[B]`, the rows that advance; None for all.
        masked: False where all that is read lies inside every row: nothing needs a mask.
        extents: of every convolution's outputs, in order; None where nothing is computed before all that it reads is
            there.
    """

    def __init__(
        self,
        state: StreamState,
        frames: int,
        rate: int,
        valid: Tensor,
        active: Tensor | None,
        masked: bool,
        extents: Sequence[Extent] | None,
    ) -> None:
        self.frames, self.rate = frames, rate
        self.left = self.right = 0
        self.reach = 0  # frames before the new ones that were read
        self.seen = state.seen
        self.present = valid - state.missing  # frames from `seen` on that are before the row's end
        self._state, self._valid, self._active, self._masked = state, valid, active, masked
        self._extents = None if extents is None else iter(extents)
        self._old = iter(state.lines)
        self._new: list[Tensor] = []

    def take(self, x: Tensor, left: int, right: int) -> Tensor:
        """x with another extent: joined to its line or cut on the left, filled with zeros or cut on the right."""
        x = self.joined(x, left - self.left) if left > self.left else x[..., self.left - left :]
        self.reach = max(self.reach, -(-left // self.rate))
        missing = self.right - right
        return _joined(x, x.new_zeros(*x.shape[:2], missing)) if missing > 0 else x[..., : x.shape[-1] + missing]

    def joined(self, x: Tensor, length: int) -> Tensor:
        """The line's `length` positions, and x, which is new."""
        line = next(self._old, None)
        if line is None:  # in `Step.fresh` alone
            line = x.new_zeros(*x.shape[:-1], length)
        both = _joined(line, x)
        self._keep(both[..., self.frames * self.rate :][..., :length], line)
        return both

    def replaced(self, x: Tensor) -> Tensor:
        """What the step before gave here, x being for the step after."""
        line = next(self._old, None)
        self._keep(x, line)
        return torch.zeros_like(x) if line is None else line

    def _keep(self, new: Tensor, line: Tensor | None) -> None:
        if self._active is None or line is None:
            self._new.append(new.clone())  # not a view, which would keep all of the buffer
        else:
            self._new.append(torch.where(self._active[:, None, None], new, line))

    def conv(self, s: Tensor, conv: nn.Conv1d, *, then: Then = None, keep_y: bool = True) -> tuple[Any, Any]:
        """`functional.conv1d` of the stream."""
        return self._conv(s, conv, self._extent(conv), then, keep_y)

    def transposed(self, s: Tensor, conv: nn.ConvTranspose1d, *, then: Then) -> tuple[Any, Any]:
        """The same of a transposed convolution, whose output o reads the inputs (o + padding) // stride and before."""
        stride, lag = conv.stride[0], self.left
        s = self.take(s, lag + 1, lag)
        y, s = conv1d(s, conv, self._mask(lag + 1), padding=stride, then=then)
        self.rate *= stride
        self.left = self.right = lag * stride + int(conv.padding[0])
        return y, s

    def residual_unit(
        self, x: Tensor, s: Tensor, conv1: nn.Conv1d, alpha2: Tensor, conv2: nn.Conv1d, alpha: Tensor, keep_y: bool
    ) -> tuple[Any, Any]:
        """`functional.residual_unit` of the stream."""
        extent = self._extent(conv1)
        skip = self.take(x, *extent)
        _, h = self._conv(s, conv1, extent, alpha2, False)
        return conv1d(h, conv2, skip=skip, then=alpha, keep_y=keep_y)

    def state(self) -> StreamState:
        """After the step."""
        seen, missing = self._state.seen, self._state.missing
        steps, gone = seen + self.frames, missing + self.frames - self._valid
        if self._active is not None:
            steps, gone = torch.where(self._active, steps, seen), torch.where(self._active, gone, missing)
        return StreamState(steps, gone, tuple(self._new))

    def _extent(self, conv: nn.Conv1d) -> Extent:
        if self._extents is not None:
            return next(self._extents)
        lag = self.left + int(conv.padding[0])
        return lag, lag

    def _conv(self, s: Tensor, conv: nn.Conv1d, extent: Extent, then: Then, keep_y: bool) -> tuple[Any, Any]:
        left, right = inputs_read(conv, *extent)
        outputs = conv1d(self.take(s, left, right), conv, self._mask(left), padding=0, then=then, keep_y=keep_y)
        self.rate, (self.left, self.right) = self.rate // conv.stride[0], extent
        return outputs

    def _mask(self, left: int) -> Interval | None:
        """Each row's own positions of a buffer that begins `left` before the new frames."""
        if not self._masked:
            return None
        return Interval(left - self.seen * self.rate, (self.seen + self.present) * self.rate)


def _joined(a: Tensor, b: Tensor) -> Tensor:
    """`[B, C, n]` and `[B, C, m]` -> `[B, C, n + m]`, channels-last where one is, as convolutions read and write it.

    torch.cat alone gives the other order, which the next layer would copy back.
    """
    if any(x.shape[1] > 1 and x.stride(1) == 1 for x in (a, b)):
        return torch.cat([a.mT, b.mT], 1).mT
    return torch.cat([a, b], -1)


def inputs_read(conv: nn.Conv1d, left: int, right: int) -> tuple[int, int]:
    """The extent of the inputs that outputs of an extent read."""
    first, last = inputs_of(-left, -right - 1, conv)
    return -first, -last - 1
