"""Memory after clips of many lengths, in a process of its own: `python -m bench.lengths ours|eager FOLDER CLIPS`.

Prints a JSON object: mb, resident before, after an eighth, and after all (Linux); ms, the median of the last eighth's
`encode`.
"""

from __future__ import annotations

import importlib
import json
import random
import statistics
import sys
import time
from typing import Any

import torch

from .alone import memory_mb

_SAMPLES = (4000, 16000)  # 0.25 to 1 s: hardly two clips have the same


@torch.inference_mode()
def _run(name: str, folder: str, clips: int) -> dict[str, Any]:
    package = importlib.import_module({"ours": "xcodec_fast", "eager": "transformers"}[name])
    model: Any = package.XcodecModel.from_pretrained(folder).eval()
    lengths, generator = random.Random(0), torch.Generator().manual_seed(0)
    model.encode(torch.zeros(1, 1, _SAMPLES[1]))  # packs weights
    resident, times = [memory_mb("VmRSS")], []
    for index in range(1, clips + 1):
        clip = torch.randn(1, 1, lengths.randint(*_SAMPLES), generator=generator) / 10
        started = time.perf_counter()
        model.encode(clip)
        times.append(1000 * (time.perf_counter() - started))
        if index in (clips // 8, clips):
            resident.append(memory_mb("VmRSS"))
    return {"mb": resident, "ms": statistics.median(times[-(clips // 8) :])}


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
