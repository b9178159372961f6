"""What README states outside the other benches' tables. `python -m bench.claims`"""

from __future__ import annotations

import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from xcodec_fast import StreamingXcodec, XcodecConfig, XcodecModel, backend
from xcodec_fast.audio import save_audio
from xcodec_fast.seeding import seeded_model
from xcodec_fast.tiles import decode_tiles
from xcodec_fast.transcode import encode_file

from .alone import apart
from .machine import header
from .speech import RATE, speech_clip

CHUNKS_MS = (20, 40, 80, 160, 500)
FRAME_MS = 20
_RATES = (48000, 44100, 8000)
_CASES: dict[str, tuple[str, dict[str, str]]] = {
    "ours": ("ours", {}),
    "ours, 256 kept": ("ours", dict.fromkeys(("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"), "256")),
    "ours, backend torch": ("ours", {"XCODEC_FAST_BACKEND": "torch"}),
    "transformers": ("eager", {}),
}
_BUSY = "import os\nwhile os.getppid() == {}: pass"  # ends with this process


@torch.no_grad()
def exact_decoding(name: str, model: XcodecModel, codes: Tensor) -> Iterator[str]:
    """How far a stream's audio is from `decode`'s."""
    model = copy.deepcopy(model)  # the caller's stays what it is
    for dtype in (torch.float32, torch.float64):
        model.to(dtype)
        whole = model.decode(codes).audio_values
        farthest = max(_farthest(whole, _streamed(model, codes, chunk_ms=chunk)) for chunk in (20, 160, 500))
        yield f"{name}, {dtype}: exact decoding is {farthest / whole.abs().max().item():.1e} of the peak from decode"


