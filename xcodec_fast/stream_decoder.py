"""Codes of B streams to audio, as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xcodec_fast import checks
from xcodec_fast.model import XcodecModel
from xcodec_fast.pcm import require_array, samples_dtype
from xcodec_fast.state_checks import check_count, check_keys
from xcodec_fast.steps import DecodeStep, DecodeWindowStep, Step
from xcodec_fast.stream_side import StreamSide
from xcodec_fast.windows import Windows


class StreamDecoder(StreamSide):
    """Codes `[1, Q, f]` in, audio `[1, 1, t]` out: exact, or in windows where there are any."""

    _keys = StreamSide._keys | {"stages"}

    def __init__(
        self,
        model: XcodecModel,
        batch: int,
        chunk: int,
        windows: Windows | None,
        sample_rate: int,
        cuda_graph: bool | None,
    ) -> None:
        super().__init__(model, batch, (model.config.sample_rate, sample_rate), chunk, cuda_graph)
        self._windows = windows
        self._stages = model.config.num_quantizers

    def _step(self) -> Step:
        if self._windows is None:
            return DecodeStep(self.model)
        return DecodeWindowStep(self.model, self._windows, self._stages)

    @property
    def _channels(self) -> int:
        return self._stages

    @property
    def _none(self) -> Tensor:
        return torch.zeros(1, 1, 0, dtype=self.model.dtype, device=self.model.device)

    @property
    def _out_unit(self) -> int:
        return self.model.config.hop_length

    def push(self, codes: Mapping[int, Any]) -> list[Tensor]:
        """Codes by row -> each row's audio. Raises as `decode` does, and ValueError on rows of unequal Q."""
        name = "audio_codes" if self._batch == 1 else "audio_codes[{}]"
        pieces = {row: self._checked(piece, name.format(row)) for row, piece in codes.items()}
        self._take_stages({piece.shape[0] for piece in pieces.values() if piece.shape[1]})
        rows = self._open(pieces, "flush_codes")
        for index, piece in pieces.items():
            rows.arrive(index, piece)
        rows.advance()
        return self._taken(())

    def flush(self, indices: Collection[int]) -> list[Tensor]:
        """The rest of the audio of some rows, which then start anew."""
        rows = self._made()
        for index in indices:
            rows.end(index)
        rows.advance()
        taken = self._taken(indices)
        self.reset(indices)
        return taken

    def state_dict(self, index: int) -> dict[str, Any] | None:
        """A row's state; None where it has not begun."""
        state = super().state_dict(index)
        return None if state is None else {**state, "stages": self._stages}

    def loading(self, indices: Sequence[int], states: Sequence[dict[str, Any] | None]) -> Callable[[], None]:
        """As of any side; ValueError too where a state's codes have other stages than those of the rows that stay."""
        stages = {self._stages_of(state) for state in states if state is not None}
        loaded = copy(self)  # its rows are those of these stages
        loaded._take_stages(stages, indices)
        load = super(StreamDecoder, loaded).loading(indices, states)

        def replace() -> None:
            load()
            vars(self).update(vars(loaded))

        return replace

    def _stages_of(self, state: dict[str, Any]) -> int:
        check_keys(state, "the decoder", self._keys)
        check_count("stages", state["stages"], 1, self.model.config.num_quantizers)
        return state["stages"]

    def _checked(self, codes: Any, name: str) -> Tensor:
        """`[Q, f]`, int64, on the CPU."""
        require_array(codes, name)
        if isinstance(codes, np.ndarray):
            if codes.dtype.kind not in "iu":
                raise ValueError(f"{name} is of dtype {codes.dtype}, but must hold integers")
            codes = torch.from_numpy(codes.astype(np.int64))
        config = self.model.config
        checks.check_codes(codes, config.num_quantizers, codes.device, 0, name)
        if codes.shape[0] != 1:
            raise ValueError(f"{name} must be of one stream, [1, Q, f], but has the shape {list(codes.shape)}")
        codes = codes[0].to("cpu", torch.int64, copy=True)
        if codes.numel():
            checks.check_code_range(codes, config.codebook_size, name)
        return codes

    def _check_stages(self, stages: set[int], ending: Collection[int]) -> None:
        """Raises ValueError unless all rows, but for those that end now, agree on the stages of their codes."""
        stages = stages | {self._stages for row in range(self._batch) if row not in ending and self.has_begun(row)}
        if len(stages) > 1:
            raise ValueError(
                f"audio_codes of {' and '.join(map(str, sorted(stages)))} stages cannot share a stream or batch: from "
                "a start to flush_codes() on, all must have the same number"
            )

    def _take_stages(self, stages: set[int], ending: Collection[int] = ()) -> None:
        self._check_stages(stages, ending)
        for stage in stages - {self._stages}:
            self._stages, self._rows = stage, None

    def _taken(self, ended: Collection[int]) -> list[Tensor]:
        rows, none = self._made(), self._none
        audio = [none if own is None else own for own in rows.ready()]
        source_rate, target_rate = self._rates
        if source_rate == target_rate:
            rows.taken()
            return audio
        samples = [own.flatten().to("cpu", samples_dtype(self.model.dtype)) for own in audio]
        rows.taken()
        return [
            self._resampled(index, own, index in ended)[None, None].to(none) if len(own) or index in ended else none
            for index, own in enumerate(samples)
        ]
