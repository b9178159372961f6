"""encode and decode of the full-size config against transformers with the same weights, eager and compiled.

Ours, eager and compiled take turns, round by round, in one process, after their results have been found equal, on a GPU
without TF32; they are timed as PyTorch is by default, with TF32 in convolutions.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from .timing import GPU, INTERPRETED, assert_same_audio, assert_same_codes, precision_set, seconds_of, three_digits

ROUNDS = 1 if INTERPRETED else 7


# The shortest first, of which decode compiles faster.
@pytest.mark.parametrize("call", ["decode", "encode", "round trip"])
@pytest.mark.parametrize(("batch", "seconds"), [(1, 1), (1, 10), (4, 2), pytest.param(1, 60, marks=pytest.mark.slow)])
def test_call(request, benchmark, record_row, models, call, batch, seconds):
    audio = models.audio(batch, seconds)
    with torch.inference_mode(), precision_set("float32"):
        codes = models.eager.encode(audio).audio_codes
        assert_same_codes(codes, models.ours.encode(audio).audio_codes)
        assert_same_audio(models.eager.decode(codes).audio_values, models.ours.decode(codes).audio_values)
    given = codes if call == "decode" else audio
    method = {"round trip": "forward"}.get(call, call)
    # Each compilation takes a minute or two; a round trip's would be that of its halves.
    compiles = seconds < 60 and call != "round trip" and not request.config.getoption("--eager-only")
    contenders = _contenders(getattr(models.ours, method), getattr(models.eager, method), "default", compiles)
    _compare(benchmark, record_row, call, batch, seconds, contenders, given)


@pytest.mark.skipif(not GPU, reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("call", ["decode", "encode"])
def test_captured(request, benchmark, record_row, models, call):
    """The latency of a clip of a second, as CUDA graphs: ours by `capture`, theirs by mode="reduce-overhead"."""
    audio = models.audio(1, 1)
    captured = models.ours.capture((1, 1, 16000))
    with torch.inference_mode(), precision_set("float32"):
        codes = models.eager.encode(audio).audio_codes
        assert_same_codes(codes, captured.encode(audio).audio_codes)
        assert_same_audio(models.eager.decode(codes).audio_values, captured.decode(codes).audio_values)
    given = codes if call == "decode" else audio
    compiles = not request.config.getoption("--eager-only")
    theirs = getattr(models.eager, call)
    contenders = _contenders(getattr(captured, call), theirs, "reduce-overhead", compiles)
    _compare(benchmark, record_row, f"captured {call}", 1, 1, contenders, given)


@pytest.mark.parametrize(("batch", "seconds"), [(1, 1), (1, 10)])
def test_bfloat16(record_half, models, batch, seconds):
    """Ours in bfloat16 against transformers in float32: how far the audio is off is part of the result."""
    if not GPU and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    half = copy.deepcopy(models.ours).to(torch.bfloat16)
    spent: dict[str, list[float]] = {"ours": [], "eager": []}
    with torch.inference_mode():
        codes = models.eager.encode(models.audio(batch, seconds)).audio_codes
        calls = {"ours": half.decode, "eager": models.eager.decode}
        for _ in range(ROUNDS + 1):
            for name, call in calls.items():
                spent[name].append(seconds_of(partial(call, codes)))
        exact = models.ours.double().decode(codes).audio_values
        models.ours.float()
        error = half.decode(codes).audio_values.double() - exact
    ms = {name: 1000 * statistics.median(times[1:]) for name, times in spent.items()}
    signal_to_error = float(10 * torch.log10(exact.square().sum() / error.square().sum()))
    ratio = f"{ms['eager'] / ms['ours']:.2f}"
    case = f"decode {batch} x {seconds} s"
    record_half(case, three_digits(ms["ours"]), three_digits(ms["eager"]), ratio, f"{signal_to_error:.1f}")


def _contenders(
    ours: Callable[..., Any], theirs: Callable[..., Any], mode: str, compiles: bool
) -> dict[str, Callable[..., Any]]:
    torch.compiler.reset()
    contenders = {"ours": ours, "eager": theirs}
    if compiles:
        contenders["compiled"] = torch.compile(theirs, mode=mode)
    return contenders


def _compare(
    benchmark: Any,
    record_row: Callable[..., None],
    name: str,
    batch: int,
    seconds: int,
    contenders: dict[str, Callable[..., Any]],
    given: Tensor,
) -> None:
    """Times a call of the three in turns; the first of each, which compiles, is not counted."""
    spent: dict[str, list[float]] = {each: [] for each in contenders}

    def timed(each: str) -> None:
        spent[each].append(seconds_of(lambda: contenders[each](given)))

    def rivals() -> None:
        for each in list(contenders)[1:]:
            timed(each)

    with torch.inference_mode():
        rounds = min(ROUNDS, 2) if seconds == 60 else ROUNDS
        benchmark.pedantic(timed, args=("ours",), setup=rivals, rounds=rounds, warmup_rounds=1)
    ms = {each: 1000 * statistics.median(times[1:]) for each, times in spent.items()}
    beside = {"eager": ["", ""], "compiled": ["", ""]}
    for each in list(contenders)[1:]:
        ratio = benchmark.extra_info[f"{each} / ours"] = ms[each] / ms["ours"]
        beside[each] = [three_digits(ms[each]), f"{ratio:.2f}"]
    record_row(
        f"{name} {batch} x {seconds} s",
        three_digits(ms["ours"]),
        f"{1000 * batch * seconds / ms['ours']:.1f}",
        *beside["eager"],
        *beside["compiled"],
    )
