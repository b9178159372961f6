"""Whole calls of a model as CUDA graphs, for inputs of one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.cuda_graph import Basis, Recording
from xcodec_fast.outputs import XcodecDecoderOutput, XcodecEncoderOutput


class CallGraph:
    """A function of one tensor, captured; and anew, at the next call, where the model has changed since."""

    def __init__(self, model: Any, function: Callable[[Tensor], Tensor], example: Tensor) -> None:
        self._model, self._function = model, function
        with torch.inference_mode(False):
            self._given = example.clone()
        self._record()

    def _record(self) -> None:
        def call() -> Tensor:
            return self._function(self._given)

        self._basis = Basis(self._model)
        # What is made in inference mode could be written there alone.
        with torch.inference_mode(False), torch.no_grad():
            self._recording = Recording(call, call, self._given.device)

    def __call__(self, given: Tensor) -> Tensor:
        """The result, as a copy. Raises ValueError on an input unlike the example."""
        for what in ("shape", "dtype", "device"):
            value, wanted = getattr(given, what), getattr(self._given, what)
            if value != wanted:
                shown = [list(each) if what == "shape" else each for each in (value, wanted)]
                raise ValueError(f"the input's {what} is {shown[0]}, but what was captured takes {shown[1]} alone")
        if self._basis.has_changed():
            self._record()
        with torch.no_grad():
            self._given.copy_(given)
            self._recording.replay()
            return self._recording.out.clone()


class CapturedXcodec:
    """`encode` and `decode` of a model for inputs of one shape, without gradients and without a look at values.

    For latency: a clip of a second is hundreds of launches, which take the host longer than the device. Made by
    `XcodecModel.capture`. Not for two threads at once: both calls reuse their memory.
    """

    def __init__(self, model: Any, shape: tuple[int, int, int], bandwidth: float | None) -> None:
        audio = torch.zeros(shape, dtype=model.dtype, device=model.device)
        self._encode = CallGraph(
            model, lambda given: model.encode(given, bandwidth, True, check=False).audio_codes, audio
        )
        codes = self._encode(audio)
        self._decode = CallGraph(model, lambda given: model.decode(given, True, check=False).audio_values, codes)

    def encode(self, input_values: Tensor) -> XcodecEncoderOutput:
        """Audio of the captured shape `[B, 1, T]` -> codes `[B, Q, F]`. Raises ValueError on any other."""
        return XcodecEncoderOutput(self._encode(input_values))

    def decode(self, audio_codes: Tensor) -> XcodecDecoderOutput:
        """Codes `[B, Q, F]` of such audio, int64 -> audio `[B, 1, F hop]`. Raises ValueError on another shape."""
        return XcodecDecoderOutput(self._decode(audio_codes))
