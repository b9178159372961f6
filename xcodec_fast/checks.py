"""Refusals of bad input: each names the value that was given and what is allowed.

Shapes and types are always checked. Values (finite audio, codes in range) cost a synchronization on a GPU, so
their checks are functions of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, cast

import torch
from torch import Tensor

from xcodec_fast.words import kind_of

_CODE_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16)


def require_tensor(value: Any, name: str) -> None:
    """Nothing but a tensor will do."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, but is {kind_of(value)}")


def check_audio(audio: Any, like: Tensor) -> None:
    """Audio must be `[B, 1, T]` of the dtype and device of `like`, B >= 1."""
    require_tensor(audio, "input_values")
    shape = list(audio.shape)
    if audio.ndim != 3:
        raise ValueError(f"input_values must have the shape [B, 1, T], but has {shape}")
    if shape[1] != 1:
        raise ValueError(f"audio must be mono, [B, 1, T], but input_values has {shape[1]} channels")
    if shape[0] == 0:
        raise ValueError(f"input_values must hold at least one clip, but has the shape {shape}")
    check_like(audio, "input_values", like)


def check_like(audio: Tensor, name: str, like: Tensor) -> None:
    """Audio must have the dtype and device of `like`."""
    if audio.dtype != like.dtype:
        how = "give floats in [-1, 1], converted"
        if audio.dtype in (torch.int16, torch.int32):
            how = f"divide it by {torch.iinfo(audio.dtype).max + 1}, and convert it"
        raise ValueError(f"{name} is {audio.dtype}, but the model is {like.dtype}: {how} with .to(model.dtype)")
    if audio.device != like.device:
        raise ValueError(f"{name} is on {audio.device}, but the model on {like.device}: use .to(model.device)")


def check_finite(audio: Tensor) -> None:
    """Audio must hold no NaN and no infinity."""
    if not bool(torch.isfinite(audio).all()):
        bad = int((~torch.isfinite(audio)).sum())
        raise ValueError(f"input_values holds {bad} NaN or infinite of {audio.numel()} samples; all must be finite")


def check_mask(mask: Any, name: str, shape: tuple[int, int]) -> None:
    """A mask of bools, or of the integers 0 and 1, whose rows are ones first, at least one, then zeros."""
    require_tensor(mask, name)
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name} must have the shape {list(shape)}, but has {list(mask.shape)}")
    valid = mask.bool()
    if mask.dtype.is_floating_point or mask.is_complex():
        raise ValueError(f"{name} must be bool or hold the integers 0 and 1, but is {mask.dtype}")
    if not bool((mask == valid).all()):
        raise ValueError(f"{name} must hold 0 and 1 only, but holds {int(mask[mask != valid][0])}")
    ones_first = valid.cummin(1).values == valid
    for row, (prefix, some) in enumerate(zip(ones_first.all(1).tolist(), valid.any(1).tolist(), strict=True)):
        if not prefix:
            raise ValueError(f"{name} row {row} has holes or left padding; ones must come first, then zeros")
        if not some:
            raise ValueError(f"{name} row {row} has 0 of {shape[1]} positions; it must have at least one")


def chosen_bandwidth(bandwidth: Any, allowed: Sequence[float]) -> float:
    """A bandwidth in kbps, which must be one of the model's; None for the last of them."""
    if bandwidth is None:
        return allowed[-1]
    if isinstance(bandwidth, bool) or not isinstance(bandwidth, Real):
        raise TypeError(f"bandwidth must be a number of kbps, but is {kind_of(bandwidth)}")
    if bandwidth not in allowed:
        raise ValueError(f"bandwidth {float(bandwidth):g} kbps is not supported; it must be one of {list(allowed)}")
    return cast(float, bandwidth)


def check_codes(codes: Any, stages: int, device: torch.device, fewest: int = 1, name: str = "audio_codes") -> None:
    """Codes must be integers `[B, Q, F]` on the model's device, B >= 1, 1 <= Q <= stages, F >= `fewest`."""
    require_tensor(codes, name)
    shape = list(codes.shape)
    if codes.ndim != 3:
        raise ValueError(f"{name} must have the shape [B, Q, F], but has {shape}")
    if codes.dtype not in _CODE_DTYPES:
        allowed = ", ".join(map(str, _CODE_DTYPES))
        raise ValueError(f"{name} is {codes.dtype}, but must be integers, of {allowed}")
    if 0 in shape[:2] or shape[2] < fewest:
        what = "clip, stage and frame" if fewest else "clip and stage"
        raise ValueError(f"{name} must hold at least one {what}, but has the shape {shape}")
    if shape[1] > stages:
        raise ValueError(f"{name} has {shape[1]} stages, but the model has {stages}")
    if codes.device != device:
        raise ValueError(f"{name} is on {codes.device}, but the model on {device}: use .to(model.device)")


def check_code_range(codes: Tensor, codebook_size: int, name: str = "audio_codes") -> None:
    """Codes must lie in 0 ... K - 1."""
    low, high = (int(value) for value in codes.long().aminmax())  # torch compares no uint16
    if low < 0 or high >= codebook_size:
        raise IndexError(f"{name} holds {low if low < 0 else high}; codes must be in 0..{codebook_size - 1}")
