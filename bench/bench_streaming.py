"""A push of a stream against what a user has without one: transformers' encode and decode of the same window.

"x real time" is the audio of all rows over the median of a push; "streams", how many the device carries at that rate;
"ours / offline", what a second of audio costs against ours decoding 10 s at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xcodec_fast import StreamingXcodecBatch

from .contenders import Models, synchronize
from .timing import GPU, INTERPRETED

ROUNDS = 200 if GPU else 1 if INTERPRETED else 21
CONTEXT_MS = 1000
HOP = 320
# On 2 CPU cores, one stream of the full-size model is about what they carry.
CASES = [(ms, batch) for batch in ((1, 8, 64, 256) if GPU else (1,)) for ms in (20, 40, 80, 160)]
DECODE_MS = (20, 80, 160, 500)


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.mark.parametrize(("chunk_ms", "batch"), CASES)
def test_encode_push(benchmark, record_stream, models, chunk_ms, batch):
    chunk, window = chunk_ms * HOP // 20, (CONTEXT_MS + chunk_ms) * HOP // 20
    audio = models.audio(batch, 2 + (ROUNDS + 4) * chunk_ms // 1000)[:, 0]
    on_host = audio.cpu()
    stream = StreamingXcodecBatch(models.ours, batch, chunk_ms=chunk_ms, left_context_ms=CONTEXT_MS)
    at = -(-CONTEXT_MS // chunk_ms) * chunk
    stream.push(list(on_host[:, :at]))

    def ours() -> Tensor:
        nonlocal at
        at += chunk
        return torch.cat(stream.push(list(on_host[:, at - chunk : at])))

    def theirs(encode: Callable[..., Any]) -> Tensor:
        return encode(audio[:, None, at - window : at]).audio_codes[..., -(chunk // HOP) :]

    codes = ours()
    expected = theirs(models.eager.encode)
    first = (codes != expected) & ((codes != expected).cumsum(1) == 1)
    assert int(first.sum()) <= max(1, codes.numel() // 1000)
    _compare(
        benchmark, record_stream, f"encode {chunk_ms} ms x {batch}", chunk_ms * batch, ours, models.eager.encode, theirs
    )


@pytest.mark.parametrize("chunk_ms", DECODE_MS)
def test_decode_push(benchmark, record_stream, models, chunk_ms):
    frames, context = chunk_ms // 20, models.ours.acoustic_decoder.context()
    codes = torch.randint(0, 1024, (1, 8, 2 * context + (ROUNDS + 4) * frames))
    on_device = codes.to(models.ours.device)
    stream = StreamingXcodecBatch(models.ours, 1, chunk_ms=chunk_ms)
    at = 2 * context
    stream.push_codes([codes[..., :at]])

    def ours() -> Tensor:
        nonlocal at
        at += frames
        return stream.push_codes([codes[..., at - frames : at]])[0]

    def theirs(decode: Callable[..., Any]) -> Tensor:
        window = on_device[..., at - 2 * context - frames : at]
        return decode(window).audio_values[..., context * HOP : (context + frames) * HOP]

    audio, expected = ours(), theirs(models.eager.decode)
    assert (audio - expected).abs().max() <= 1e-4 * expected.abs().max().clamp(min=1)
    whole = torch.randint(0, 1024, (1, 8, 500), device=models.ours.device)
    with torch.inference_mode():
        offline = [_seconds(lambda: models.ours.decode(whole)) for _ in range(4)]
    per_ms = 1000 * statistics.median(offline[1:]) / 10_000
    _compare(
        benchmark,
        record_stream,
        f"decode {chunk_ms} ms",
        chunk_ms,
        ours,
        models.eager.decode,
        theirs,
        per_ms * chunk_ms,
    )


def _compare(
    benchmark: Any,
    record_stream: Callable[..., None],
    case: str,
    audio_ms: float,
    ours: Callable[[], Tensor],
    call: Callable[..., Any],
    theirs: Callable[[Callable[..., Any]], Tensor],
    offline_ms: float | None = None,
) -> None:
    """Ours, and transformers' `call`, eager and compiled, on the same window, in turns."""
    torch.compiler.reset()
    spent: dict[str, list[float]] = {"ours": [], "eager": [], "compiled": []}
    compiled = torch.compile(call)

    def rivals() -> None:
        spent["eager"].append(_seconds(lambda: theirs(call)))
        spent["compiled"].append(_seconds(lambda: theirs(compiled)))

    with torch.inference_mode():
        benchmark.pedantic(lambda: spent["ours"].append(_seconds(ours)), setup=rivals, rounds=ROUNDS, warmup_rounds=1)
    ms = {name: 1000 * np.array(times[1:]) for name, times in spent.items()}
    median = {name: float(np.median(times)) for name, times in ms.items()}
    for name in ("eager", "compiled"):
        benchmark.extra_info[f"{name} / ours"] = median[name] / median["ours"]
    record_stream(
        case,
        f"{median['ours']:.1f}",
        f"{np.percentile(ms['ours'], 95):.1f}",
        f"{np.percentile(ms['ours'], 99):.1f}",
        f"{audio_ms / median['ours']:.2f}",
        str(int(audio_ms / median["ours"])),
        f"{median['eager']:.1f}",
        f"{median['eager'] / median['ours']:.2f}",
        f"{median['compiled']:.1f}",
        f"{median['compiled'] / median['ours']:.2f}",
        "" if offline_ms is None else f"{median['ours'] / offline_ms:.2f}",
    )


def _seconds(call: Callable[[], Any]) -> float:
    synchronize()
    started = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - started
