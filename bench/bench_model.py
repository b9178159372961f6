"""encode and decode of the full-size config against transformers with the same weights, eager and compiled.

Ours, eager and compiled take turns, round by round, in one process, after their results have been found equal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from .contenders import Models, synchronize
from .timing import INTERPRETED

ROUNDS = 1 if INTERPRETED else 7


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.mark.parametrize(("batch", "seconds"), [(1, 1), (1, 5), (4, 2)])
def test_encode(benchmark, record_row, models, batch, seconds):
    audio = models.audio(batch, seconds)
    ours = models.ours.encode(audio).audio_codes
    expected = models.eager.encode(audio).audio_codes
    first = (ours != expected) & ((ours != expected).cumsum(1) == 1)
    assert int(first.sum()) <= ours.numel() / 1000
    _compare(benchmark, record_row, "encode", batch, seconds, models, audio)


@pytest.mark.parametrize(("batch", "seconds"), [(1, 1), (1, 5), (4, 2)])
def test_decode(benchmark, record_row, models, batch, seconds):
    codes = models.eager.encode(models.audio(batch, seconds)).audio_codes
    with torch.inference_mode():
        ours, expected = models.ours.decode(codes).audio_values, models.eager.decode(codes).audio_values
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max().clamp(min=1)
    _compare(benchmark, record_row, "decode", batch, seconds, models, codes)


def _compare(
    benchmark: Any, record_row: Callable[..., None], call: str, batch: int, seconds: int, models: Models, given: Tensor
) -> None:
    """Times `call` of the three in turns; the first call of each, which compiles, is not counted."""
    torch.compiler.reset()
    contenders = {
        "ours": getattr(models.ours, call),
        "eager": getattr(models.eager, call),
        "compiled": torch.compile(getattr(models.eager, call)),
    }
    spent: dict[str, list[float]] = {name: [] for name in contenders}

    def timed(name: str) -> None:
        synchronize()
        started = time.perf_counter()
        contenders[name](given)
        synchronize()
        spent[name].append(time.perf_counter() - started)

    def rivals() -> None:
        timed("eager")
        timed("compiled")

    with torch.inference_mode():
        benchmark.pedantic(timed, args=("ours",), setup=rivals, rounds=ROUNDS, warmup_rounds=1)
    ms = {name: 1000 * statistics.median(times[1:]) for name, times in spent.items()}
    for name in ("eager", "compiled"):
        benchmark.extra_info[f"{name} / ours"] = ms[name] / ms["ours"]
    record_row(
        f"{call} {batch} x {seconds} s",
        f"{ms['ours']:.0f}",
        f"{1000 * batch * seconds / ms['ours']:.1f}",
        f"{ms['eager']:.0f}",
        f"{ms['eager'] / ms['ours']:.2f}",
        f"{ms['compiled']:.0f}",
        f"{ms['compiled'] / ms['ours']:.2f}",
    )
