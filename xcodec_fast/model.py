"""The codec: `encode` audio to codes, `decode` codes to audio, `forward` both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from xcodec_fast import checks, tiles
from xcodec_fast.acoustic import AcousticDecoder, AcousticEncoder
from xcodec_fast.call_graph import CapturedXcodec
from xcodec_fast.config import XcodecConfig
from xcodec_fast.config_checks import as_checked_config
from xcodec_fast.frames import acoustic_pad, frame_counts
from xcodec_fast.initialization import initialize
from xcodec_fast.intervals import Interval, from_zero, keep
from xcodec_fast.linears import linear
from xcodec_fast.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec_fast.pretrained import PretrainedModel
from xcodec_fast.quantizer import ResidualVectorQuantizer
from xcodec_fast.rows import Rows, as_rows
from xcodec_fast.search import projected_sum
from xcodec_fast.semantic import SemanticDecoder, SemanticEncoder, semantic_model
from xcodec_fast.twin import stream_codes
from xcodec_fast.windows import StreamSettings, Windows
from xcodec_fast.words import kind_of


class XcodecModel(PretrainedModel):
    """X-Codec (arXiv 2408.17175), a drop-in for `transformers.XcodecModel`.

    audio -> semantic model -> encoder_semantic -+
    audio -> acoustic_encoder -------------------+-> fc -> quantizer -> codes -> fc2 -> acoustic_decoder -> audio

    Raises TypeError and ValueError where the config describes no model (`config_checks.as_checked_config`).
    """

    def __init__(self, config: XcodecConfig) -> None:
        config = as_checked_config(config)
        super().__init__(config)
        self.pad = config.hop_length // 2
        acoustic, width = config.acoustic_model_config, config.hidden_size
        self.acoustic_encoder = AcousticEncoder(acoustic)
        self.acoustic_decoder = AcousticDecoder(acoustic)
        self.encoder_semantic = SemanticEncoder(config)
        self.decoder_semantic = SemanticDecoder(config)
        self.semantic_model = semantic_model(config.semantic_model_config)
        self.fc = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, config.semantic_hidden_size)
        self.fc2 = nn.Linear(width, acoustic.hidden_size)
        self.quantizer = ResidualVectorQuantizer(config)
        initialize(self, config.initializer_range)

    def encode(
        self,
        input_values: Tensor | Sequence[Tensor | np.ndarray],
        bandwidth: float | None = None,
        return_dict: bool | None = None,
        *,
        padding_mask: Tensor | None = None,
        streaming: StreamSettings | None = None,
        window_batch: int | None = None,
        check: bool = True,
    ) -> XcodecEncoderOutput | Any:
        """Audio -> codes `[B, Q, F]`, int64, deterministic in every mode and without gradient.

        Rows of unequal lengths, by a list or a mask, give the codes of each clip alone; past a row's own frames, which
        `audio_codes_mask` `[B, F]` of the output marks, codes are 0.

        Args:
            input_values: `[B, 1, T]` of samples at `config.sample_rate` Hz, of the model's dtype; or a list of clips
                `[T]`, tensors or numpy arrays, each encoded as it is.
            bandwidth: kbps, one of `config.target_bandwidths`, None for the last; sets Q.
            return_dict: False for the bare tensor; None for `config.return_dict`.
            padding_mask: `[B, T]` as the feature extractor gives it: ones, then zeros. A row is its ones' samples,
                zero-padded to a multiple of the hop.
            streaming: give the codes of a `StreamingXcodec` with these settings, F = ceil(T / hop).
            window_batch: with `streaming`, windows that are computed at once; 1 for the live stream's bits, None for
                what suits the device.
            check: False leaves out the look for NaN and infinity, a synchronization on a GPU.

        Raises:
            TypeError: an argument of another type.
            ValueError: a shape, dtype, device, length, bandwidth, mask or sample that is not allowed.
        """
        rows = as_rows(input_values, padding_mask, self.fc.weight, self.config.hop_length)
        if streaming is not None:
            rows = rows.whole(self.config.hop_length)
        audio_codes = self._encode_rows(rows, bandwidth, check, self._windows(streaming, window_batch), window_batch)
        if not self._wants_dict(return_dict):
            return audio_codes
        return XcodecEncoderOutput(audio_codes, self._codes_mask(rows, audio_codes))

    def decode(
        self,
        audio_codes: Tensor,
        return_dict: bool | None = None,
        *,
        audio_codes_mask: Tensor | None = None,
        check: bool = True,
    ) -> XcodecDecoderOutput | Any:
        """Codes `[B, Q, F]` -> audio `[B, 1, F * hop]`; differentiable in the weights.

        Args:
            audio_codes: integers in 0 ... codebook_size - 1; Q may be any number of stages.
            return_dict: False for the bare tensor; None for `config.return_dict`.
            audio_codes_mask: `[B, F]`, a row's own frames, as `encode` gives it. Each row is decoded as if alone; past
                its end the audio is zero.
            check: False leaves out the look at the codes' range, a synchronization on a GPU.

        Raises:
            TypeError: not a tensor.
            ValueError: a shape, dtype, device or mask that is not allowed.
            IndexError: a code out of range.
        """
        checks.check_codes(audio_codes, self.config.num_quantizers, self.device)
        own = None
        if audio_codes_mask is not None:
            checks.check_mask(audio_codes_mask, "audio_codes_mask", (audio_codes.shape[0], audio_codes.shape[2]))
            length = audio_codes_mask.to(self.device).sum(1)
            own = Interval(torch.zeros_like(length), length)
        if self._reads_values(check):
            checks.check_code_range(audio_codes, self.config.codebook_size)
        if tiles.suit(self):
            audio_values = tiles.decoded(self, audio_codes, own)
        else:
            audio_values = self.acoustic_decoder(self.latent(audio_codes), own)
        return XcodecDecoderOutput(audio_values) if self._wants_dict(return_dict) else audio_values

    def forward(
        self,
        input_values: Tensor | Sequence[Tensor | np.ndarray],
        audio_codes: Tensor | None = None,
        bandwidth: float | None = None,
        *,
        padding_mask: Tensor | None = None,
        return_dict: bool | None = None,
        check: bool = True,
    ) -> XcodecOutput | Any:
        """`encode` and `decode`, the audio cut to the input's T samples; given codes are decoded instead.

        Like the reference's, it returns fewer than T samples where the encoder ends before the clip does
        (T mod hop in 1..79 at the default config: 399 -> 320).
        """
        rows = as_rows(input_values, padding_mask, self.fc.weight, self.config.hop_length)
        if audio_codes is None:
            audio_codes = self._encode_rows(rows, bandwidth, check)
        mask = self._codes_mask(rows, audio_codes)
        decoded = self.decode(audio_codes, True, audio_codes_mask=mask if rows.unequal else None, check=check)
        audio_values = decoded.audio_values[..., : rows.samples]
        if self._wants_dict(return_dict):
            return XcodecOutput(audio_codes, audio_values, mask)
        return audio_codes, audio_values

    def capture(self, shape: tuple[int, int, int], bandwidth: float | None = None) -> CapturedXcodec:
        """`encode` and `decode` for audio of one shape `[B, 1, T]` as CUDA graphs, one launch each.

        Raises ValueError where the model is not on a CUDA or ROCm device, and as `encode` does.
        """
        if self.device.type != "cuda":
            raise ValueError(f"only calls on a CUDA device can be captured, but the model is on {self.device}")
        return CapturedXcodec(self, shape, bandwidth)

    def latent(self, audio_codes: Tensor) -> Tensor:
        """Codes `[B, Q, F]` -> what the acoustic decoder takes, `[B, C, F]`."""
        codes = audio_codes.long().transpose(1, 2).flatten(0, 1)
        latent = projected_sum(codes, self.quantizer.codebooks, self.fc2)
        return latent.unflatten(0, (audio_codes.shape[0], -1)).transpose(1, 2)

    def stream_windows(self, streaming: StreamSettings) -> Windows:
        """Settings in this model's frames. Raises TypeError and ValueError where they are none."""
        if not isinstance(streaming, StreamSettings):
            raise TypeError(f"streaming must be StreamSettings, but is {kind_of(streaming)}")
        return streaming.windows(self.config.frame_ms)

    def _encode_rows(
        self,
        rows: Rows,
        bandwidth: float | None,
        check: bool,
        windows: Windows | None = None,
        window_batch: int | None = None,
    ) -> Tensor:
        """Codes `[B, Q, F]`, 0 past each row's own frames; of windows, where there are any."""
        bandwidth = checks.chosen_bandwidth(bandwidth, self.config.target_bandwidths)
        frames = frame_counts(self, rows.lengths)
        if self._reads_values(check):
            checks.check_finite(rows.audio)
        with torch.no_grad():
            if windows is not None:
                clips = (clip[:length] for (clip,), length in zip(rows.audio, rows.lengths, strict=True))
                streams = (stream_codes(self, [clip], windows, bandwidth, window_batch) for clip in clips)
                codes = [torch.cat(list(stream), -1)[0].t() for stream in streams]
                return pad_sequence(codes, batch_first=True).transpose(1, 2).contiguous()
            embeddings = self._embed_unequal(rows, frames) if rows.unequal else self._embed(rows.audio)
            audio_codes = self.quantizer.encode(embeddings, bandwidth).transpose(0, 1)
        return keep(audio_codes, from_zero(frames, self.device)) if rows.unequal else audio_codes

    def _codes_mask(self, rows: Rows, audio_codes: Any) -> Tensor | None:
        """bool `[B, F]`, each row's own frames; None where the caller gave no lengths."""
        if not rows.named:
            return None
        checks.check_codes(audio_codes, self.config.num_quantizers, self.device)
        return from_zero(frame_counts(self, rows.lengths), self.device).own(audio_codes.shape[2])

    def _extract_semantic_features(self, input_values: Tensor, own: Interval | None = None) -> Tensor:
        """Audio `[B, 1, T]`, padded by hop / 2 on each side, -> mean hidden states `[B, F, C]`, without gradient.

        `own` is each row's interval of the padded audio.
        """
        with torch.no_grad():
            return self.semantic_model(F.pad(input_values[:, 0], (self.pad, self.pad)), own)

    def _embed(self, audio: Tensor) -> Tensor:
        """Audio `[B, 1, T]` -> what is quantized, `[B, D, F]`."""
        semantic = self.encoder_semantic(self._extract_semantic_features(audio).transpose(1, 2))
        pad = acoustic_pad(self, audio.shape[2], semantic.shape[2])
        return self.fuse(self.acoustic_encoder(F.pad(audio, (pad, pad))), semantic)

    def _embed_unequal(self, rows: Rows, frames: Sequence[int]) -> Tensor:
        """Rows of unequal lengths -> what is quantized, `[B, D, F]`; the acoustic padding differs from row to row."""
        around = 2 * self.pad
        own = from_zero([length + around for length in rows.lengths], self.device)
        features = self._extract_semantic_features(rows.audio, own)
        semantic = self.encoder_semantic(features.transpose(1, 2), self.semantic_model.feature_extractor.through(own))

        pads = [acoustic_pad(self, *row) for row in zip(rows.lengths, frames, strict=True)]
        padded = torch.tensor(pads, device=self.device)[:, None, None] > 0
        audio = torch.where(padded, F.pad(rows.audio, (self.pad, self.pad)), F.pad(rows.audio, (0, around)))
        own = from_zero([length + 2 * pad for length, pad in zip(rows.lengths, pads, strict=True)], self.device)
        return self.fuse(self.acoustic_encoder(audio, own)[..., : semantic.shape[2]], semantic)

    def fuse(self, acoustic: Tensor, semantic: Tensor) -> Tensor:
        """The features of both branches, `[B, C, F]` each, -> what is quantized, `[B, D, F]`."""
        return linear(torch.cat([acoustic, semantic], 1).transpose(1, 2), self.fc).transpose(1, 2)

    def _windows(self, streaming: StreamSettings | None, window_batch: int | None) -> Windows | None:
        if streaming is None:
            if window_batch is not None:
                raise ValueError(f"window_batch is {window_batch}, but goes with streaming=StreamSettings(...) alone")
            return None
        if window_batch is not None and (type(window_batch) is not int or window_batch < 1):
            raise ValueError(f"window_batch is {window_batch!r}, but must be a whole number, 1 or more, or None")
        return self.stream_windows(streaming)

    def _reads_values(self, check: bool) -> bool:
        """Whether values are looked at: never where that is impossible, under the compiler and in a graph's capture."""
        captured = self.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        return check and not torch.compiler.is_compiling() and not captured

    def _wants_dict(self, return_dict: bool | None) -> bool:
        return self.config.return_dict if return_dict is None else return_dict


def require_model(model: Any) -> None:
    """Raises TypeError on anything else than a model."""
    if not isinstance(model, XcodecModel):
        kind = type(model)
        raise TypeError(f"model must be an xcodec_fast.XcodecModel, but is a {kind.__module__}.{kind.__qualname__}")
