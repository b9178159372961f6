"""The tables of a bench run, and the files that hold them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from . import chart, machine, timing


@dataclass
class Table:
    """A row is one string a column."""

    title: str
    columns: tuple[str, ...]
    notes: Callable[[], list[str]] = list
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def record(self, *cells: str) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def lines(self) -> Iterator[str]:
        """Title, machine, notes, and the rows as Markdown."""
        yield from (f"## {self.title}", "", *(f"- {line}" for line in (*machine.header(), *self.notes())), "")
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        rule = tuple("-" * width for width in widths)
        for row in (self.columns, rule, *self.rows):
            yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _kernel_notes() -> list[str]:
    notes = [f"copy: {timing.copy_rate() / 1e9:.0f} GB/s, read and written"]
    for mode in timing.DTYPES:
        if any(row[1] == mode for row in KERNELS.rows):
            notes.append(f"PyTorch's matmul, {mode}: {timing.matmul_rate(mode) / 1e12:.3g} TFLOP/s")
    if timing.INTERPRETED:
        notes.append("no GPU: the kernels ran in Triton's interpreter, so the times say nothing about them")
    elif not timing.GPU:
        notes.append("no GPU: ours is the PyTorch branch on the CPU; no kernel was measured")
    return notes


_RATIOS = ("eager (ms)", "eager / ours", "compiled (ms)", "compiled / ours")
MODEL = Table(
    "encode and decode against transformers, interleaved, medians",
    ("case", "ours (ms)", "x real time", *_RATIOS),
)
HALF = Table(
    "decode in bfloat16 against transformers in float32, interleaved, medians",
    ("case", "ours (ms)", "eager (ms)", "eager / ours", "signal to error (dB)"),
)
PROCESS = Table(
    "in a process of its own: cold start, and the most memory of a call above the loaded weights",
    ("case", "ours", "eager", "eager / ours"),
)
STREAMS = Table(
    "one push of a stream against transformers on the same window, interleaved",
    ("case", "p50 (ms)", "p95 (ms)", "p99 (ms)", "x real time", "streams", *_RATIOS, "ours / offline"),
)
KERNELS = Table(
    "kernels against PyTorch, interleaved, medians",
    ("case", "precision", "ours (ms)", *_RATIOS, "GB/s", "of copy", "TFLOP/s", "of matmul", "error"),
    _kernel_notes,
)
ALL = (MODEL, HALF, PROCESS, STREAMS, KERNELS)


def lines() -> list[str]:
    """Of all tables that have rows."""
    return [line for table in ALL if table.rows for line in (*table.lines(), "")]


def write(folder: Path) -> list[Path]:
    """`<device>-<instructions>-<threads>-<date>`.md, .json and, with matplotlib and where models were timed, .png."""
    device = f"{machine.device_name()} {machine.instructions()} {torch.get_num_threads()} threads"
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    path = folder / f"{name}-{time.strftime('%Y-%m-%d')}"
    folder.mkdir(parents=True, exist_ok=True)
    markdown, values, picture = (path.with_name(f"{path.name}.{suffix}") for suffix in ("md", "json", "png"))
    markdown.write_text("\n".join([f"# {path.name}", "", *lines()]), encoding="utf-8")
    tables = {table.title: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in ALL}
    values.write_text(
        json.dumps({"machine": machine.header(), "date": time.strftime("%Y-%m-%d"), "tables": tables}, indent=2) + "\n",
        encoding="utf-8",
    )
    written = [markdown, values]
    if MODEL.rows:
        at = {name: MODEL.columns.index(f"{name} / ours") for name in ("eager", "compiled")}
        ratios = {
            name: [float(row[column]) if row[column] else None for row in MODEL.rows] for name, column in at.items()
        }
        if chart.draw_ratios(picture, [row[0] for row in MODEL.rows], ratios, machine.header()):
            written.append(picture)
    return written
