"""Clips of many lengths, in a process of its own: `python -m bench.lengths ours|eager FOLDER CLIPS`.

Prints a JSON object: mb, resident before, after an eighth of the clips, and after all (Linux); new_ms, the median
`encode` of the last eighth, whose lengths had not come before; again_ms, that of ten lengths which keep coming, in
their third and fourth turn.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Iterable
from typing import Any

import torch

from .alone import memory_mb, model_class

_SAMPLES = (4000, 16000)  # 0.25 to 1 s
_RECURRING, _TURNS = 10, 4


def new_lengths(count: int) -> list[int]:
    """In samples, in random order, no two alike."""
    return random.Random(0).sample(range(*_SAMPLES), count)


@torch.inference_mode()
def _times_ms(model: Any, lengths: Iterable[int]) -> list[float]:
    times, generator = [], torch.Generator().manual_seed(0)
    for length in lengths:
        clip = torch.randn(1, 1, length, generator=generator) / 10
        started = time.perf_counter()
        model.encode(clip)
        times.append(1000 * (time.perf_counter() - started))
    return times


def measured(name: str, folder: str, clips: int) -> dict[str, Any]:
    """What is printed of a checkpoint by ours or transformers' model."""
    model: Any = model_class(name).from_pretrained(folder).eval()
    lengths, eighth = new_lengths(clips), clips // 8
    _times_ms(model, [_SAMPLES[1]])  # packs weights
    before = memory_mb("VmRSS")
    _times_ms(model, lengths[:eighth])
    early = memory_mb("VmRSS")
    times = _times_ms(model, lengths[eighth:])
    late = memory_mb("VmRSS")
    again = _times_ms(model, _TURNS * lengths[:_RECURRING])
    return {
        "mb": [before, early, late],
        "new_ms": statistics.median(times[-eighth:]),
        "again_ms": statistics.median(again[_TURNS // 2 * _RECURRING :]),
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
