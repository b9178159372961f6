"""The command `streaming-report`: a table of what a stream's settings cost and give, as JSON and as a picture too."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xcodec_fast.audio import load_audio
from xcodec_fast.checks import chosen_bandwidth
from xcodec_fast.cli_options import (
    Bandwidth,
    Force,
    Model,
    Mono,
    OnDevice,
    Threads,
    as_typed,
    check_fit,
    input_files,
    wrong_option,
)
from xcodec_fast.cli_paths import check_output_dir, require_free
from xcodec_fast.cli_work import Device, Models, printable, progress_bar
from xcodec_fast.streaming_plot import plot_streaming
from xcodec_fast.streaming_report import SettingsReport, StreamingReport, settings_grid, streaming_report
from xcodec_fast.whole import make_folder, written_whole

_JSON, _PICTURE = "streaming-report.json", "streaming-report.png"
_WIDEST = 1000  # a table's line stays one line, however narrow the terminal is


def report(
    audio: Annotated[list[Path], input_files("AUDIO", "Clips; each is encoded at once too, so they are best short.")],
    model: Model = "xcodec-tiny",
    output_dir: Annotated[Path | None, typer.Option(help="Write JSON and a picture into this folder; created.")] = None,
    chunk_ms: Annotated[str, typer.Option(metavar="MS,...", help="Chunks to try.")] = "20,40,80,160",
    lookahead_ms: Annotated[str, typer.Option(metavar="MS,...", help="Lookaheads to try.")] = "0,40,160",
    left_context_ms: Annotated[str, typer.Option(metavar="MS,...", help="Left contexts to try.")] = "200,1000",
    bandwidth: Bandwidth = None,
    device: OnDevice = Device.auto,
    threads: Threads = None,
    mono: Mono = False,
    force: Force = False,
) -> None:
    """What a stream's settings cost and give: latency, compute, agreement with the codes of whole clips, distance."""
    with wrong_option():
        grid = settings_grid(
            _as_list(chunk_ms, "--chunk-ms"),
            _as_list(lookahead_ms, "--lookahead-ms"),
            _as_list(left_context_ms, "--left-context-ms"),
        )
    if output_dir is not None:
        check_output_dir(output_dir)
        for name in (_JSON, _PICTURE):
            require_free(output_dir / name, force)
    if threads is not None:
        torch.set_num_threads(threads)
    loaded = Models(device).load(model)
    check_fit(loaded, bandwidth, *grid)
    clips = [torch.from_numpy(load_audio(path, loaded.config.sample_rate, mono).samples) for path in audio]
    with progress_bar() as bar:
        task = bar.add_task("streams", total=None)
        found = streaming_report(
            loaded,
            clips,
            grid,
            bandwidth=bandwidth,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    Console(width=_WIDEST, highlight=False).print(_table(found))
    print(
        printable(
            f"{found.seconds:.2f} s of audio, model {model} on {loaded.device}; codes of whole clips: "
            f"{found.whole_log_mel_db:.2f} dB"
        )
    )
    if output_dir is not None:
        kbps = chosen_bandwidth(bandwidth, loaded.config.target_bandwidths)
        about = {"model": model, "device": str(loaded.device), "bandwidth": kbps, "audio": [*map(str, audio)]}
        written = _write(output_dir, {**about, **asdict(found)}, found)
        print(printable(f"wrote {', '.join(map(str, written))}"))


def _as_list(text: str, option: str) -> list[float]:
    try:
        values = [as_typed(float(part)) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(map(math.isfinite, values)):
        raise typer.BadParameter(f"{text!r} is no list of numbers of ms, such as 20,40", param_hint=option)
    return values


def _table(found: StreamingReport) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    stages = [f"Q{stage}\n%" for stage in range(1, len(found.rows[0].agreement) + 1)]
    settings = ("chunk\nms", "lookahead\nms", "left\nms", "latency\nms")
    for heading in (*settings, "push p50\nms", "p95\nms", "p99\nms", "real-time\nfactor", *stages, "log-mel\ndB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: SettingsReport) -> list[str]:
    settings = row.settings
    pushes = ["-"] * 3 if row.push_ms is None else [f"{push:.1f}" for push in row.push_ms]
    return [
        *(f"{ms:g}" for ms in (settings.chunk_ms, settings.lookahead_ms, settings.left_context_ms)),
        f"{row.latency_ms:g}",
        *pushes,
        f"{row.real_time_factor:.3f}",
        *(f"{100 * share:.1f}" for share in row.agreement),
        f"{row.log_mel_db:.2f}",
    ]


def _write(folder: Path, values: dict[str, object], found: StreamingReport) -> list[Path]:
    make_folder(folder)
    written = [folder / _JSON]
    with written_whole(folder / _JSON) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    try:
        with written_whole(folder / _PICTURE) as temporary:
            plot_streaming(temporary, found)
        written.append(folder / _PICTURE)
    except ImportError as error:
        print(f"note: {error}", file=sys.stderr)
    return written
