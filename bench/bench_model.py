"""encode and decode of the full-size config against transformers with the same weights, eager and compiled.

Ours, eager and compiled take turns, round by round, in one process, after their results have been found equal, on a GPU
without TF32; they are timed as PyTorch is by default, with TF32 in convolutions.
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
from .timing import INTERPRETED, assert_same_audio, assert_same_codes, precision_set, three_digits

ROUNDS = 1 if INTERPRETED else 7


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


# The shortest first, of which decode compiles faster.
@pytest.mark.parametrize("call", ["decode", "encode"])
@pytest.mark.parametrize(("batch", "seconds"), [(1, 1), (1, 5), (4, 2)])
def test_call(benchmark, record_row, models, call, batch, seconds):
    audio = models.audio(batch, seconds)
    with torch.inference_mode(), precision_set("float32"):
        codes = models.eager.encode(audio).audio_codes
        if call == "encode":
            assert_same_codes(codes, models.ours.encode(audio).audio_codes)
        else:
            assert_same_audio(models.eager.decode(codes).audio_values, models.ours.decode(codes).audio_values)
    _compare(benchmark, record_row, call, batch, seconds, models, audio if call == "encode" else codes)


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
        three_digits(ms["ours"]),
        f"{1000 * batch * seconds / ms['ours']:.1f}",
        three_digits(ms["eager"]),
        f"{ms['eager'] / ms['ours']:.2f}",
        three_digits(ms["compiled"]),
        f"{ms['compiled'] / ms['ours']:.2f}",
    )
