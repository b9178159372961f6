"""Audio files to codes and back, however long: encoded in windows, decoded in tiles, so that memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.audio import AudioReader, audio_writer, too_short
from xcodec_fast.codes_info import ClipCodes
from xcodec_fast.config import XcodecConfig
from xcodec_fast.container import check_model, clip_codes, require_clip, require_model
from xcodec_fast.model import XcodecModel
from xcodec_fast.windows import Windows

AT_ONCE_SECONDS = 60  # the longest file that is encoded at once
WINDOW_SECONDS = 20
CONTEXT_SECONDS = 2
_TILE_FRAMES = 1000

OnProgress = Callable[[float, float | None], object]  # seconds done, seconds in all where that is known


def encode_file(
    model: XcodecModel,
    path: str | Path,
    *,
    bandwidth: float | None = None,
    window: float | Literal["auto"] | None = "auto",
    mono: bool = False,
    progress: OnProgress | None = None,
) -> ClipCodes:
    """Encodes a file, zero-padded to whole frames as the feature extractor does.

    Args:
        model: its device and type are used.
        path: any file that soundfile reads, at any rate.
        bandwidth: kbps, as `model.encode` takes it.
        window: "auto": up to 60 s at once, longer files in windows of 20 s. A number: longer files than that many
            seconds in windows of it. None: at once, in memory that grows with the length. A window is encoded with 2 s
            of audio on each side, and all is rounded up to whole frames; the info names what was used.
        mono: mix several channels down.
        progress: told how far it is.

    Raises FileNotFoundError and ValueError as `AudioReader` and `model.encode` do, and on a window not above 0.
    """
    require_model(model)
    rate, hop = model.config.sample_rate, model.config.hop_length
    windows = None if window is None else _windows(model.config, WINDOW_SECONDS if window == "auto" else window)
    at_once = None if windows is None else AT_ONCE_SECONDS * rate if window == "auto" else windows.chunk * hop
    with AudioReader(path, rate, mono) as reader:
        head = reader.read(None if at_once is None else at_once + 1)
        if len(head) == 0:
            raise ValueError(too_short(reader))
        if windows is None or len(head) <= (at_once or 0):
            windows = None
            audio_codes, samples = _encode(model, head, bandwidth), len(head)
        else:
            audio_codes, samples = _encode_windows(model, reader, head, windows, bandwidth, progress)
        return clip_codes(
            audio_codes,
            model,
            samples=samples,
            original_rate=reader.file_rate,
            original_samples=reader.file_samples,
            windows=windows,
        )


def _windows(config: XcodecConfig, seconds: float) -> Windows:
    if isinstance(seconds, str) or not 0 < seconds < float("inf"):
        raise ValueError(f"window is {seconds!r}, but must be a number of seconds above 0, 'auto' or None")
    # By the decimal digits: 8.06 s are 403 frames of 20 ms, but 403.00000000000006 in floats.
    exact = (Fraction(str(value)) * config.sample_rate / config.hop_length for value in (seconds, CONTEXT_SECONDS))
    chunk, context = map(math.ceil, exact)
    return Windows(chunk, context, context)


def _encode_windows(
    model: XcodecModel,
    reader: AudioReader,
    held: np.ndarray,
    windows: Windows,
    bandwidth: float | None,
    progress: OnProgress | None,
) -> tuple[Tensor, int]:
    """Codes `[1, Q, F]` and the samples they cover; `held` is what was read already."""
    rate, hop = model.config.sample_rate, model.config.hop_length
    start = 0  # the frame with which `held` begins
    chunks: list[Tensor] = []
    n = 0
    while True:
        missing = (windows.needed(n) - start) * hop - len(held)
        held = np.concatenate([held, reader.read(max(0, missing))])
        samples = start * hop + len(held)
        window = windows.window(n, -(-samples // hop))
        if window is None:
            return torch.cat(chunks, 2), samples
        held, start = held[(window.start - start) * hop :], window.start
        codes = _encode(model, held[: (window.stop - start) * hop], bandwidth)
        chunks.append(codes[..., window.first - start : window.last - start])
        if progress is not None:
            progress(min(window.last * hop, samples) / rate, reader.expected / rate or None)
        n += 1


def _encode(model: XcodecModel, samples: np.ndarray, bandwidth: float | None) -> Tensor:
    """Samples `[n]` -> codes `[1, Q, ceil(n / hop)]`."""
    hop = model.config.hop_length
    audio = torch.from_numpy(samples).to(model.device, model.dtype)
    with torch.inference_mode():
        return model.encode(F.pad(audio, (0, -len(audio) % hop))[None, None], bandwidth).audio_codes


def decode_file(
    model: XcodecModel,
    clip: ClipCodes,
    path: str | Path,
    *,
    sample_rate: int | None = None,
    progress: OnProgress | None = None,
) -> int:
    """Decodes codes into an audio file, whole or not at all, and returns its samples.

    Args:
        model: the one that made the codes.
        clip: of `encode_file` or `load_codes`.
        path: its suffix names the format.
        sample_rate: Hz, to resample to; None for the model's. At the original's, the length is the original's.
        progress: told how far it is.

    Raises ValueError where the codes are another model's or no sample is left, else as `audio_writer` does.
    """
    import soxr  # where used, as in audio.py

    require_model(model)
    require_clip(clip)
    check_model("clip", clip.info, model)
    info, model_rate = clip.info, model.config.sample_rate
    rate = model_rate if sample_rate is None else sample_rate
    if rate == model_rate:
        length = info.samples
    elif rate == info.original_rate:
        length = info.original_samples
    else:
        length = round(info.samples * rate / model_rate)
    if length == 0:
        raise ValueError(f"{path} cannot be written: {info.seconds:.3f} s have no sample at {rate} Hz")
    with audio_writer(path, rate) as append:
        resampler = None if rate == model_rate else soxr.ResampleStream(model_rate, rate, 1, dtype="float32")
        written = decoded = 0
        for tile in decode_tiles(model, clip.audio_codes):
            piece = tile[: info.samples - decoded].float().cpu().numpy()
            decoded += len(piece)
            if resampler is not None:
                piece = resampler.resample_chunk(piece, last=decoded == info.samples)
            piece = piece[: length - written]
            append(piece)
            written += len(piece)
            if progress is not None:
                progress(decoded / model_rate, info.seconds)
        append(np.zeros(length - written, np.float32))  # a resampler rounds the length
    return length


def decode_tiles(model: XcodecModel, audio_codes: Tensor) -> Iterator[Tensor]:
    """Codes `[1, Q, F]` -> audio `[t]` in pieces, which put together are `model.decode` of all codes, `[F * hop]`.

    A piece is decoded with as many frames on each side as the decoder's layers reach, so that it equals the whole's up
    to rounding (2e-5 of a peak of 0.5 in float32, 1e-14 in float64).
    """
    context, hop, frames = model.acoustic_decoder.context(), model.config.hop_length, audio_codes.shape[2]
    for start in range(0, frames, _TILE_FRAMES):
        stop = min(start + _TILE_FRAMES, frames)
        first = max(0, start - context)
        with torch.inference_mode():
            audio = model.decode(audio_codes[..., first : stop + context].to(model.device)).audio_values[0, 0]
        yield audio[(start - first) * hop : (stop - first) * hop]
