"""One call of ours or transformers' in a process of its own: `python -m bench.alone ours|eager FOLDER CALL SECONDS`.

Prints a JSON object: import_s and load_s; call_s, of the first call; peak_mb, the most memory during it above what was
resident before, weights included (Linux).
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory_mb(field: str) -> float:
    """Of this process, in 1,000 KiB: VmRSS, or VmHWM, the most since it was reset."""
    found = re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())
    assert found
    return int(found[1]) / 1000


def apart(module: str, *arguments: Any, env: Mapping[str, str] | None = None) -> Any:
    """The JSON that `python -m bench.MODULE ARGUMENTS` prints."""
    command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=_ROOT, env=env)
    return json.loads(done.stdout)


def model_class(name: str) -> Any:
    """Ours or transformers' XcodecModel, imported now: transformers imports what it has only when asked."""
    return importlib.import_module({"ours": "xcodec_fast", "eager": "transformers"}[name]).XcodecModel


def _run(name: str, folder: str, call: str, seconds: int) -> dict[str, float]:
    started = time.perf_counter()
    chosen = model_class(name)
    import torch

    imported = time.perf_counter()
    model: Any = chosen.from_pretrained(folder).eval()
    loaded = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    given = {
        "encode": torch.randn(1, 1, 16000 * seconds, generator=generator) / 10,
        "decode": torch.randint(1024, (1, 8, 50 * seconds), generator=generator),
    }[call]
    _CLEAR.write_text("5")
    before = memory_mb("VmRSS")
    called = time.perf_counter()
    with torch.inference_mode():
        getattr(model, call)(given)
    finished = time.perf_counter()
    return {
        "import_s": imported - started,
        "load_s": loaded - imported,
        "call_s": finished - called,
        "peak_mb": memory_mb("VmHWM") - before,
    }


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
