"""A stream: audio to codes and codes to audio as they arrive.

Codes depend on the settings alone, never on how the audio was cut into pushes: chunk n is what `encode` gives for its
window (`windows`), and comes as soon as chunk and lookahead are there. Audio is, put together, that of `decode` of all
codes; with a shorter `decode_lookahead_ms`, of windows of them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xcodec_fast.model import XcodecModel
from xcodec_fast.pcm import require_array
from xcodec_fast.streaming_batch import StreamingXcodecBatch
from xcodec_fast.windows import StreamSettings


class StreamingXcodec:
    """One stream: arguments, attributes and methods as in `StreamingXcodecBatch`, with tensors in place of lists."""

    def __init__(
        self,
        model: XcodecModel,
        *,
        chunk_ms: float = StreamSettings.chunk_ms,
        lookahead_ms: float = StreamSettings.lookahead_ms,
        left_context_ms: float = StreamSettings.left_context_ms,
        bandwidth: float | None = None,
        sample_rate: int | None = None,
        decode_lookahead_ms: float | None = None,
        cuda_graph: bool | None = None,
    ) -> None:
        self._batch = StreamingXcodecBatch(
            model,
            1,
            chunk_ms=chunk_ms,
            lookahead_ms=lookahead_ms,
            left_context_ms=left_context_ms,
            bandwidth=bandwidth,
            sample_rate=sample_rate,
            decode_lookahead_ms=decode_lookahead_ms,
            cuda_graph=cuda_graph,
        )
        self.settings, self.bandwidth, self.sample_rate = (
            self._batch.settings,
            self._batch.bandwidth,
            self._batch.sample_rate,
        )
        self.decode_lookahead_ms = decode_lookahead_ms
        self.latency_ms, self.decode_latency_ms = self._batch.latency_ms, self._batch.decode_latency_ms

    def push(self, chunk: Any, *, check: bool = True) -> Tensor:
        """Mono PCM -> codes `[1, Q, f]`, f >= 0."""
        return self._batch.push([_array(chunk, "chunk")], check=check)[0]

    def flush(self) -> Tensor:
        """Ends the audio: the rest of its codes."""
        return self._batch.flush()[0]

    def push_codes(self, audio_codes: Any, *, check: bool = True) -> Tensor:
        """Codes `[1, Q, f]`, f >= 0 -> audio `[1, 1, t]`."""
        return self._batch.push_codes([_array(audio_codes, "audio_codes")], check=check)[0]

    def flush_codes(self) -> Tensor:
        """Ends the codes: the rest of their audio."""
        return self._batch.flush_codes()[0]

    def reset(self) -> None:
        """Both directions start anew."""
        self._batch.reset()

    def state_dict(self) -> dict[str, Any]:
        """A copy of both directions' state."""
        return self._batch.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the state was taken, from a stream or from one row of a batch."""
        self._batch.load_state_dict(state)


def _array(value: Any, name: str) -> Any:
    """The value, which in a batch could be None."""
    require_array(value, name)
    return value
