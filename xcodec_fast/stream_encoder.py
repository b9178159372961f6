"""Audio of B streams to codes, as it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.model import XcodecModel
from xcodec_fast.pcm import as_samples
from xcodec_fast.steps import EncodeStep
from xcodec_fast.stream_side import StreamSide
from xcodec_fast.windows import Windows


class StreamEncoder(StreamSide):
    """PCM in, codes `[1, Q, f]` out."""

    def __init__(
        self,
        model: XcodecModel,
        batch: int,
        windows: Windows,
        bandwidth: float,
        sample_rate: int,
        cuda_graph: bool | None,
    ) -> None:
        super().__init__(model, batch, (sample_rate, model.config.sample_rate), windows.chunk, cuda_graph)
        self._windows, self._bandwidth = windows, bandwidth

    def _step(self) -> EncodeStep:
        return EncodeStep(self.model, self._windows, self._bandwidth)

    @property
    def _channels(self) -> int:
        return 1

    @property
    def _none(self) -> Tensor:
        stages = self.model.quantizer.stages(self._bandwidth)
        return torch.zeros(1, stages, 0, dtype=torch.int64, device=self.model.device)

    @property
    def _out_unit(self) -> int:
        return 1

    def push(self, chunks: Mapping[int, Any], check: bool) -> list[Tensor]:
        """Chunks by row -> each row's codes. Raises as `as_samples` does, with every row as it was."""
        name = "chunk" if self._batch == 1 else "chunks[{}]"
        pieces = {row: as_samples(chunk, name.format(row), self.model.dtype, check) for row, chunk in chunks.items()}
        rows = self._open(pieces, "flush")
        for index, piece in pieces.items():
            rows.arrive(index, self._resampled(index, piece)[None])
        rows.advance()
        return self._taken()

    def flush(self, indices: Iterable[int]) -> list[Tensor]:
        """The rest of the codes of some rows, which then start anew."""
        rows = self._made()
        for index in indices:
            if rows.rows[index].end is None:
                rows.arrive(index, self._resampled(index, torch.zeros(0, device="cpu"), last=True)[None])
                rows.end(index)
        rows.advance()
        taken = self._taken()
        self.reset(indices)
        return taken

    def _taken(self) -> list[Tensor]:
        rows, none = self._made(), self._none
        codes = [none if own is None else own for own in rows.ready()]
        rows.taken()
        return codes
