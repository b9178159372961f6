"""The codec: `encode` audio to codes, `decode` codes to audio, `forward` both."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec_fast import checks
from xcodec_fast.acoustic import AcousticDecoder, AcousticEncoder
from xcodec_fast.checkpoint import load_state_dict, read_state_dict, write_state_dict
from xcodec_fast.config import XcodecConfig
from xcodec_fast.hub import Source
from xcodec_fast.initialization import initialize
from xcodec_fast.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec_fast.quantizer import ResidualVectorQuantizer
from xcodec_fast.semantic import SemanticDecoder, SemanticEncoder, semantic_model


class XcodecModel(nn.Module):
    """X-Codec (arXiv 2408.17175), a drop-in for `transformers.XcodecModel`.

    audio -> semantic model -> encoder_semantic -+
    audio -> acoustic_encoder -------------------+-> fc -> quantizer -> codes -> fc2 -> acoustic_decoder -> audio

    Raises ValueError where the config describes no model (`checks.check_config`).
    """

    def __init__(self, config: XcodecConfig) -> None:
        super().__init__()
        checks.check_config(config)
        self.config = config
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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.fc.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' type, which audio must have too."""
        return self.fc.weight.dtype

    def encode(
        self,
        input_values: Tensor,
        bandwidth: float | None = None,
        return_dict: bool | None = None,
        *,
        padding_mask: Tensor | None = None,
        check: bool = True,
    ) -> XcodecEncoderOutput | Any:
        """Audio `[B, 1, T]` -> codes `[B, Q, F]`, int64, deterministic in every mode and without gradient.

        Args:
            input_values: samples at `config.sample_rate` Hz, of the model's dtype.
            bandwidth: kbps, one of `config.target_bandwidths`, None for the last; sets Q.
            return_dict: False for the bare tensor; None for `config.return_dict`.
            padding_mask: `[B, T]` as the feature extractor gives it; each row must round up to T.
            check: False leaves out the look for NaN and infinity, a synchronization on a GPU.

        Raises:
            TypeError: an argument of another type.
            ValueError: a shape, dtype, device, length, bandwidth, mask or sample that is not allowed.
        """
        checks.check_audio(input_values, self.fc.weight)
        if bandwidth is None:
            bandwidth = self.config.target_bandwidths[-1]
        checks.check_bandwidth(bandwidth, self.config.target_bandwidths)
        batch, _, samples = input_values.shape
        if self._semantic_frames(samples) < 1:
            raise ValueError(
                f"input_values has {samples} samples a clip, but a frame needs at least {self._shortest()}"
            )
        if padding_mask is not None:
            checks.check_padding_mask(padding_mask, batch, samples, self.config.hop_length)
        if check and not torch.compiler.is_compiling():
            checks.check_finite(input_values)
        with torch.no_grad():
            audio_codes = self.quantizer.encode(self._embed(input_values), bandwidth).transpose(0, 1)
        return XcodecEncoderOutput(audio_codes) if self._wants_dict(return_dict) else audio_codes

    def decode(
        self, audio_codes: Tensor, return_dict: bool | None = None, *, check: bool = True
    ) -> XcodecDecoderOutput | Any:
        """Codes `[B, Q, F]` -> audio `[B, 1, F * hop]`; differentiable in the weights.

        Args:
            audio_codes: integers in 0 ... codebook_size - 1; Q may be any number of stages.
            return_dict: False for the bare tensor; None for `config.return_dict`.
            check: False leaves out the look at the codes' range, a synchronization on a GPU.

        Raises:
            TypeError: not a tensor.
            ValueError: a shape, dtype or device that is not allowed.
            IndexError: a code out of range.
        """
        checks.check_codes(audio_codes, self.config.num_quantizers, self.device)
        if check and not torch.compiler.is_compiling():
            checks.check_code_range(audio_codes, self.config.codebook_size)
        quantized = self.quantizer.decode(audio_codes.long().transpose(0, 1))
        audio_values = self.acoustic_decoder(self.fc2(quantized.transpose(1, 2)).transpose(1, 2))
        return XcodecDecoderOutput(audio_values) if self._wants_dict(return_dict) else audio_values

    def forward(
        self,
        input_values: Tensor,
        audio_codes: Tensor | None = None,
        bandwidth: float | None = None,
        *,
        padding_mask: Tensor | None = None,
        return_dict: bool | None = None,
        check: bool = True,
    ) -> XcodecOutput | Any:
        """`encode` and `decode`, the audio cut to the input's T samples; given codes are decoded as they are.

        Like the reference's, it returns fewer than T samples where the encoder ends before the clip does
        (T mod hop in 1..79 at the default config: 399 -> 320).
        """
        if audio_codes is None:
            audio_codes = self.encode(input_values, bandwidth, True, padding_mask=padding_mask, check=check).audio_codes
        audio_values = self.decode(audio_codes, True, check=check).audio_values[..., : input_values.shape[-1]]
        if self._wants_dict(return_dict):
            return XcodecOutput(audio_codes, audio_values)
        return audio_codes, audio_values

    def _extract_semantic_features(self, input_values: Tensor) -> Tensor:
        """Audio `[B, 1, T]`, padded by hop / 2 on each side, -> mean hidden states `[B, F, C]`, without gradient."""
        with torch.no_grad():
            return self.semantic_model(F.pad(input_values[:, 0], (self.pad, self.pad)))

    def _embed(self, audio: Tensor) -> Tensor:
        """Audio `[B, 1, T]` -> what is quantized, `[B, D, F]`."""
        semantic = self.encoder_semantic(self._extract_semantic_features(audio).transpose(1, 2))
        pad = self._acoustic_pad(audio.shape[2], semantic.shape[2])
        acoustic = self.acoustic_encoder(F.pad(audio, (pad, pad)))
        return self.fc(torch.cat([acoustic, semantic], 1).transpose(1, 2)).transpose(1, 2)

    def _semantic_frames(self, samples: int) -> int:
        front_end = self.semantic_model.feature_extractor
        return self.encoder_semantic.output_length(front_end.output_length(samples + 2 * self.pad))

    def _acoustic_pad(self, samples: int, frames: int) -> int:
        """Padding on each side that makes the acoustic branch as long as the semantic one.

        At the default config 0, but hop / 2 where T mod hop is in 80..311.
        """
        for pad in (0, self.pad):
            if self.acoustic_encoder.output_length(samples + 2 * pad) == frames:
                return pad
        raise ValueError(
            f"{samples} samples give {frames} semantic frames, but "
            f"{self.acoustic_encoder.output_length(samples)} acoustic ones: the config's strides and kernels do not fit"
        )

    def _shortest(self) -> int:
        """The fewest samples that give a frame: 80 at the default config."""
        samples = 1
        while self._semantic_frames(samples) < 1:
            samples += 1
        return samples

    def _wants_dict(self, return_dict: bool | None) -> bool:
        return self.config.return_dict if return_dict is None else return_dict

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | int | None = None,
        device_map: torch.device | str | int | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> XcodecModel:
        """Loads a checkpoint, in eval mode.

        Args:
            name_or_path: an embedded model ("xcodec-tiny"), else a folder, else a hub id.
            dtype: None for the one that config.json names, else the weights'; `torch_dtype` is its older name.
            device: where to; `device_map` is the reference's name for it, "auto" the first GPU, else the CPU.
            revision, cache_dir, token, subfolder, local_files_only: of the hub.
            trust_remote_code: accepted, never acted on.

        Raises:
            FileNotFoundError: no such checkpoint, or a file of it is missing.
            ValueError: a damaged file, a required tensor missing or of another shape, an unknown dtype.
        """
        source = Source(str(name_or_path), revision, cache_dir, token, subfolder, local_files_only)
        config = XcodecConfig.from_json_file(source.file("config.json"))
        state = read_state_dict(source, _as_device(device, device_map))
        stored = next(tensor.dtype for tensor in state.values() if tensor.is_floating_point())
        named = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)
        with torch.device("meta"):
            model = cls(config)
        load_state_dict(model, state, _as_dtype(dtype, torch_dtype, named) or stored)
        return model.eval()

    def save_pretrained(self, save_directory: str | Path, *, max_shard_size: int | str = "5GB") -> None:
        """Writes config.json and safetensors that the reference loads too, into a folder, created if need be.

        A file of an earlier save is replaced when the new one is whole.
        """
        config = copy(self.config)
        vars(config).pop("torch_dtype", None)
        vars(config).update(architectures=["XcodecModel"], dtype=str(self.dtype).removeprefix("torch."))
        config.save_pretrained(save_directory)
        write_state_dict(self.state_dict(), Path(save_directory), max_shard_size)


def _as_device(device: Any, device_map: Any) -> torch.device:
    if device is not None and device_map is not None:
        raise ValueError(f"give device ({device!r}) or device_map ({device_map!r}), not both")
    chosen = device if device is not None else device_map
    if chosen is None:
        return torch.device("cpu")
    if chosen == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if not isinstance(chosen, str | int | torch.device):
        raise TypeError(f"device_map must be one device or 'auto', but is {chosen!r}")
    return torch.device(chosen)


def _as_dtype(*candidates: torch.dtype | str | None) -> torch.dtype | None:
    for candidate in candidates:
        if candidate is None or candidate == "auto":
            continue
        found = getattr(torch, candidate.removeprefix("torch."), None) if isinstance(candidate, str) else candidate
        if not isinstance(found, torch.dtype) or not found.is_floating_point:
            raise ValueError(f"dtype is {candidate!r}, but must be a floating-point type such as 'float32', 'bfloat16'")
        return found
    return None
