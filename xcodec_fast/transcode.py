"""Audio files to codes and back, however long: encoded in windows, decoded in tiles, so that memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import checks
from xcodec_fast.audio import AudioReader, audio_writer, too_short
from xcodec_fast.codes_info import ClipCodes
from xcodec_fast.container import check_model, clip_codes, require_clip
from xcodec_fast.model import XcodecModel, require_model
from xcodec_fast.tiles import decode_tiles
from xcodec_fast.twin import stream_codes, window_cuts
from xcodec_fast.windows import StreamSettings, Window, Windows, check_frames

AT_ONCE_SECONDS = 60  # the longest file that is encoded at once
WINDOW_SECONDS = 20
CONTEXT_SECONDS = 2
_PIECE = 1 << 16  # samples

OnProgress = Callable[[float, float | None], object]  # seconds done, seconds in all where that is known


def encode_file(
    model: XcodecModel,
    path: str | Path,
    *,
    bandwidth: float | None = None,
    window: float | Literal["auto"] | None = "auto",
    streaming: StreamSettings | None = None,
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
        streaming: the codes that a live stream with these settings gives, in place of `window`, at any length.
        mono: mix several channels down.
        progress: told how far it is.

    Raises FileNotFoundError and ValueError as `AudioReader` and `model.encode` do, and on a window not above 0, of
    2^32 frames or more, or together with streaming.
    """
    require_model(model)
    config, hop = model.config, model.config.hop_length
    windows = _windows(model, window, streaming)
    at_once = None if windows is None else windows.chunk * hop
    if window == "auto" and streaming is None:
        at_once = AT_ONCE_SECONDS * config.sample_rate
    with AudioReader(path, config.sample_rate, mono) as reader:
        head = reader.read(None if at_once is None else at_once + 1)
        if len(head) == 0:
            raise ValueError(too_short(reader))
        pieces = _pieces(model, reader, head)
        if windows is not None and streaming is not None:
            kbps = checks.chosen_bandwidth(bandwidth, config.target_bandwidths)
            chunks = stream_codes(model, pieces, windows, kbps, None)
        else:
            if at_once is None or len(head) <= at_once:
                windows = None
            whole = Windows(-(-len(head) // hop), 0, 0)
            chunks = _encoded(model, window_cuts(pieces, windows or whole, hop), bandwidth)
        with torch.inference_mode():
            codes = list(_told(chunks, reader, hop, progress))
        return clip_codes(
            torch.cat(codes, 2),
            model,
            samples=reader.samples,
            original_rate=reader.file_rate,
            original_samples=reader.file_samples,
            windows=windows,
        )


def _windows(
    model: XcodecModel, window: float | Literal["auto"] | None, streaming: StreamSettings | None
) -> Windows | None:
    if streaming is not None:
        if window != "auto":
            raise ValueError(f"window is {window!r}, but streaming has windows of its own: give one of the two")
        return model.stream_windows(streaming)
    if window is None:
        return None
    seconds = WINDOW_SECONDS if window == "auto" else window
    if isinstance(seconds, str) or not 0 < seconds < float("inf"):
        raise ValueError(f"window is {seconds!r}, but must be a number of seconds above 0, 'auto' or None")
    frame_ms = model.config.frame_ms
    # By the decimal digits: 8.06 s are 403 frames of 20 ms, but 403.00000000000006 in floats.
    chunk, context = (math.ceil(1000 * Fraction(str(value)) / frame_ms) for value in (seconds, CONTEXT_SECONDS))
    check_frames(f"window is {seconds!r} s", chunk, frame_ms)
    return Windows(chunk, context, context)


def _pieces(model: XcodecModel, reader: AudioReader, head: np.ndarray) -> Iterator[Tensor]:
    """What was read already and what follows, as the model takes it."""
    while len(head):
        yield torch.from_numpy(head).to(model.device, model.dtype)
        head = reader.read(_PIECE)


def _encoded(model: XcodecModel, cuts: Iterable[tuple[Window, Tensor]], bandwidth: float | None) -> Iterator[Tensor]:
    """Codes `[1, Q, f]` of each window's chunk."""
    for window, audio in cuts:
        whole_frames = F.pad(audio, (0, -len(audio) % model.config.hop_length))
        codes = model.encode(whole_frames[None, None], bandwidth).audio_codes
        yield codes[..., window.first - window.start : window.last - window.start]


def _told(chunks: Iterable[Tensor], reader: AudioReader, hop: int, progress: OnProgress | None) -> Iterator[Tensor]:
    frames = 0
    for codes in chunks:
        yield codes
        frames += codes.shape[2]
        if progress is not None:
            rate = reader.sample_rate
            progress(min(frames * hop, reader.samples) / rate, reader.expected / rate or None)


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
        resampler = None
        if rate != model_rate:
            import soxr  # where used, as in audio.py

            resampler = soxr.ResampleStream(model_rate, rate, 1, dtype="float32")
        written = decoded = 0
        for tile in _decoded(model, clip.audio_codes):
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


@torch.inference_mode()  # of a generator: while it computes, not while it waits
def _decoded(model: XcodecModel, audio_codes: Tensor) -> Iterator[Tensor]:
    """Audio `[t]` in tiles."""
    for tile in decode_tiles(model, audio_codes):
        yield tile[0, 0]
