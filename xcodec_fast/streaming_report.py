"""What a stream's settings cost and give: latency, compute, and how its codes compare with those of whole clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.mel import log_mel_distance
from xcodec_fast.model import XcodecModel
from xcodec_fast.streaming import StreamingXcodec
from xcodec_fast.windows import StreamSettings

_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class SettingsReport:
    """Of one choice of settings, over all clips.

    latency_ms: from a sample's arrival to its codes at the latest, without compute; push_ms: the 50th, 95th and 99th
    percentile of the time that a push of one chunk takes which gives codes, None where no clip was long enough;
    real_time_factor: seconds of encoding and exact decoding per second of audio; agreement: by stage, the share of
    codes equal to those of the whole clip; log_mel_db: from the clips to what the codes decode to.
    """

    settings: StreamSettings
    latency_ms: float
    push_ms: tuple[float, float, float] | None
    real_time_factor: float
    agreement: tuple[float, ...]
    log_mel_db: float


@dataclass(frozen=True)
class StreamingReport:
    """whole_log_mel_db: from the clips to what the codes of whole clips decode to."""

    seconds: float
    whole_log_mel_db: float
    rows: tuple[SettingsReport, ...]


def settings_grid(
    chunks_ms: Iterable[float], lookaheads_ms: Iterable[float], left_contexts_ms: Iterable[float]
) -> list[StreamSettings]:
    """Every combination. Raises ValueError as StreamSettings does."""
    return [StreamSettings(*choice) for choice in product(chunks_ms, lookaheads_ms, left_contexts_ms)]


@torch.inference_mode()
def streaming_report(
    model: XcodecModel,
    clips: Sequence[Tensor],
    grid: Sequence[StreamSettings],
    *,
    bandwidth: float | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> StreamingReport:
    """Streams every clip, float32 `[T]` at the model's rate on the CPU, with every choice of settings.

    progress is told how many of how many times a clip was streamed. Raises ValueError as `encode` and `StreamingXcodec`
    do, on settings before anything is computed.
    """
    for settings in grid:
        model.stream_windows(settings)
    rate, hop = model.config.sample_rate, model.config.hop_length
    wholes = []
    for clip in clips:
        audio = F.pad(clip, (0, -len(clip) % hop)).to(model.device, model.dtype)
        wholes.append(model.encode(audio[None, None], bandwidth).audio_codes)
    decoded = [model.decode(codes).audio_values for codes in wholes]
    rows = []
    for done, settings in enumerate(grid):
        streams = []
        live = StreamingXcodec(model, **vars(settings), bandwidth=bandwidth)
        for index, clip in enumerate(clips):
            streams.append(_streamed(live, clip, model.stream_windows(settings).chunk * hop))
            if progress is not None:
                progress(done * len(clips) + index + 1, len(grid) * len(clips))
        rows.append(_row(live, clips, wholes, streams, rate))
    seconds = sum(map(len, clips)) / rate
    return StreamingReport(seconds, _log_mel_db(clips, decoded, rate), tuple(rows))


@dataclass(frozen=True)
class _Streamed:
    codes: Tensor
    audio: Tensor
    pushes: list[float]  # seconds, of those that gave codes
    seconds: float


def _streamed(live: StreamingXcodec, clip: Tensor, chunk: int) -> _Streamed:
    live.push(clip[:chunk])  # what is made once, at a stream's first push, is not what a push costs
    live.push_codes(live.flush())
    live.flush_codes()
    codes, audio, pushes, seconds = [], [], [], 0.0
    for piece in [*clip.split(chunk), None]:
        started = time.perf_counter()
        codes.append((live.flush() if piece is None else live.push(piece)).cpu())  # on a GPU, this waits for it
        encoded = time.perf_counter()
        audio.append(live.push_codes(codes[-1]).cpu())
        if piece is None:
            audio.append(live.flush_codes().cpu())
        seconds += time.perf_counter() - started
        if piece is not None and codes[-1].shape[-1]:
            pushes.append(encoded - started)
    return _Streamed(torch.cat(codes, -1), torch.cat(audio, -1), pushes, seconds)


def _row(
    live: StreamingXcodec, clips: Sequence[Tensor], wholes: Sequence[Tensor], streams: Sequence[_Streamed], rate: int
) -> SettingsReport:
    equal = torch.cat([one.codes == whole.cpu() for one, whole in zip(streams, wholes, strict=True)], -1)
    pushes = [1000 * push for one in streams for push in one.pushes]
    p50, p95, p99 = np.percentile(pushes, _PERCENTILES).tolist() if pushes else (0, 0, 0)
    return SettingsReport(
        live.settings,
        live.latency_ms,
        (p50, p95, p99) if pushes else None,
        sum(one.seconds for one in streams) * rate / sum(map(len, clips)),
        tuple(equal[0].double().mean(-1).tolist()),
        _log_mel_db(clips, [one.audio for one in streams], rate),
    )


def _log_mel_db(clips: Sequence[Tensor], decoded: Sequence[Tensor], rate: int) -> float:
    """The mean over clips, by their lengths."""
    distances = [
        log_mel_distance(clip, audio[0, 0, : len(clip)], rate) for clip, audio in zip(clips, decoded, strict=True)
    ]
    return float(np.average(distances, weights=[len(clip) for clip in clips]))
