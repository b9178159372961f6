"""The feature extractor: clips of any number and length to padded model input, as the reference's DAC extractor."""

from __future__ import annotations

import logging
from collections import UserDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xcodec_fast.hub import Source, write_json
from xcodec_fast.words import kind_of

_log = logging.getLogger(__name__)
_CONFIG_FILE = "preprocessor_config.json"
_PADDINGS = ("longest", "max_length", "do_not_pad")
_TENSORS = (None, "pt", "np")


class BatchFeature(UserDict[str, Any]):
    """A mapping whose entries are attributes too, with `.to(device)`."""

    def __getattr__(self, name: str) -> Any:
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(name)

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Moves tensors as `torch.Tensor.to` does; a dtype is applied to floating-point ones only. Returns self."""
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        for name, value in self.data.items():
            if isinstance(value, torch.Tensor):
                cast = dtype if value.is_floating_point() else None
                self.data[name] = value.to(device, cast, non_blocking=non_blocking)
        return self


class XcodecFeatureExtractor:
    """Turns raw audio into `input_values` `[B, 1, T]` and `padding_mask` `[B, T]`, T a multiple of the hop.

    Args:
        feature_size: channels; only 1 is supported, as in the reference.
        sampling_rate: of the audio, in Hz; clips are not resampled (`xcodec_fast.audio.load_audio` does that).
        padding_value: what clips are padded with.
        hop_length: T is rounded up to it. 512 is the reference's default; the checkpoints' files say 320.
        padding_side: "right" or "left".
        return_attention_mask: not read, as in the reference; kept and written back.
        **unknown: any other key of `preprocessor_config.json`, kept and written back.

    model_input_names: the keys of what it gives, for processors to read, as of the reference's extractors.
    """

    model_input_names = ("input_values", "padding_mask")

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        hop_length: int = 512,
        padding_side: str = "right",
        return_attention_mask: bool = True,
        **unknown: Any,
    ) -> None:
        if hop_length < 1:
            raise ValueError(f"hop_length is {hop_length} samples, but must be 1 or more")
        if padding_side not in ("right", "left"):
            raise ValueError(f"padding_side is {padding_side!r}, but must be 'right' or 'left'")
        self.feature_size = feature_size
        self.sampling_rate = sampling_rate
        self.padding_value = padding_value
        self.hop_length = hop_length
        self.padding_side = padding_side
        self.return_attention_mask = return_attention_mask
        vars(self).update(unknown)

    def __call__(
        self,
        raw_audio: Any,
        padding: bool | str | None = None,
        truncation: bool | None = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        sampling_rate: int | None = None,
    ) -> BatchFeature:
        """Batches and pads clips.

        Args:
            raw_audio: one clip or a list of clips, each 1-D: array, tensor, or list of floats. Integers are not scaled,
                as in the reference; arrays of them are warned of.
            padding: True or "longest" (the default), "max_length", False or "do_not_pad".
            truncation: cut clips at `max_length`; `padding` must then be False, or None, which pads what is left.
            max_length: in samples, rounded up to the hop.
            return_tensors: "pt", "np", or None for a list of arrays.
            sampling_rate: of the clips in Hz, compared with the extractor's.

        Raises:
            ValueError: another sampling rate, more than one channel, arguments that contradict each other, or clips
                of different lengths that were not padded but asked for as one tensor.
        """
        self._check(padding, truncation, max_length, return_tensors, sampling_rate)
        padding = True if padding is None else padding
        _warn_of_integers(raw_audio)
        clips = [self._checked(clip) for clip in _as_clips(raw_audio)]
        if max_length is not None:
            max_length = self._rounded(max_length)
        if truncation:
            clips = [clip[:max_length] for clip in clips]
        masks = [np.ones(len(clip), np.int32) for clip in clips]
        if padding not in (False, "do_not_pad"):
            length = max_length if padding == "max_length" else self._rounded(max(map(len, clips)))
            clips = [self._padded(clip, length, self.padding_value) for clip in clips]
            masks = [self._padded(mask, length, 0) for mask in masks]
        batch: dict[str, Any] = {}
        if padding is not False:
            batch["padding_mask"] = np.stack(masks) if len(set(map(len, masks))) == 1 else masks
        batch["input_values"] = [clip[None] for clip in clips]
        if return_tensors is not None:
            batch = {name: _stacked(rows, name, return_tensors) for name, rows in batch.items()}
        return BatchFeature(batch)

    def _check(
        self, padding: Any, truncation: Any, max_length: Any, return_tensors: Any, sampling_rate: int | None
    ) -> None:
        if sampling_rate is None:
            _log.warning(
                "pass sampling_rate to %s(): without it, audio at a rate other than %d Hz goes unnoticed",
                type(self).__name__,
                self.sampling_rate,
            )
        elif sampling_rate != self.sampling_rate:
            raise ValueError(
                f"sampling_rate is {sampling_rate!r} Hz, but the model takes {self.sampling_rate} Hz: resample first"
            )
        if padding is not None and not (isinstance(padding, bool) or padding in _PADDINGS):
            raise ValueError(f"padding is {padding!r}, but must be a bool or one of {_PADDINGS}")
        if self.padding_value is None and padding not in (False, "do_not_pad"):
            raise ValueError("padding_value is None, but clips are to be padded: it must be a number")
        if return_tensors not in _TENSORS:
            raise ValueError(f"return_tensors is {return_tensors!r}, but must be one of {_TENSORS}")
        if padding and truncation:
            raise ValueError(f"padding={padding!r} and truncation={truncation!r} exclude each other")
        if max_length is None and (truncation or padding == "max_length"):
            raise ValueError("max_length is needed with truncation=True and with padding='max_length'")

    def _checked(self, clip: np.ndarray) -> np.ndarray:
        if self.feature_size != 1:
            raise ValueError(f"feature_size is {self.feature_size}, but only mono audio (1) is supported")
        if clip.ndim != 1:
            raise ValueError(f"a clip must be mono, with the shape (samples,), but has the shape {clip.shape}")
        return clip

    def _rounded(self, samples: int) -> int:
        return -(-samples // self.hop_length) * self.hop_length

    def _padded(self, clip: np.ndarray, length: int | None, value: float) -> np.ndarray:
        missing = max(0, (length or 0) - len(clip))
        widths = (0, missing) if self.padding_side == "right" else (missing, 0)
        return np.pad(clip, widths, constant_values=value)

    def to_dict(self) -> dict[str, Any]:
        """Every key of `preprocessor_config.json`, known or not; the type is the reference's, which reads it too."""
        return {**vars(self), "feature_extractor_type": "DacFeatureExtractor"}

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Writes `preprocessor_config.json` into a folder, created if need be."""
        write_json(save_directory, _CONFIG_FILE, self.to_dict())

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> XcodecFeatureExtractor:
        """Reads `preprocessor_config.json` of an embedded model, a folder or a hub id, looked up in this order.

        `trust_remote_code` is accepted and never acted on. Raises FileNotFoundError where there is none.
        """
        source = Source(name_or_path, revision, cache_dir, token, subfolder, local_files_only)
        return cls(**source.json(_CONFIG_FILE))


def _warn_of_integers(raw_audio: Any) -> None:
    for clip in raw_audio if isinstance(raw_audio, list | tuple) else [raw_audio]:
        dtype = str(getattr(clip, "dtype", "")).removeprefix("torch.")
        if dtype.startswith(("int", "uint")):
            _log.warning("raw_audio is %s, which is not scaled, as in the reference: give floats in [-1, 1]", dtype)
            return


def _as_clips(raw_audio: Any) -> list[np.ndarray]:
    """A list of clips becomes float32; a single array keeps its type, except float64, which becomes float32."""
    if raw_audio is None or isinstance(raw_audio, str | bytes | dict):
        raise TypeError(f"raw_audio must be an array, a tensor or a list, but is {kind_of(raw_audio)}")
    many = isinstance(raw_audio, list | tuple)
    if many and len(raw_audio) == 0:
        raise ValueError("raw_audio is an empty list; it must hold at least one clip")
    if many and isinstance(raw_audio[0], np.ndarray | torch.Tensor | list | tuple):
        return [_as_float32(clip) for clip in raw_audio]
    if isinstance(raw_audio, np.ndarray) and raw_audio.dtype != np.float64:
        return [raw_audio]
    return [_as_float32(raw_audio)]


def _as_float32(clip: Any) -> np.ndarray:
    if isinstance(clip, torch.Tensor):
        clip = clip.detach().cpu().float()
    return np.asarray(clip, dtype=np.float32)


def _stacked(rows: Sequence[np.ndarray], name: str, return_tensors: str) -> Any:
    lengths = sorted({row.shape[-1] for row in rows})
    if len(lengths) > 1:
        raise ValueError(f"{name} has clips of {lengths} samples, which are no tensor: use padding=True")
    array = np.stack(rows)
    return torch.from_numpy(array) if return_tensors == "pt" else array
