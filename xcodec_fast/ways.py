"""How the acoustic layers are gone through: by whole clips here, by the next step of a stream in `lines`.

Layers hand on two tensors, x and s = snake(x) of the layer that follows: a fused kernel that writes x has it in
registers, and would read it back from memory otherwise.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from xcodec_fast.functional import Then, conv1d, residual_unit
from xcodec_fast.intervals import Interval, through, upsampled


class Way(Protocol):
    """What layers are given to compute with; `Whole`, or a `lines.Walk`."""

    def conv(self, s: Tensor, conv: nn.Conv1d, *, then: Then = None, keep_y: bool = True) -> tuple[Any, Any]:
        """As `functional.conv1d`."""

    def transposed(self, s: Tensor, conv: nn.ConvTranspose1d, *, then: Then) -> tuple[Any, Any]:
        """The same of a transposed convolution."""

    def residual_unit(
        self, x: Tensor, s: Tensor, conv1: nn.Conv1d, alpha2: Tensor, conv2: nn.Conv1d, alpha: Tensor, keep_y: bool
    ) -> tuple[Any, Any]:
        """As `functional.residual_unit`."""


class Whole:
    """The way of whole clips; with an interval a row, each row's own positions, as far as the layers have been gone."""

    def __init__(self, interval: Interval | None) -> None:
        self.interval = interval

    def conv(self, s: Tensor, conv: nn.Conv1d, *, then: Then = None, keep_y: bool = True) -> tuple[Any, Any]:
        outputs = conv1d(s, conv, self.interval, then=then, keep_y=keep_y)
        if conv.stride[0] > 1:  # the others keep the length
            self.interval = through(self.interval, conv)
        return outputs

    def transposed(self, s: Tensor, conv: nn.ConvTranspose1d, *, then: Then) -> tuple[Any, Any]:
        outputs = conv1d(s, conv, self.interval, then=then)
        self.interval = upsampled(self.interval, conv)
        return outputs

    def residual_unit(
        self, x: Tensor, s: Tensor, conv1: nn.Conv1d, alpha2: Tensor, conv2: nn.Conv1d, alpha: Tensor, keep_y: bool
    ) -> tuple[Any, Any]:
        return residual_unit(x, s, conv1, alpha2, conv2, alpha, self.interval, keep_y)
