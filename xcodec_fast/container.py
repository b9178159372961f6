"""Codes to and from files: `.xcodec` (`container_xcodec` has its layout), or `.npz` by the suffix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xcodec_fast import checks
from xcodec_fast.codes_info import ClipCodes, CodesInfo, is_model_id
from xcodec_fast.container_npz import read_npz, write_npz
from xcodec_fast.container_xcodec import read_xcodec, write_xcodec
from xcodec_fast.model import XcodecModel
from xcodec_fast.whole import written_whole
from xcodec_fast.windows import Windows

SUFFIXES = (".xcodec", ".npz")


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
    if not isinstance(clip, ClipCodes):
        raise TypeError(
            f"clip must be ClipCodes, as clip_codes(audio_codes, model) gives them, but is a {type(clip).__name__}"
        )
    path = Path(path)
    check_suffix(path)
    write = write_npz if path.suffix.lower() == ".npz" else write_xcodec
    with written_whole(path) as temporary:
        write(temporary, clip.audio_codes[0].cpu().numpy(), clip.info)


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
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    codes, info = read_npz(path) if path.suffix.lower() == ".npz" else read_xcodec(path)
    if int(codes.max()) >= info.codebook_size:
        raise ValueError(f"{path} is damaged: it holds the code {codes.max()} of 0..{info.codebook_size - 1}")
    if model is not None:
        check_model(path, info, model)
    return ClipCodes(torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64))[None], info)


def check_model(path: str | Path, info: CodesInfo, model: XcodecModel) -> None:
    """Raises ValueError where the codes are not of this model's codebooks."""
    if info.codebooks != model.quantizer.codebooks_hash():
        made_by = f"the model {info.model_id!r}" if info.model_id else "a model that it does not name"
        raise ValueError(f"{path} was made by {made_by}, whose codebooks are not those of the given {model.model_id!r}")
    config = model.config
    if (info.sample_rate, info.hop_length) != (config.sample_rate, config.hop_length):
        raise ValueError(
            f"{path} is of {info.sample_rate} Hz with a hop of {info.hop_length}, but the model of "
            f"{config.sample_rate} Hz with a hop of {config.hop_length}"
        )
