"""What the two directions of a stream share: rows that are made when first needed, resamplers, and their states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from xcodec_fast.model import XcodecModel
from xcodec_fast.resampling import Resampler
from xcodec_fast.steps import Step
from xcodec_fast.stream_rows import StreamRows


class StreamSide(ABC):
    """B streams in one direction.

    Args:
        model: as it is when a stream begins; a stream that has begun ends on a model of the same dtype and device.
        batch: B.
        rates: Hz, of the audio before and after resampling.
        graph_chunk: as `StreamRows` takes it.
    """

    def __init__(self, model: XcodecModel, batch: int, rates: tuple[int, int], graph_chunk: int | None) -> None:
        self.model = model
        self._batch, self._rates, self._graph_chunk = batch, rates, graph_chunk
        self._rows: StreamRows | None = None
        self._made_for: Any = None
        self._resamplers = [self._resampler() for _ in range(batch)]

    @abstractmethod
    def _step(self) -> Step:
        """The step that the rows make, of the model as it is."""

    @property
    @abstractmethod
    def _out_unit(self) -> int:
        """Positions of the output a frame."""

    def has_begun(self, index: int) -> bool:
        """Whether a row has got anything since its start."""
        resampler = self._resamplers[index]
        if resampler is not None and resampler.has_begun:
            return True
        return self._rows is not None and self._rows.has_begun(index)

    def reset(self, indices: Iterable[int]) -> None:
        """Rows start anew."""
        for index in indices:
            self._resamplers[index] = self._resampler()
            if self._rows is not None:
                self._rows.reset(index)

    def state_dict(self, index: int) -> dict[str, Any] | None:
        """A row's state; None where it has not begun."""
        if not self.has_begun(index):
            return None
        resampler = self._resamplers[index]
        return {
            "row": self._made().state_dict(index),
            "resampler": None if resampler is None else resampler.state_dict(),
        }

    def check_state(self, state: dict[str, Any] | None) -> None:
        """Raises ValueError where a row's state is that of another model or of other settings."""
        if state is not None:
            self._made().check_state(state["row"])

    def load_state_dict(self, index: int, state: dict[str, Any] | None) -> None:
        """A row goes on where the state was taken."""
        self.reset([index])
        if state is not None:
            self._made().load_state_dict(index, state["row"])
            if (resampler := self._resamplers[index]) is not None:
                resampler.load_state_dict(state["resampler"])

    def _made(self) -> StreamRows:
        """Raises RuntimeError where the model has changed under a stream."""
        made_for = self.model.dtype, self.model.device
        if self._rows is not None and made_for != self._made_for:
            if any(self._rows.has_begun(index) for index in range(self._batch)):
                raise RuntimeError(
                    f"the model was {self._made_for} when this stream began, but is now {made_for}: reset() the stream"
                )
            self._rows = None
        if self._rows is None:
            self._rows = StreamRows(self._step(), self._batch, self._out_unit, self._graph_chunk)
            self._made_for = made_for
        return self._rows

    def _resampler(self) -> Resampler | None:
        source_rate, target_rate = self._rates
        return None if source_rate == target_rate else Resampler(source_rate, target_rate, self.model.dtype)

    def _resampled(self, index: int, samples: Tensor, last: bool = False) -> Tensor:
        resampler = self._resamplers[index]
        return samples if resampler is None else resampler(samples, last)
