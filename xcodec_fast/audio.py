"""Audio files: read as mono at the model's rate, and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Audio:
    """Mono samples, float32 `[T]` in [-1, 1], at `sample_rate` Hz, and what the file held before conversion."""

    samples: np.ndarray
    sample_rate: int
    file_rate: int
    file_channels: int


def load_audio(path: str | Path, sample_rate: int) -> Audio:
    """Reads any file that soundfile reads, mixed down to mono and resampled (soxr, HQ) to `sample_rate` Hz.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not audio, no samples, or samples that are not finite.
    """
    # Both are imported where they are used: a machine that only encodes tensors may lack them.
    import soundfile
    import soxr

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not a file" if Path(path).exists() else f"{path} does not exist")
    try:
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is not an audio file that soundfile reads: {error}") from error
    channels = samples.shape[1]
    mono = samples.mean(1)
    if len(mono) == 0:
        raise ValueError(f"{path} holds no samples")
    if not np.isfinite(mono).all():
        raise ValueError(f"{path} holds samples that are NaN or infinite")
    if file_rate != sample_rate:
        mono = soxr.resample(mono, file_rate, sample_rate)
        if len(mono) == 0:
            raise ValueError(
                f"{path} is too short: its {len(samples)} samples at {file_rate} Hz give none at {sample_rate} Hz"
            )
    return Audio(np.ascontiguousarray(mono, dtype=np.float32), sample_rate, file_rate, channels)


def save_audio(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Writes mono samples `[T]` as 16-bit PCM, values beyond [-1, 1] clipped. Raises OSError where it cannot."""
    import soundfile

    try:
        soundfile.write(path, np.clip(samples, -1, 1), sample_rate, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
