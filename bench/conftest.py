"""Bench results: a header with the machine and the versions, and a table of each bench at the end."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from . import timing

_STARTED = time.monotonic()


@dataclass
class _Table:
    title: str
    columns: tuple[str, ...]
    notes: Callable[[], list[str]] = list
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def record(self, *cells: str) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def lines(self) -> Iterator[str]:
        """Title, header, notes, and the rows as Markdown."""
        yield from (self.title, *pytest_report_header(), *self.notes(), "")
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        rule = tuple("-" * width for width in widths)
        for row in (self.columns, rule, *self.rows):
            yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _kernel_notes() -> list[str]:
    notes = [f"copy: {timing.copy_rate() / 1e9:.0f} GB/s, read and written"]
    for mode in timing.DTYPES:
        if any(row[1] == mode for row in _KERNELS.rows):
            notes.append(f"PyTorch's matmul, {mode}: {timing.matmul_rate(mode) / 1e12:.3g} TFLOP/s")
    if timing.INTERPRETED:
        notes.append("no GPU: the kernels ran in Triton's interpreter, so the times say nothing about them")
    elif not timing.GPU:
        notes.append("no GPU: ours is the PyTorch branch on the CPU; no kernel was measured")
    return notes


_MODEL = _Table(
    "encode and decode against transformers, interleaved, medians",
    ("case", "ours (ms)", "x real time", "eager (ms)", "eager / ours", "compiled (ms)", "compiled / ours"),
)
_STREAMS = _Table(
    "one push of a stream against transformers on the same window, interleaved",
    (
        "case",
        "p50 (ms)",
        "p95 (ms)",
        "p99 (ms)",
        "x real time",
        "streams",
        "eager (ms)",
        "eager / ours",
        "compiled (ms)",
        "compiled / ours",
        "ours / offline",
    ),
)
_KERNELS = _Table(
    "kernels against PyTorch, interleaved, medians",
    (
        "case",
        "precision",
        "ours (ms)",
        "eager (ms)",
        "eager / ours",
        "compiled (ms)",
        "compiled / ours",
        "GB/s",
        "of copy",
        "TFLOP/s",
        "of matmul",
        "error",
    ),
    _kernel_notes,
)


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
    """XCODEC_FAST_COMMIT names it where there is no repository."""
    try:
        command = ["git", "describe", "--always", "--dirty"]
        result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
        described = result.stdout.strip()
    except OSError:
        described = ""
    return described or os.environ.get("XCODEC_FAST_COMMIT", "unknown")


def _versions() -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for name in ("torch", "triton", "transformers", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def pytest_report_header() -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return [f"machine: {_processor()}", f"versions: {versions}; commit {_commit()}"]


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info.update(versions=_versions(), processor_or_gpu=_processor(), commit=_commit())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tables", metavar="FILE", help="write the final tables to FILE too")
    parser.addoption("--eager-only", action="store_true", help="time a stream's push against eager PyTorch alone")
    parser.addoption("--within", metavar="SECONDS", type=float, help="skip the cases left after that time")


@pytest.fixture(autouse=True)
def within(request: pytest.FixtureRequest) -> None:
    limit = request.config.getoption("--within")
    if limit is not None and time.monotonic() - _STARTED > limit:
        pytest.skip(f"the {limit:g} s of --within are over")


@pytest.fixture
def record_row() -> Callable[..., None]:
    """Adds a row, one string a column, to the table of the models."""
    return _MODEL.record


@pytest.fixture
def record_stream() -> Callable[..., None]:
    """Adds a row, one string a column, to the table of the streams."""
    return _STREAMS.record


@pytest.fixture
def record_kernel() -> Callable[..., None]:
    """Adds a row to the table of the kernels: the case, its precision, its numbers by name, and ours' error."""

    def record(case: str, mode: str, numbers: dict[str, float], error: float) -> None:
        def cell(name: str, form: str) -> str:
            return format(numbers[name], form) if name in numbers else ""

        _KERNELS.record(
            case,
            mode,
            cell("ours (ms)", ".4g"),
            cell("eager (ms)", ".4g"),
            cell("eager / ours", ".2f"),
            cell("compiled (ms)", ".4g"),
            cell("compiled / ours", ".2f"),
            cell("GB/s", ".4g"),
            cell("of copy", ".0%"),
            cell("TFLOP/s", ".3g"),
            cell("of matmul", ".0%"),
            f"{error:.0e}",
        )

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines: list[str] = []
    for table in (_MODEL, _STREAMS, _KERNELS):
        if table.rows:
            lines += [*table.lines(), ""]
    if lines:
        terminalreporter.section("results")
    for line in lines:
        terminalreporter.write_line(line)
    file = terminalreporter.config.getoption("--tables")
    if file:
        Path(file).write_text("\n".join(lines), encoding="utf-8")
