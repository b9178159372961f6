"""Clips of unequal lengths as the rows of one batch, from a list or from a padding mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xcodec_fast import checks
from xcodec_fast.intervals import Interval, keep
from xcodec_fast.pcm import require_array


@dataclass(frozen=True)
class Rows:
    """A batch as the layers take it.

    audio: `[B, 1, T]`, zero past each row's end; lengths: each row's samples; samples: the caller's T; named: whether
    the caller gave lengths, as a list or a mask, and so wants to be told the rows' frames.
    """

    audio: Tensor
    lengths: tuple[int, ...]
    samples: int
    named: bool

    @property
    def unequal(self) -> bool:
        """Whether some row ends before the batch does."""
        return any(length != self.audio.shape[2] for length in self.lengths)

    def whole(self, hop: int) -> Rows:
        """Every row filled up with zeros to whole frames."""
        lengths = tuple(-(-length // hop) * hop for length in self.lengths)
        return replace(self, audio=F.pad(self.audio, (0, max(lengths) - self.audio.shape[2])), lengths=lengths)


def as_rows(audio: Any, padding_mask: Any, like: Tensor, hop: int) -> Rows:
    """Audio `[B, 1, T]` with or without a mask `[B, T]`, or a list of clips `[T]`; `like` has their dtype and device.

    A row of a mask has the length of its ones rounded up to the hop, so that it equals the clip as its extractor pads
    it; a clip of a list keeps its own. Raises TypeError and ValueError as `checks.check_audio` and
    `checks.check_mask` do.
    """
    if isinstance(audio, list | tuple):
        if padding_mask is not None:
            raise ValueError(
                "padding_mask goes with a batch [B, 1, T]; a list of clips tells their lengths itself (the feature "
                "extractor gives a batch with return_tensors='pt')"
            )
        return _from_clips(audio, like)
    checks.check_audio(audio, like)
    batch, _, samples = audio.shape
    if padding_mask is None:
        return Rows(audio, (samples,) * batch, samples, named=False)
    checks.check_mask(padding_mask, "padding_mask", (batch, samples))
    ones = padding_mask.to(audio.device).sum(1)
    clean = keep(audio, Interval(torch.zeros_like(ones), ones))
    lengths = tuple(-(-length // hop) * hop for length in ones.tolist())
    return Rows(F.pad(clean, (0, -samples % hop)), lengths, samples, named=True)


def _from_clips(clips: Sequence[Any], like: Tensor) -> Rows:
    if not clips:
        raise ValueError("input_values is an empty list; it must hold at least one clip [T]")
    rows = []
    for index, clip in enumerate(clips):
        name = f"input_values[{index}]"
        require_array(clip, name)
        if isinstance(clip, np.ndarray):
            if clip.dtype.kind != "f":
                raise ValueError(f"{name} is an array of {clip.dtype}, but must be one of floats, in [-1, 1]")
            clip = torch.from_numpy(clip.astype(np.float64 if clip.itemsize > 4 else np.float32)).to(like)
        if clip.ndim != 1:
            raise ValueError(f"{name} must have the shape [T], but has {list(clip.shape)}")
        checks.check_like(clip, name, like)
        rows.append(clip)
    lengths = tuple(map(len, rows))
    return Rows(pad_sequence(rows, batch_first=True)[:, None], lengths, max(lengths), named=True)
