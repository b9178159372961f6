"""Codes to and from files: `.xcodec` (`container_xcodec` has its layout), or `.npz` by the suffix."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xcodec_fast import checks
from xcodec_fast.codes_info import ClipCodes, CodesInfo, is_model_id
from xcodec_fast.container_npz import read_npz, write_npz
from xcodec_fast.container_xcodec import read_xcodec, write_xcodec
from xcodec_fast.model import XcodecModel, require_model
from xcodec_fast.whole import check_readable, written_whole
from xcodec_fast.windows import Windows
from xcodec_fast.words import kind_of


class CodesSuffix(StrEnum):
    """Formats of codes."""

    xcodec = ".xcodec"
    npz = ".npz"


SUFFIXES = tuple(CodesSuffix)


def clip_codes(
    audio_codes: Tensor,
    model: XcodecModel,
    *,
    samples: int | None = None,
    original_rate: int | None = None,
    original_samples: int | None = None,
    windows: Windows | None = None,
) -> ClipCodes:
    """The codes of one clip, `[1, Q, F]` or `[Q, F]`, that `model` gave, with what a file says of them.

    Args:
        samples: length of the audio at the model's rate; None for all F * hop.
        original_rate, original_samples: in Hz, and at that rate, of the audio before it was resampled; None where it
            was not.
        windows: what the codes were made in; None for at once.

    Raises TypeError, ValueError and IndexError on codes that the model cannot have given, ValueError on lengths that
    fit neither them nor each other.
    """
    require_model(model)
    checks.require_tensor(audio_codes, "audio_codes")
    codes = audio_codes[None] if audio_codes.ndim == 2 else audio_codes
    config = model.config
    checks.check_codes(codes, config.num_quantizers, audio_codes.device)
    checks.check_code_range(codes, config.codebook_size)
    if len(codes) != 1:
        raise ValueError(f"audio_codes has the shape {list(codes.shape)}, but must be of one clip, [1, Q, F]")
    _, quantizers, frames = codes.shape
    samples = frames * config.hop_length if samples is None else samples
    info = CodesInfo(
        config.sample_rate,
        config.hop_length,
        config.codebook_size,
        quantizers,
        frames,
        samples,
        config.sample_rate if original_rate is None else original_rate,
        samples if original_samples is None else original_samples,
        model.quantizer.codebooks_hash(),
        model.model_id if is_model_id(model.model_id) else "",
        windows,
    )
    return ClipCodes(codes.long(), info)


def save_codes(path: str | Path, clip: ClipCodes) -> None:
    """Writes `.xcodec` or `.npz`, whole or not at all; a file of that name is replaced.

    Raises TypeError on bare codes, ValueError on another suffix, OSError where the file cannot be written.
    """
    require_clip(clip)
    path = Path(path)
    check_suffix(path)
    write = write_npz if path.suffix.lower() == ".npz" else write_xcodec
    with written_whole(path) as temporary:
        write(temporary, clip.audio_codes[0].cpu().numpy(), clip.info)


def require_clip(clip: Any) -> None:
    """Raises TypeError on anything else than codes with their info."""
    if not isinstance(clip, ClipCodes):
        raise TypeError(
            "clip must be ClipCodes, as load_codes(path) or clip_codes(audio_codes, model) give them, "
            f"but is {kind_of(clip)}"
        )


def check_suffix(path: Path) -> None:
    """Raises ValueError where a file of codes cannot have this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} cannot be written: a file of codes must end in {' or '.join(SUFFIXES)}")


def load_codes(path: str | Path, model: XcodecModel | None = None) -> ClipCodes:
    """Reads what `save_codes` wrote. With a model, the codes must be of its codebooks.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no file of codes, a truncated, extended, damaged or newer one, or another model's.
    """
    path = Path(path)
    check_readable(path)
    codes, info = read_npz(path) if path.suffix.lower() == ".npz" else read_xcodec(path)
    try:
        clip = ClipCodes(torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64))[None], info)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if model is not None:
        check_model(path, info, model)
    return clip


def check_model(what: str | Path, info: CodesInfo, model: XcodecModel) -> None:
    """Raises ValueError where the codes, called `what`, are not of this model's codebooks, rate and hop."""
    config, own = model.config, model.quantizer.codebooks_hash()
    if info.codebooks != own:
        made_by = f"the model {info.model_id!r}" if info.model_id else "a model that is not named"
        raise ValueError(
            f"{what}: the codes were made by {made_by} with the codebooks {info.codebooks.hex()}, but the model "
            f"{model.model_id!r}, in {str(model.dtype).removeprefix('torch.')}, has {own.hex()}"
        )
    theirs = (info.codebook_size, info.sample_rate, info.hop_length)
    ours = (config.codebook_size, config.sample_rate, config.hop_length)
    if theirs != ours or info.quantizers > config.num_quantizers:
        raise ValueError(
            f"{what}: {info.quantizers} stages of codebook size, Hz and hop {theirs} do not fit the model's "
            f"{config.num_quantizers} of {ours}"
        )