@torch.no_grad()
def arithmetic(name: str, model: XcodecModel, codes: Tensor) -> Iterator[str]:
    """What a step of exact decoding multiplies, in `decode`'s terms."""
    with backend("torch"):
        with FlopCounterMode(display=False) as all_at_once:
            model.decode(codes)
        for chunk in (20, 160):
            frames = chunk // FRAME_MS
            stream = StreamingXcodec(model, chunk_ms=chunk)
            for _ in range(40 // frames + 2):
                stream.push_codes(codes[..., :frames])
            with FlopCounterMode(display=False) as step:
                stream.push_codes(codes[..., :frames])
            ratio = step.get_total_flops() / frames / (all_at_once.get_total_flops() / codes.shape[-1])
            yield f"{name}, exact decoding in chunks of {chunk} ms: {ratio:.3f} times decode's multiplications"


@torch.no_grad()
def decoding_in_windows(model: XcodecModel, codes: Tensor) -> Iterator[str]:
    """How far audio of a shorter lookahead is from `decode`'s."""
    whole = model.decode(codes).audio_values
    for lookahead in (0, 40, 100):
        farthest = max(
            _farthest(whole, _streamed(model, codes, chunk_ms=chunk, decode_lookahead_ms=lookahead))
            for chunk in CHUNKS_MS
        )
        yield f"decode_lookahead_ms {lookahead}: at most {farthest:.1%} of full scale from decode"


def long_files(model: XcodecModel, clip: Tensor, seconds: int) -> Iterator[str]:
    """The clip repeated, in windows and in tiles, against all at once."""
    audio = clip.repeat(-(-seconds * RATE // len(clip)))[: seconds * RATE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        save_audio(path, audio.numpy(), RATE)
        whole, cut = (encode_file(model, path, window=window).audio_codes for window in (None, "auto"))
    other = (whole != cut).float()
    yield f"codes in windows: {other[:, 0].mean():.1%} of the first stage's differ, {other.mean():.1%} of all"
    with torch.inference_mode():
        tiles = torch.cat(list(decode_tiles(model, whole)), -1)
        with backend("torch"):
            at_once = model.decode(whole).audio_values
    yield f"decoded in tiles: at most {_farthest(at_once, tiles):.1e} of full scale from PyTorch's decoding at once"


def resamplers(model: XcodecModel) -> Iterator[str]:
    """What a stream says that resamplers add to its latency, in and out."""
    ours = StreamingXcodec(model)
    for rate in _RATES:
        stream = StreamingXcodec(model, sample_rate=rate)
        lag = stream.latency_ms - ours.latency_ms, stream.decode_latency_ms - ours.decode_latency_ms
        yield "from {} Hz a resampler lags by {:.1f} ms, to it by {:.1f}".format(rate, *lag)


def many_lengths(model_name: str, model: XcodecModel, clips: int) -> Iterator[str]:
    """Memory and time where clips have unequal lengths, each case in a process of its own."""
    set_here = {name for _, given in _CASES.values() for name in given}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        for case, (name, given) in _CASES.items():
            env = {key: value for key, value in os.environ.items() if key not in set_here} | given
            found = apart("lengths", name, folder, clips, env=env)
            before, early, late = found["mb"]
            grown = (
                f"{before:.0f} MB, after {clips // 8} clips of unequal lengths {early:.0f}, after {clips} {late:.0f}"
            )
            took = f"of a new length {found['new_ms']:.0f} ms, of ten in turns {found['again_ms']:.0f}"
            yield f"{model_name}, {case}: {grown}; encode {took}"


def busy_cores(model: XcodecModel, clip: Tensor) -> Iterator[str]:
    """A push while other processes take every core."""
    before = torch.get_num_threads()
    for busy in (0, len(os.sched_getaffinity(0))):
        others = [subprocess.Popen([sys.executable, "-c", _BUSY.format(os.getpid())]) for _ in range(busy)]
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                took = statistics.median(_push_times(model, clip, 80)[5:])
                yield f"{busy} busy processes, {threads} threads: a push of 80 ms takes {took:.0f} ms"
        finally:
            torch.set_num_threads(before)
            for other in others:
                other.kill()
                other.wait()


def first_calls(model: XcodecModel, clip: Tensor) -> Iterator[str]:
    """The first chunk, of a process that has computed none before, and how far apart chunks come at 48 kHz."""
    times = _push_times(model, clip, 80)
    yield f"the first push of 80 ms takes {times[0]:.0f} ms, the others {statistics.median(times[1:]):.0f} (median)"
    stream, piece = StreamingXcodec(model, chunk_ms=80, sample_rate=48000), np.zeros(480, np.int16)
    came = [index * 10 for index in range(600) if stream.push(piece).shape[-1]]
    apart = [later - earlier for earlier, later in pairwise(came)]
    yield f"at 48 kHz chunks of 80 ms come {min(apart)} to {max(apart)} ms of input apart, in pushes of 10"


def _push_times(model: XcodecModel, clip: Tensor, chunk_ms: int) -> list[float]:
    """In ms, of chunks one after the other."""
    stream, times = StreamingXcodec(model, chunk_ms=chunk_ms), []
    for piece in clip.split(chunk_ms * RATE // 1000):
        started = time.perf_counter()
        if stream.push(piece).shape[-1]:
            times.append(1000 * (time.perf_counter() - started))
    return times


def _streamed(model: XcodecModel, codes: Tensor, **settings: Any) -> Tensor:
    """A chunk at a time: of more that is there, exact decoding makes one step."""
    stream = StreamingXcodec(model, **settings)
    pieces = codes.split(settings["chunk_ms"] // FRAME_MS, -1)
    return torch.cat([*(stream.push_codes(piece) for piece in pieces), stream.flush_codes()], -1)


def _farthest(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def main() -> None:
    """Prints a line a figure."""
    print(*header(), "", sep="\n", flush=True)
    clip, tiny = speech_clip(), XcodecModel.from_pretrained("xcodec-tiny")

    def lines() -> Iterator[str]:
        yield from first_calls(tiny, clip)
        yield from resamplers(tiny)
        yield from many_lengths("xcodec-tiny", tiny, 400)
        yield from busy_cores(tiny, clip)
        codes = tiny.encode(clip[None, None]).audio_codes
        yield from decoding_in_windows(tiny, codes)
        yield from long_files(tiny, clip, 120)
        yield from exact_decoding("xcodec-tiny", tiny, codes)
        full = seeded_model(XcodecConfig(), clip[None, None], seed=0)
        codes = full.encode(clip[None, None]).audio_codes
        yield from arithmetic("full-size", full, codes)
        yield from exact_decoding("full-size", full, codes)
        yield from many_lengths("full-size", full, 96)

    for line in lines():
        print(f"- {line}", flush=True)


if __name__ == "__main__":
    main()
