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
import transformers
from torch import Tensor

from xcodec_fast import XcodecConfig
from xcodec_fast.audio import load_audio
from xcodec_fast.demo import SPEECH
from xcodec_fast.seeding import seeded_model

from .timing import INTERPRETED

ROUNDS = 1 if INTERPRETED else 7
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Models:
    """The three contenders, and audio: the bundled clip, repeated to the length asked for."""

    def __init__(self) -> None:
        clip = torch.from_numpy(load_audio(SPEECH, 16000).samples)
        self.ours = seeded_model(XcodecConfig(), clip[None, None], seed=0).to(DEVICE)
        self.eager = transformers.XcodecModel(transformers.XcodecConfig()).eval()
        self.eager.load_state_dict(self.ours.state_dict())
        self.eager.to(DEVICE)
        self._clip = clip.to(DEVICE)

    def audio(self, batch: int, seconds: int) -> Tensor:
        """`[B, 1, T]`, each row another part of the clip."""
        samples = 16000 * seconds
        looped = self._clip.repeat(-(-samples // len(self._clip)) + 1)
        return torch.stack([looped[7000 * row : 7000 * row + samples] for row in range(batch)])[:, None]


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
        _synchronize()
        started = time.perf_counter()
        contenders[name](given)
        _synchronize()
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


def _synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
