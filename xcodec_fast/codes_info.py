"""The codes of a clip with what a file says of them, and whether that can be true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.audio import HIGHEST_RATE
from xcodec_fast.windows import Windows

HASH_BYTES = 16
LONGEST_ID = 255  # bytes of UTF-8
_LIMITS = {
    "sample_rate": (1, HIGHEST_RATE),
    "hop_length": (1, 1 << 20),
    "codebook_size": (2, 1 << 16),
    "quantizers": (1, 1 << 10),
    "frames": (1, 1 << 40),
    "samples": (1, 1 << 60),
    "original_rate": (1, HIGHEST_RATE),
    "original_samples": (1, 1 << 60),
}


@dataclass(frozen=True)
class CodesInfo:
    """Fields of the header; `container_xcodec` has their layout.

    samples: length of the audio at `sample_rate`, of which the codes cover `frames * hop_length`; original_rate,
    original_samples: of the file that was encoded; codebooks: their hash; windows: those that were encoded one by one,
    None where the audio was encoded at once.

    Raises ValueError where a field is out of range or contradicts another.
    """

    sample_rate: int
    hop_length: int
    codebook_size: int
    quantizers: int
    frames: int
    samples: int
    original_rate: int
    original_samples: int
    codebooks: bytes
    model_id: str = ""
    windows: Windows | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} is {value!r}, but must be an integer in {low}..{high}")
        covered = self.frames * self.hop_length
        if not covered - self.hop_length < self.samples <= covered:
            raise ValueError(
                f"samples is {self.samples}, but {self.frames} frames of {self.hop_length} cover {covered}"
            )
        # Resampling rounds the length; more than two samples of the coarser rate would be another clip.
        apart = abs(self.original_samples * self.sample_rate - self.samples * self.original_rate)
        if apart > 2 * max(self.sample_rate, self.original_rate):
            raise ValueError(
                f"original_samples is {self.original_samples} at {self.original_rate} Hz, but samples is "
                f"{self.samples} at {self.sample_rate} Hz: not the same duration"
            )
        if not isinstance(self.codebooks, bytes) or len(self.codebooks) != HASH_BYTES:
            raise ValueError(f"the hash of the codebooks must have {HASH_BYTES} bytes")
        if not is_model_id(self.model_id):
            raise ValueError(f"model_id must be printable text of at most {LONGEST_ID} bytes")

    @property
    def bits(self) -> int:
        """Bits per code: ceil(log2 K)."""
        return bits_per_code(self.codebook_size)

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.samples / self.sample_rate

    @property
    def kbps(self) -> float:
        """Bit rate of the codes: bits * quantizers * frames per second / 1000."""
        return self.bits * self.quantizers * self.sample_rate / self.hop_length / 1000


@dataclass(frozen=True)
class ClipCodes:
    """The codes of one clip, int64 `[1, Q, F]`, as `decode` takes them, and what is to be known of them.

    Raises ValueError where one does not fit the other.
    """

    audio_codes: Tensor
    info: CodesInfo

    def __post_init__(self) -> None:
        codes, shape = self.audio_codes, (1, self.info.quantizers, self.info.frames)
        if codes.dtype != torch.int64 or codes.shape != shape:
            raise ValueError(f"audio_codes is {codes.dtype} {list(codes.shape)}, but must be int64 {list(shape)}")
        low, high = (int(code) for code in codes.aminmax())
        if low < 0 or high >= self.info.codebook_size:
            outside = low if low < 0 else high
            raise ValueError(f"audio_codes holds the code {outside}, but must be in 0..{self.info.codebook_size - 1}")


def bits_per_code(codebook_size: int) -> int:
    """ceil(log2 K), K >= 2."""
    return (codebook_size - 1).bit_length()


def is_model_id(value: Any) -> bool:
    """Whether a model's name can be written into a file; "" where it has none."""
    return isinstance(value, str) and value.isprintable() and len(value.encode("utf-8", "replace")) <= LONGEST_ID
