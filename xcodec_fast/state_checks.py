"""What is asked of every part of a state that comes back from a file: keys, types, ranges and shapes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.words import kind_of

_MOST = 1 << 48  # frames: no position overflows an int64


def check_keys(state: Any, name: str, keys: Collection[str]) -> None:
    """A part of a state must be a dict of just these keys."""
    if not isinstance(state, dict):
        raise damaged(f"{name} is {kind_of(state)}, but must be a dict")
    if set(state) != set(keys):
        raise damaged(f"{name} has the keys {list(state)}, but must have {sorted(keys)}")


def check_count(name: str, count: Any, least: int, most: int = _MOST) -> None:
    """A count must be an integer in these bounds."""
    if type(count) is not int or not least <= count <= most:
        raise damaged(f"{name} is {count!r}, but must be an integer in {least}..{most}")


def check_tensor(value: Any, name: str, dtype: torch.dtype, shape: list[int]) -> None:
    """A tensor must have this dtype and shape, -1 being any extent."""
    if not isinstance(value, Tensor):
        raise damaged(f"{name} is {kind_of(value)}, but must be a torch.Tensor")
    fits = value.ndim == len(shape) and all(want in (-1, has) for has, want in zip(value.shape, shape, strict=True))
    if value.is_meta:
        raise damaged(f"{name} has no values")
    if value.dtype != dtype or not fits:
        raise damaged(f"{name} is {value.dtype} {list(value.shape)}, but must be {dtype} {shape}")


def check_kept_codes(codes: Tensor, name: str, codebook_size: int) -> None:
    """Codes must lie in 0 ... K - 1."""
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
        raise damaged(f"{name} holds codes outside 0..{codebook_size - 1}")


def check_finite(samples: Tensor, name: str) -> None:
    """Samples must hold no NaN and no infinity."""
    if not bool(samples.isfinite().all()):
        raise damaged(f"{name} holds NaN or infinity")


def damaged(what: str) -> ValueError:
    """The error that says what of a state cannot be."""
    return ValueError(f"the state is damaged: {what}")
