"""Bench results: a header with the machine and the versions, and one table of ratios at the end."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
import transformers

_ROWS: list[tuple[str, ...]] = []
_COLUMNS = ("case", "ours (ms)", "x real time", "eager (ms)", "eager / ours", "compiled (ms)", "compiled / ours")


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"


def _commit() -> str:
    here = Path(__file__).parent
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=here, check=False
    )
    return result.stdout.strip() or "unknown"


def pytest_report_header() -> list[str]:
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, numpy {numpy.__version__}"
    return [f"machine: {_processor()}", f"versions: Python {platform.python_version()}, {versions}; commit {_commit()}"]


@pytest.fixture
def record_row() -> Callable[..., None]:
    """Adds a row, one string a column, to the final table."""

    def record(*cells: str) -> None:
        assert len(cells) == len(_COLUMNS)
        _ROWS.append(cells)

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    terminalreporter.section("against transformers, interleaved, medians")
    for line in pytest_report_header():
        terminalreporter.write_line(line)
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *_ROWS, strict=True)]
    rule = tuple("-" * width for width in widths)
    for row in (_COLUMNS, rule, *_ROWS):
        terminalreporter.write_line(
            "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        )
