"""A push of a stream against what a user has without one: transformers' encode and decode of the same window.

"x real time" is the audio of all rows over the median of a push; "streams", how many the device carries at that rate;
"ours / offline", what a second of audio costs against ours decoding 10 s at once.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xcodec_fast import StreamingXcodecBatch

from .contenders import Models
from .timing import GPU, INTERPRETED, assert_same_audio, assert_same_codes, precision_set, seconds_of, three_digits

ROUNDS = 200 if GPU else 1 if INTERPRETED else 101
CONTEXT_MS = 1000
HOP = 320
# On 2 CPU cores, one stream of the full-size model is about what they carry.
MORE = [(ms, batch) for batch in ((1, 8, 64, 256) if GPU else (1,)) for ms in (80, 160, 40, 20)][1:]
# The usual step both ways, then what it takes to carry more.
CASES = [("encode", 80, 1), ("decode", 80, 1), *(("encode", *case) for case in MORE)]
CASES += [("decode", ms, 1) for ms in (20, 160, 500)]


@pytest.fixture
def compare(request, benchmark, record_stream):
    compiles = not request.config.getoption("--eager-only")
    return partial(_compare, benchmark, record_stream, compiles)


@pytest.mark.parametrize(("call", "chunk_ms", "batch"), CASES)
def test_push(compare, models, call, chunk_ms, batch):
    if call == "encode":
        _encode_push(compare, models, chunk_ms, batch)
    else:
        _decode_push(compare, models, chunk_ms)


def _encode_push(compare: Callable[..., None], models: Models, chunk_ms: int, batch: int) -> None:
    chunk, window = chunk_ms * HOP // 20, (CONTEXT_MS + chunk_ms) * HOP // 20
    audio = models.audio(batch, 2 + (ROUNDS + 4) * chunk_ms // 1000)[:, 0]
    on_host = audio.cpu()
    stream = StreamingXcodecBatch(models.ours, batch, chunk_ms=chunk_ms, left_context_ms=CONTEXT_MS)
    at = -(-CONTEXT_MS // chunk_ms) * chunk

    def ours() -> Tensor:
        nonlocal at
        at += chunk
        return torch.cat(stream.push(list(on_host[:, at - chunk : at])))

    def theirs(encode: Callable[..., Any]) -> Tensor:
        return encode(audio[:, None, at - window : at]).audio_codes[..., -(chunk // HOP) :]

    with torch.inference_mode(), precision_set("float32"):
        stream.push(list(on_host[:, :at]))
        codes = ours()
        assert_same_codes(theirs(models.eager.encode), codes)
    compare(f"encode {chunk_ms} ms x {batch}", chunk_ms * batch, ours, models.eager.encode, theirs)


def _decode_push(compare: Callable[..., None], models: Models, chunk_ms: int) -> None:
    frames, context = chunk_ms // 20, models.ours.acoustic_decoder.context()
    codes = torch.randint(0, 1024, (1, 8, 2 * context + (ROUNDS + 4) * frames))
    on_device = codes.to(models.ours.device)
    stream = StreamingXcodecBatch(models.ours, 1, chunk_ms=chunk_ms)
    at = 2 * context

    def ours() -> Tensor:
        nonlocal at
        at += frames
        return stream.push_codes([codes[..., at - frames : at]])[0]

    def theirs(decode: Callable[..., Any]) -> Tensor:
        window = on_device[..., at - 2 * context - frames : at]
        return decode(window).audio_values[..., context * HOP : (context + frames) * HOP]

    with torch.inference_mode(), precision_set("float32"):
        stream.push_codes([codes[..., :at]])
        audio = ours()
        assert_same_audio(theirs(models.eager.decode), audio)
    whole = torch.randint(0, 1024, (1, 8, 500), device=models.ours.device)
    with torch.inference_mode():
        offline = [seconds_of(lambda: models.ours.decode(whole)) for _ in range(4)]
    per_ms = 1000 * statistics.median(offline[1:]) / 10_000
    compare(f"decode {chunk_ms} ms", chunk_ms, ours, models.eager.decode, theirs, per_ms * chunk_ms)


def _compare(
    benchmark: Any,
    record_stream: Callable[..., None],
    compiles: bool,
    case: str,
    audio_ms: float,
    ours: Callable[[], Tensor],
    call: Callable[..., Any],
    theirs: Callable[[Callable[..., Any]], Tensor],
    offline_ms: float | None = None,
) -> None:
    """Ours, and transformers' `call`, eager and, if asked for, compiled, on the same window, in turns."""
    torch.compiler.reset()
    calls = {"eager": call, "compiled": torch.compile(call)} if compiles else {"eager": call}
    spent: dict[str, list[float]] = {"ours": [], **{name: [] for name in calls}}

    def rivals() -> None:
        for name, rival in calls.items():
            spent[name].append(seconds_of(partial(theirs, rival)))

    with torch.inference_mode():
        benchmark.pedantic(lambda: spent["ours"].append(seconds_of(ours)), setup=rivals, rounds=ROUNDS, warmup_rounds=1)
    ms = {name: 1000 * np.array(times[1:]) for name, times in spent.items()}
    median = {name: float(np.median(times)) for name, times in ms.items()}
    beside = {name: ["", ""] for name in ("eager", "compiled")}
    for name in calls:
        ratio = benchmark.extra_info[f"{name} / ours"] = median[name] / median["ours"]
        beside[name] = [three_digits(median[name]), f"{ratio:.2f}"]
    record_stream(
        case,
        three_digits(median["ours"]),
        three_digits(float(np.percentile(ms["ours"], 95))),
        three_digits(float(np.percentile(ms["ours"], 99))),
        f"{audio_ms / median['ours']:.2f}",
        str(int(audio_ms / median["ours"])),
        *beside["eager"],
        *beside["compiled"],
        "" if offline_ms is None else f"{median['ours'] / offline_ms:.2f}",
    )
