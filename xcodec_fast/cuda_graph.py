"""A step of a stream as a CUDA graph: one launch instead of hundreds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xcodec_fast.lines import StreamState


class StepGraph:
    """`step` for one shape of chunk, captured; a replay replaces the state's values where they lie.

    Args:
        step: of `steps`; its kernels are compiled, and what is derived from parameters is made, before the capture.
        state: the tensors that this graph, and others of the same rows, read and write.
        chunk: an example of the input.
    """

    def __init__(self, step: Any, state: StreamState, chunk: Tensor) -> None:
        self._chunk = chunk.clone()
        self._valid = torch.zeros_like(state.seen)
        self._active = torch.zeros_like(state.seen, dtype=torch.bool)
        # The weights' derived forms must outlive the graph, which reads them where they lie.
        self._graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream(chunk.device)
        aside.wait_stream(torch.cuda.current_stream(chunk.device))
        with torch.cuda.stream(aside):
            for _ in range(2):
                step(state, self._chunk, self._valid, self._active)
        torch.cuda.current_stream(chunk.device).wait_stream(aside)
        with torch.cuda.graph(self._graph):
            self._out, after = step(state, self._chunk, self._valid, self._active)
            for tensor, new in zip(state.tensors(), after.tensors(), strict=True):
                tensor.copy_(new)

    def __call__(self, chunk: Tensor, valid: Tensor, active: Tensor) -> Tensor:
        """The step's output, as a copy: the graph's own is overwritten by the next replay."""
        self._chunk.copy_(chunk)
        self._valid.copy_(valid)
        self._active.copy_(active)
        self._graph.replay()
        return self._out.clone()
