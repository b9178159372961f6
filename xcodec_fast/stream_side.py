"""What the two directions of a stream share: rows that are made when first needed, resamplers, and their states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from xcodec_fast.model import XcodecModel
from xcodec_fast.one_call import OneCall
from xcodec_fast.pcm import samples_dtype
from xcodec_fast.resampling import Resampler
from xcodec_fast.state_checks import check_keys, damaged
from xcodec_fast.steps import Step
from xcodec_fast.stream_rows import StreamRows


class StreamSide(ABC):
    """B streams in one direction.

    Args:
        model: as it is when a stream begins; one that has begun must end on a model of the same dtype and device.
        batch: B.
        rates: Hz, of the audio before and after resampling.
        chunk: frames of the chunks.
        cuda_graph: whether steps are captured; None: on a CUDA device.

    Attributes: one_call, which callers of its methods enter (`one_call.in_turn`).
    """

    _keys = frozenset({"row", "resampler"})  # of a row's state

    def __init__(
        self, model: XcodecModel, batch: int, rates: tuple[int, int], chunk: int, cuda_graph: bool | None
    ) -> None:
        self.model, self.one_call = model, OneCall()
        self._batch, self._rates, self._chunk, self._cuda_graph = batch, rates, chunk, cuda_graph
        self._rows: StreamRows | None = None
        self._resamplers: list[Resampler | None] = [None] * batch
        self._made_for: Any = None

    @abstractmethod
    def _step(self) -> Step:
        """The step that the rows make, of the model as it is."""

    @property
    @abstractmethod
    def _channels(self) -> int:
        """Of the input."""

    @property
    @abstractmethod
    def _none(self) -> Tensor:
        """An output of no frames, `[1, C, 0]`."""

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
            if self._rows is not None:
                self._rows.reset(index)
                self._resamplers[index] = self._resampler()

    def state_dict(self, index: int) -> dict[str, Any] | None:
        """A row's state; None where it has not begun."""
        if not self.has_begun(index):
            return None
        resampler = self._resamplers[index]
        return {
            "row": self._made().state_dict(index),
            "resampler": None if resampler is None else resampler.state_dict(),
        }

    def loading(self, indices: Sequence[int], states: Sequence[dict[str, Any] | None]) -> Callable[[], None]:
        """A function by which rows go on where their states were taken, and begin anew where there is none.

        All that may fail comes before. Raises ValueError where a state is damaged, or of another model or settings.
        """
        loads = [None if state is None else self._loading(state) for state in states]

        def load() -> None:
            self.reset(indices)
            for index, loaded in zip(indices, loads, strict=True):
                if loaded is not None:
                    place, self._resamplers[index] = loaded
                    place(index)

        return load

    def _loading(self, state: dict[str, Any]) -> tuple[Callable[[int], None], Resampler | None]:
        check_keys(state, "a direction", self._keys)
        resampler, kept = self._resampler(), state["resampler"]
        if resampler is not None:
            resampler.load_state_dict(kept)
        elif kept is not None:
            raise damaged("it has a resampler, but this stream, at the model's rate, has none")
        return self._made().placing(state["row"], self._none), resampler

    def _made(self) -> StreamRows:
        """Raises RuntimeError where the model has changed under a stream."""
        made_for = self.model.dtype, self.model.device
        if self._rows is not None and made_for != self._made_for:
            if any(map(self.has_begun, range(self._batch))):
                raise RuntimeError(
                    f"the model was {self._made_for} when this stream began, but is now {made_for}: reset() the stream"
                )
            self._rows = None
        if self._rows is None:
            graphs = self.model.device.type == "cuda" if self._cuda_graph is None else self._cuda_graph
            graph_chunk = self._chunk if graphs else None
            self._rows = StreamRows(self._step(), self._batch, self._out_unit, graph_chunk, self._channels)
            self._resamplers = [self._resampler() for _ in range(self._batch)]
            self._made_for = made_for
        return self._rows

    def _open(self, indices: Iterable[int], flush: str) -> StreamRows:
        """The rows, where some of them may take more. Raises RuntimeError where one's end was not finished."""
        rows = self._made()
        for index in indices:
            if rows.rows[index].end is not None:
                raise RuntimeError(f"{flush}() has not finished, as it raised: call it again, or reset()")
        return rows

    def _resampler(self) -> Resampler | None:
        source_rate, target_rate = self._rates
        if source_rate == target_rate:
            return None
        return Resampler(source_rate, target_rate, samples_dtype(self.model.dtype))

    def _resampled(self, index: int, samples: Tensor, last: bool = False) -> Tensor:
        resampler = self._resamplers[index]
        return samples if resampler is None else resampler(samples, last)
