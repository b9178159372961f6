"""B streams stepped together: what has arrived for each row, which rows are due, and what the step gave to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.cuda_graph import StepGraph
from xcodec_fast.pcm import Queue
from xcodec_fast.steps import Step
from xcodec_fast.stream_states import check_row

_AT_ONCE = 500  # frames of the longest step where a step takes any number


@dataclass
class Row:
    """One stream, as the host knows it; `seen` and `missing` as in StreamState.

    waiting: what arrived and no step has taken; ready: what steps gave and the caller has not got; end: the row's
    frames, once that is known.
    """

    seen: int
    missing: int = 0
    end: int | None = None
    waiting: Queue = field(default_factory=Queue)
    ready: Queue = field(default_factory=Queue)


class StreamRows:
    """B rows of one step.

    Args:
        step: the one that all rows make.
        batch: B.
        out_unit: positions of the output a frame.
        graph_chunk: frames of the captured steps (of one frame besides, where the step takes any number); None: no CUDA
            graphs.
        channels: of the input.
    """

    def __init__(self, step: Step, batch: int, out_unit: int, graph_chunk: int | None, channels: int = 1) -> None:
        self.step, self.channels = step, channels
        self.state = step.fresh(batch)
        self.rows = [Row(step.origin) for _ in range(batch)]
        self._device = self.state.seen.device
        self._out_unit, self._graph_chunk = out_unit, graph_chunk
        self._graphs: dict[torch.Size, StepGraph] = {}

    def has_begun(self, index: int) -> bool:
        """Whether a row has got anything since its start."""
        row = self.rows[index]
        return row.seen != self.step.origin or len(row.waiting) + len(row.ready) > 0 or row.end is not None

    def arrive(self, index: int, piece: Tensor) -> None:
        """More of a row's input, `[C, n]`, on the CPU."""
        row = self.rows[index]
        if piece.shape[-1] and row.seen == self.step.origin < 0 and not len(row.waiting):
            row.waiting.append(piece.new_zeros(piece.shape[0], -self.step.origin * self.step.unit))
        row.waiting.append(piece)

    def end(self, index: int) -> None:
        """A row's input has ended: what waits is its last, filled up with zeros to a whole frame."""
        row = self.rows[index]
        if row.end is None:  # else this was said before, and a step has failed since
            row.end = max(0, row.seen + -(-len(row.waiting) // self.step.unit))

    def advance(self) -> None:
        """Makes every step for which some row is due; what it gives is added to the rows' `ready`."""
        while (frames := self._frames()) > 0:
            indices = [index for index, row in enumerate(self.rows) if self._to_go(row) >= frames]
            valid = [0] * len(self.rows)
            for index in indices:
                row = self.rows[index]
                valid[index] = frames if row.end is None else max(0, min(frames, row.end - row.seen))
            out = self._run(frames, indices, valid)
            for index, own in zip(indices, out, strict=True):
                self._advanced(index, frames, valid[index], own)

    def ready(self) -> list[Tensor | None]:
        """What each row's steps gave and was not taken yet, `[1, C, n]`; None for nothing."""
        return [row.ready.all() for row in self.rows]

    def taken(self) -> None:
        """The caller has what was ready."""
        for row in self.rows:
            row.ready = Queue()

    def reset(self, index: int) -> None:
        """A row starts anew; what waits is dropped."""
        self._place(index, Row(self.step.origin))

    def state_dict(self, index: int) -> dict[str, Any]:
        """A copy of a row's state, on the CPU."""
        row = self.rows[index]
        waiting, ready = row.waiting.all(), row.ready.all()
        return {
            "seen": row.seen,
            "missing": row.missing,
            "end": row.end,
            "waiting": None if waiting is None else waiting.clone(),
            "ready": None if ready is None else ready.to("cpu", copy=True),
            "lines": [line[index].to("cpu", copy=True) for line in self.state.lines],
        }

    def placing(self, state: dict[str, Any], none: Tensor) -> Callable[[int], None]:
        """A function that puts a state into a row. none: an output of no frames. Raises as `check_row` does."""
        check_row(state, self.step, self.channels, self.state.lines, none, self._out_unit)
        row = Row(state["seen"], state["missing"], state["end"])
        if state["waiting"] is not None:
            row.waiting.append(state["waiting"].to("cpu", copy=True))
        if state["ready"] is not None:
            row.ready.append(state["ready"].to(self._device, copy=True))
        kept = [line.to(self._device) for line in state["lines"]]

        def place(index: int) -> None:
            for line, values in zip(self.state.lines, kept, strict=True):
                line[index] = values
            self._place(index, row)

        return place

    def _place(self, index: int, row: Row) -> None:
        self.state.seen[index], self.state.missing[index] = row.seen, row.missing
        self.rows[index] = row

    def _to_go(self, row: Row) -> int:
        """Frames that a row could be stepped by now."""
        step = self.step
        if row.end is None:
            return len(row.waiting) // step.unit
        rest = max(0, row.end + step.lag - row.seen) if row.end else 0
        return rest if step.chunk is None else -(-rest // step.chunk) * step.chunk

    def _frames(self) -> int:
        """Frames of the next step; 0 where no row is due."""
        to_go = [count for row in self.rows if (count := self._to_go(row))]
        wanted = self.step.chunk or self._graph_chunk
        if wanted is not None and max(to_go, default=0) >= wanted:
            return wanted
        if self.step.chunk is not None:
            return 0
        return min([*to_go, _AT_ONCE]) if to_go and self._graph_chunk is None else min(len(to_go), 1)

    def _run(self, frames: int, indices: list[int], valid: list[int]) -> list[Tensor]:
        """One step: its output for each of these rows, `[1, C, n]`. Where it raises, the state is as it was."""
        step, solo, length = self.step, len(self.rows) == 1, frames * self.step.unit
        chunk = torch.zeros(len(self.rows), self.channels, length, dtype=step.dtype, device="cpu")
        for index in indices:
            if (piece := self.rows[index].waiting.head(length)) is not None:
                chunk[index, :, : piece.shape[-1]] = piece
        chunk, counts = chunk.to(self._device), torch.tensor(valid, device=self._device)
        if self._graph_chunk is not None:
            graph = self._graphs.get(chunk.shape)
            if graph is None or graph.is_stale():
                graph = self._graphs[chunk.shape] = StepGraph(step, self.state, chunk)
            return graph(chunk, counts, self._active(indices), indices)
        stepped = [self.rows[index] for index in indices]
        masked = any(row.seen < step.reach or row.missing for row in stepped) or min(valid[i] for i in indices) < frames
        span = None
        if solo and step.windows is not None:
            span = step.windows.span(stepped[0].seen, valid[0] - stepped[0].missing)
        active = None if solo else self._active(indices)
        out, state = step(self.state, chunk, counts, active, masked=masked, span=span)
        own = [out[index : index + 1].clone() for index in indices]  # views would keep other rows, and delay lines
        self.state = state
        return own

    def _active(self, indices: list[int]) -> Tensor:
        active = torch.zeros(len(self.rows), dtype=torch.bool, device="cpu")
        active[indices] = True
        return active.to(self._device)

    def _advanced(self, index: int, frames: int, valid: int, out: Tensor) -> None:
        row, unit = self.rows[index], self._out_unit
        first = row.seen - self.step.lag
        low, high = max(first, 0), first + frames if row.end is None else min(first + frames, row.end)
        if low < high:
            row.ready.append(out[..., (low - first) * unit : (high - first) * unit])
        row.waiting.drop(frames * self.step.unit)
        row.seen += frames
        row.missing += frames - valid
