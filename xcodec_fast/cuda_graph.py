"""What is captured as a CUDA graph, one launch instead of hundreds; and so a step of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xcodec_fast.derived import kept_by_graph, weights_mark
from xcodec_fast.dispatch import arithmetic
from xcodec_fast.lines import StreamState
from xcodec_fast.plain import all_modules
from xcodec_fast.steps import Step


class Basis:
    """What a capture takes from a model: its tensors, what is derived from them, and how operations are carried out.

    Hooks are not part of it: a replay calls none.
    """

    def __init__(self, model: nn.Module) -> None:
        owners = (
            each for module in all_modules(model) for each in (module._modules, module._parameters, module._buffers)
        )
        self._owners = [(owner, list(owner.values())) for owner in owners if owner]
        self._tensors = [value for _, values in self._owners for value in values if isinstance(value, Tensor)]
        self._mark = self._marked()

    def has_changed(self) -> bool:
        """Whether a capture would take something else by now."""
        # By identity, and by maps: a captured step waits for this (0.3 ms for the default model's 454 tensors).
        replaced = any([*map(id, owner.values())] != [*map(id, values)] for owner, values in self._owners)
        return replaced or self._marked() != self._mark

    def _marked(self) -> tuple[object, ...]:
        return *arithmetic(self._tensors[0]), *weights_mark(self._tensors)


class Recording:
    """A call on tensors that stay where they are, captured as a CUDA graph. out: what it returns, where it lies.

    Args:
        call: what is captured.
        warm_up: run before, twice, so that kernels are compiled and what derives from weights is made.
    """

    def __init__(self, call: Callable[[], Any], warm_up: Callable[[], Any], device: torch.device) -> None:
        self._device, self._graph = device, torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(device)
        aside = torch.cuda.Stream(device)  # capture asks for a warm-up on another stream
        aside.wait_stream(stream)
        with torch.cuda.stream(aside):
            for _ in range(2):
                warm_up()
        stream.wait_stream(aside)
        capture = torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local")
        with torch.cuda.device(device), kept_by_graph() as self._derived, capture:
            self.out = call()

    def replay(self) -> None:
        with torch.cuda.device(self._device):
            self._graph.replay()


class StepGraph:
    """`step` for one shape of chunk, captured; a replay replaces the state's values where they lie.

    Args:
        step: a part of the model, or the whole, as a stream's step.
        state: the tensors that this graph, and others of the same rows, read and write.
        chunk: an example of the input.
    """

    def __init__(self, step: Step, state: StreamState, chunk: Tensor) -> None:
        self._basis = Basis(step.model)
        self._chunk, self._valid = chunk.clone(), torch.zeros_like(state.seen)
        self._active = torch.zeros_like(state.seen, dtype=torch.bool)

        def stepped() -> tuple[Tensor, StreamState]:
            return step(state, self._chunk, self._valid, self._active)

        def replaced() -> Tensor:
            out, after = stepped()
            for tensor, new in zip(state.tensors(), after.tensors(), strict=True):
                tensor.copy_(new)
            return out

        self._recording = Recording(replaced, stepped, chunk.device)

    def is_stale(self) -> bool:
        """Whether a new capture would be another."""
        return self._basis.has_changed()

    def __call__(self, chunk: Tensor, valid: Tensor, active: Tensor, rows: list[int]) -> list[Tensor]:
        """The step's output for these rows, `[1, C, n]`, as copies: the graph's own is overwritten by the next replay.

        Memory for them is asked for first, since a replay cannot be undone.
        """
        copies = [torch.empty_like(self._recording.out[:1]) for _ in rows]
        self._chunk.copy_(chunk)
        self._valid.copy_(valid)
        self._active.copy_(active)
        self._recording.replay()
        for row, copy in zip(rows, copies, strict=True):
            copy.copy_(self._recording.out[row : row + 1])
        return copies
