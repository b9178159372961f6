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
        self._record(example)

    def _record(self, example: Tensor) -> None:
        # What is made in inference mode could be written there alone.
        with torch.inference_mode(False), torch.no_grad():
            given = example.clone()
            basis = Basis(self._model)

            def call() -> Tensor:
                return self._function(given)

            recording = Recording(call, call, given.device)
        self._given, self._basis, self._recording = given, basis, recording

    def __call__(self, given: Tensor) -> Tensor:
        """The result, as a copy. Raises ValueError on an input unlike the example, and as the function does."""
        if given.shape != self._given.shape:
            raise ValueError(
                f"the input's shape is {list(given.shape)}, but what was captured takes {list(self._given.shape)} alone"
            )
        if self._basis.has_changed():
            self._record(given)
        for what in ("dtype", "device"):
            if (value := getattr(given, what)) != (wanted := getattr(self._given, what)):
                raise ValueError(f"the input's {what} is {value}, but what was captured takes {wanted} alone")
        with torch.no_grad():
            self._given.copy_(given)
            self._recording.replay()
            return self._recording.out.clone()


class CapturedXcodec:
    """`encode` and `decode` of a model for inputs of one shape, without gradients and without a look at values.

    For latency: a clip of a second is hundreds of launches, which take the host longer than the device. Made by
    `XcodecModel.capture`. Not for two threads or CUDA streams at once: calls reuse their memory. Hooks are not called.
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
