"""Audio files: read as mono at the model's rate, whole or piece by piece, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from xcodec_fast.whole import Sink, check_readable, files_below, written_whole
from xcodec_fast.words import counted

# soundfile and soxr are imported where they are used: a machine that only encodes tensors may lack them.

HIGHEST_RATE = 1_000_000  # Hz
_BLOCK = 1 << 16
# By suffix, the formats that carry their rate and length, as soundfile names them; None for the format's own subtype.
_FORMATS: dict[str, tuple[str, str | None]] = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", None),
    ".oga": ("OGG", None),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", None),
    ".aiff": ("AIFF", "PCM_16"),
    ".aif": ("AIFF", "PCM_16"),
    ".au": ("AU", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".rf64": ("RF64", "PCM_16"),
}
AUDIO_SUFFIXES = tuple(_FORMATS)


@dataclass(frozen=True)
class Audio:
    """Mono samples, float32 `[T]` in [-1, 1], at `sample_rate` Hz, and what the file held before conversion."""

    samples: np.ndarray
    sample_rate: int
    file_rate: int
    file_channels: int
    file_samples: int


class AudioReader:
    """Reads any file that soundfile reads, resampled (soxr, HQ) to `sample_rate` Hz, however long, piece by piece.

    The pieces are, put together, bit for bit what resampling the whole gives. `mono` mixes channels down by their
    mean; without it a file of several is an error.

    Attributes: file_rate (Hz), file_channels, file_samples (those read so far), samples (those given so far, at
    `sample_rate`), expected (the same that the file's header promises; 0 where it does not tell).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not audio, no samples, samples that are not finite, several channels without `mono`, a wrong rate.
    """

    def __init__(self, path: str | Path, sample_rate: int, mono: bool = False) -> None:
        import soundfile

        check_rate(sample_rate)
        check_readable(path)
        self.path = path
        self.sample_rate = sample_rate
        self.file_samples = self.samples = 0
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: .raw, which tells nothing of itself
            raise ValueError(f"{path} is not an audio file that soundfile reads: {_reason(error)}") from error
        self.file_rate, self.file_channels = self._file.samplerate, self._file.channels
        self.expected = self._file.frames * sample_rate // self.file_rate if 0 < self._file.frames < 1 << 40 else 0
        problem = ""
        if self.file_channels > 1 and not mono:
            mix = "mix them down by --mono (mono=True in Python)"
            problem = f"has {self.file_channels} channels, but the codec is mono: {mix}"
        if not 1 <= self.file_rate <= HIGHEST_RATE:
            problem = f"has a sample rate of {self.file_rate} Hz, but it must be in 1..{HIGHEST_RATE}"
        if problem:
            self.close()
            raise ValueError(f"{path} {problem}")
        # So many samples at a time that neither they, in all channels, nor what they become is much.
        self._block = max(1, min(_BLOCK, _BLOCK * self.file_rate // sample_rate) // self.file_channels)
        self._resampler: Any = None
        if self.file_rate != sample_rate:
            import soxr

            self._resampler = soxr.ResampleStream(self.file_rate, sample_rate, 1, dtype="float32")
        self._ready: list[np.ndarray] = []
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def read(self, samples: int | None = None) -> np.ndarray:
        """The next `samples` samples, or all that are left: float32 `[n]`, n less only where the file ends."""
        count = sum(map(len, self._ready))
        while not self._ended and (samples is None or count < samples):
            self._ready.append(self._next_block())
            count += len(self._ready[-1])
        joined = np.concatenate([*self._ready, np.zeros(0, np.float32)])
        end = len(joined) if samples is None else samples
        self._ready = [joined[end:]]
        self.samples += len(joined[:end])
        return joined[:end]

    def _next_block(self) -> np.ndarray:
        import soundfile

        try:
            block = self._file.read(self._block, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{self.path} is damaged: {_reason(error)}") from error
        self._ended = len(block) < self._block
        if (bad := finite_length(np.abs(block).max(1))) < len(block):
            value = next(value for value in block[bad] if not np.isfinite(value))
            raise not_finite(str(self.path), value, self.file_samples + bad, self.file_rate)
        block = block.mean(1, dtype=np.float64).astype(np.float32)
        self.file_samples += len(block)
        if self._ended and self.file_samples == 0:
            raise ValueError(f"{self.path} holds no samples")
        return block if self._resampler is None else self._resampler.resample_chunk(block, last=self._ended)


def load_audio(path: str | Path, sample_rate: int, mono: bool = True) -> Audio:
    """Reads any file that soundfile reads, resampled (soxr, HQ) to `sample_rate` Hz.

    `mono` mixes channels down by their mean; without it a file of several is an error.

    Raises as `AudioReader` does, and ValueError where resampling leaves nothing.
    """
    with AudioReader(path, sample_rate, mono) as reader:
        samples = reader.read()
        if len(samples) == 0:
            raise ValueError(too_short(reader))
        return Audio(samples, sample_rate, reader.file_rate, reader.file_channels, reader.file_samples)


def finite_length(samples: np.ndarray) -> int:
    """How many samples `[n]` come before the first that is NaN or infinite; n where none is."""
    finite = np.isfinite(samples)
    return len(samples) if finite.all() else int(finite.argmin())


def not_finite(name: str, sample: float, index: int, rate: int) -> ValueError:
    """The error that says which sample, NaN or infinite, is not audio."""
    at = f"{index / rate:.6f}".rstrip("0").removesuffix(".")
    return ValueError(f"sample {index} of {name}, at {at} s, is {sample}; all must be finite")


def too_short(reader: AudioReader) -> str:
    """Says that resampling has left nothing of a file."""
    samples = f"{counted(reader.file_samples, 'sample')} at {reader.file_rate} Hz"
    return f"{reader.path} is too short: of its {samples} none is left at {reader.sample_rate} Hz"


@contextmanager
def audio_writer(path: str | Path, sample_rate: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Gives a function that appends mono samples `[n]` to a file; the suffix names the format.

    Values beyond [-1, 1] are clipped, and written as 16-bit PCM where the format has it.
    The file is there when the block has ended without an error. Raises ValueError on an unknown suffix, a wrong rate,
    and samples that are not finite or not `[n]`, OSError where the file cannot be written.
    """
    import soundfile

    check_rate(sample_rate)
    check_audio_suffix(path)
    kind, subtype = _FORMATS[Path(path).suffix.lower()]

    def append(samples: np.ndarray) -> None:
        samples = np.asarray(samples)
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise ValueError(f"samples must be floats [n], but are {samples.dtype} {list(samples.shape)}")
        if not np.isfinite(samples).all():
            raise ValueError(f"{path} cannot be written: some samples are NaN or infinite")
        file.write(np.clip(samples, -1, 1))
        sink.check()

    with written_whole(path) as temporary, temporary.open("w+b", buffering=0) as raw:
        sink = Sink(raw)
        try:
            with soundfile.SoundFile(sink, "w", sample_rate, 1, subtype, format=kind) as file:
                yield append
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path} cannot be written at {sample_rate} Hz: {_reason(error)}") from error
        sink.check()


def save_audio(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Writes mono samples `[T]`, clipped to [-1, 1]; the format is the suffix's. Raises as `audio_writer` does."""
    with audio_writer(path, sample_rate) as append:
        append(samples)


def audio_files(folder: Path) -> list[Path]:
    """What is named like audio in a folder and those within. Raises FileNotFoundError where nothing is."""
    found = files_below(folder, AUDIO_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder} holds no audio")
    return found


def check_audio_suffix(path: str | Path) -> None:
    """Raises ValueError where audio cannot be written under this name."""
    if Path(path).suffix.lower() not in AUDIO_SUFFIXES:
        raise ValueError(f"{path} cannot be written: its suffix must be that of an audio format, {', '.join(_FORMATS)}")


def check_rate(sample_rate: Any) -> None:
    """A rate must be one that audio files and streams may have."""
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or not 1 <= sample_rate <= HIGHEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate!r}, but must be a whole number of Hz in 1..{HIGHEST_RATE}")


def _reason(error: Exception) -> str:
    """What the library says, without the temporary or repeated path that it puts before."""
    return getattr(error, "error_string", str(error)).removeprefix("Error : ")
