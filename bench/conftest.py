"""Options of the benches, what they record, and what is printed and written at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import machine, tables

_STARTED = time.monotonic()


def pytest_report_header() -> list[str]:
    return machine.header()


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info.update(versions=machine.versions(), device=machine.device_name(), commit=machine.commit())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tables", metavar="FILE", help="write the final tables to FILE")
    parser.addoption("--results", metavar="FOLDER", help="write them to FOLDER/<device>-<date>.md, .json and .png")
    parser.addoption("--eager-only", action="store_true", help="time against eager PyTorch alone")
    parser.addoption("--within", metavar="SECONDS", type=float, help="skip the cases left after that time")


@pytest.fixture(autouse=True)
def within(request: pytest.FixtureRequest) -> None:
    limit = request.config.getoption("--within")
    if limit is not None and time.monotonic() - _STARTED > limit:
        pytest.skip(f"the {limit:g} s of --within are over")


@pytest.fixture(scope="module")
def models() -> Any:
    """Ours and transformers'."""
    from .contenders import Models  # here, since the kernels' bench does without transformers

    return Models()


@pytest.fixture
def record_row() -> Callable[..., None]:
    """Adds a row, one string a column, to the table of the models."""
    return tables.MODEL.record


@pytest.fixture
def record_half() -> Callable[..., None]:
    """The same for models in bfloat16."""
    return tables.HALF.record


@pytest.fixture
def record_process() -> Callable[..., None]:
    """The same for what is measured in a process of its own."""
    return tables.PROCESS.record


@pytest.fixture
def record_stream() -> Callable[..., None]:
    """The same for streams."""
    return tables.STREAMS.record


@pytest.fixture
def record_kernel() -> Callable[..., None]:
    """Adds a row to the table of the kernels: the case, its precision, its numbers by name, and ours' error."""

    def record(case: str, mode: str, numbers: dict[str, float], error: float) -> None:
        def cell(name: str, form: str) -> str:
            return format(numbers[name], form) if name in numbers else ""

        tables.KERNELS.record(
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
    lines = tables.lines()
    if not lines:
        return
    terminalreporter.section("results")
    for line in lines:
        terminalreporter.write_line(line)
    if file := terminalreporter.config.getoption("--tables"):
        Path(file).write_text("\n".join(lines), encoding="utf-8")
    if folder := terminalreporter.config.getoption("--results"):
        for path in tables.write(Path(folder)):
            terminalreporter.write_line(f"wrote {path}")
