"""Chunks of a stream as users have them, checked and converted, and the queue in which they wait."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xcodec_fast.words import kind_of

_FULL_SCALE = {"int16": 1 << 15, "int32": 1 << 31}


def samples_dtype(dtype: torch.dtype) -> torch.dtype:
    """In which samples wait and are resampled for a model of `dtype`: float64 for that, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def as_samples(chunk: Any, name: str, dtype: torch.dtype, check: bool) -> Tensor:
    """Mono PCM, `[n]`, `[1, n]`, `[n, 1]` or `[1, 1, n]`, -> a copy on the CPU, samples `[n]` in [-1, 1].

    `dtype` is the model's. Raises TypeError where it is no array, ValueError on another shape or dtype and, with
    `check`, on what is NaN or infinite in the model's dtype.
    """
    own = samples_dtype(dtype)
    require_array(chunk, name)
    if isinstance(chunk, np.ndarray):
        if chunk.dtype.name not in ("float32", "float64", *_FULL_SCALE):
            raise ValueError(_wrong_dtype(name, str(chunk.dtype)))
        chunk = torch.from_numpy(np.array(chunk, chunk.dtype.newbyteorder("=")))
    shape, kind = list(chunk.shape), str(chunk.dtype).removeprefix("torch.")
    one_column = len(shape) == 2 and shape[1] == 1
    if len(shape) not in (1, 2, 3) or (any(extent != 1 for extent in shape[:-1]) and not one_column):
        raise ValueError(f"{name} must be mono, of the shape [n], [1, n], [n, 1] or [1, 1, n], but has {shape}")
    if kind not in ("float32", "float64", *_FULL_SCALE):
        raise ValueError(_wrong_dtype(name, kind))
    samples = chunk.detach().flatten().cpu()
    if kind in _FULL_SCALE:
        return (samples.double() / _FULL_SCALE[kind]).to(own)
    if check and (bad := int((~samples.to(dtype).isfinite()).sum())):
        raise ValueError(f"{name} holds {bad} NaN or infinite of {len(samples)} samples; all must be finite")
    return samples.to(own, copy=True)


def require_array(value: Any, name: str) -> None:
    """Nothing but a numpy array or a tensor will do."""
    if not isinstance(value, np.ndarray | Tensor):
        raise TypeError(f"{name} must be a numpy array or a torch.Tensor, but is {kind_of(value)}")


def _wrong_dtype(name: str, kind: str) -> str:
    return f"{name} is of dtype {kind}, but must be one of float32, float64 (in [-1, 1]), int16 and int32"


class Queue:
    """What has arrived and waits: positions along the last axis of tensors `[..., n]` that are otherwise alike."""

    def __init__(self) -> None:
        self._pieces: deque[Tensor] = deque()
        self._dropped = 0  # positions of the first piece
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, piece: Tensor) -> None:
        """Adds at the end."""
        if piece.shape[-1]:
            self._pieces.append(piece)
            self._length += piece.shape[-1]

    def head(self, length: int) -> Tensor | None:
        """The first `length` positions, or all where there are fewer; None where there are none."""
        taken, begin = [], self._dropped
        for piece in self._pieces:
            if length <= 0:
                break
            taken.append(piece[..., begin : begin + length])
            length -= taken[-1].shape[-1]
            begin = 0
        if len(taken) < 2:
            return taken[0] if taken else None
        return torch.cat(taken, -1)

    def drop(self, length: int) -> None:
        """Removes the first `length` positions, or all where there are fewer."""
        length = min(length, self._length)
        self._length -= length
        self._dropped += length
        while self._pieces and self._dropped >= self._pieces[0].shape[-1]:
            self._dropped -= self._pieces.popleft().shape[-1]
        if not self._pieces:
            self._dropped = 0

    def all(self) -> Tensor | None:
        """Every position; None where there are none."""
        return self.head(self._length)
