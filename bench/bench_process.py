"""What shows only in a fresh process: the time to a first result, and the memory that a call takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .alone import apart
from .contenders import Models
from .timing import GPU, INTERPRETED

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(GPU or sys.platform != "linux", reason="the memory of a Linux process is measured")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full-size model, saved for both."""
    path = tmp_path_factory.mktemp("model")
    Models().eager.save_pretrained(path)
    return path


def test_import(record_process):
    """In turns with `import torch`, which is part of it."""
    seconds: dict[str, list[float]] = {"import xcodec_fast": [], "import torch": []}
    for _ in range(1 if INTERPRETED else 7):
        for statement, spent in seconds.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
            spent.append(time.perf_counter() - started)
    ours, torch = map(statistics.median, seconds.values())
    record_process("import, beside torch's own", f"{ours:.2f} s", f"{torch:.2f} s", f"{torch / ours:.2f}")


def test_cold_start(record_process, folder):
    rounds = [{name: apart("alone", name, folder, "encode", 1) for name in ("ours", "eager")} for _ in range(3)]
    for part in ("import_s", "load_s", "call_s"):
        ours, eager = (statistics.median(each[name][part] for each in rounds) for name in ("ours", "eager"))
        case = {"import_s": "import", "load_s": "from_pretrained", "call_s": "first encode of 1 s"}[part]
        record_process(case, f"{ours:.2f} s", f"{eager:.2f} s", f"{eager / ours:.2f}")


@pytest.mark.parametrize(
    ("call", "seconds"), [("decode", 60), ("encode", 60), pytest.param("decode", 600, marks=pytest.mark.slow)]
)
def test_memory(record_process, folder, call, seconds):
    ours, eager = (apart("alone", name, folder, call, seconds)["peak_mb"] for name in ("ours", "eager"))
    record_process(f"{call} {seconds} s, memory", f"{ours:.0f} MB", f"{eager:.0f} MB", f"{eager / ours:.1f}")
