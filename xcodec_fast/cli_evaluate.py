"""The command `evaluate`: how good a model's reconstructions are, per bandwidth, and how its codebooks are used."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xcodec_fast.audio import audio_files
from xcodec_fast.cli_options import Force, Model, Mono, OnDevice
from xcodec_fast.cli_work import Device, Models, printable, progress_bar, read_clip
from xcodec_fast.evaluation import Evaluation, evaluate
from xcodec_fast.metrics import hearing_metrics
from xcodec_fast.whole import check_writable, written_whole

_HEADINGS = {
    "log_mel_db": "log-mel\ndB",
    "stft": "STFT",
    "si_sdr_db": "SI-SDR\ndB",
    "stoi": "STOI",
    "pesq_wb": "PESQ-WB",
}
_PACKAGES = {"stoi": "pystoi", "pesq_wb": "pesq"}


def evaluation(
    audio: Annotated[list[Path], typer.Argument(help="Clips, and folders of them.")],
    model: Model = "xcodec-tiny",
    output: Annotated[Path | None, typer.Option(help="Write all figures, clip by clip, as JSON.")] = None,
    device: OnDevice = Device.auto,
    mono: Mono = False,
    force: Force = False,
) -> None:
    """Distances of what a model decodes from what it was given, per bandwidth, and the use of its codebooks."""
    if output is not None and output.exists() and not force:
        raise FileExistsError(f"{output} exists already: --force replaces it")
    if output is not None:
        check_writable(output)
    paths = [clip for path in audio for clip in (audio_files(path) if path.is_dir() else [path])]
    models = Models(device)
    loaded = models.load(model)
    samples = [read_clip(path, loaded.config.sample_rate, mono) for path in paths]
    with progress_bar() as bar:
        task = bar.add_task("clips", total=None)
        found = evaluate(loaded, samples, progress=lambda done, total: bar.update(task, completed=done, total=total))
    console = Console(highlight=False, width=120)
    console.print(_distances(found))
    console.print(_codebooks(found))
    print(printable(f"{len(paths)} clips, {found.seconds:.1f} s, {found.frames} frames; model {model}"))
    for name in sorted(_PACKAGES.keys() - hearing_metrics().keys()):
        print(f"not measured: {_HEADINGS[name]} (pip install {_PACKAGES[name]})")
    if output is not None:
        values = _finite({"model": model, "audio": [*map(str, paths)], **asdict(found)})
        with written_whole(output) as temporary:
            temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _distances(found: Evaluation) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    names = list(found.bandwidths[0].means)
    for heading in ("kbps", *(_HEADINGS[name] for name in names)):
        table.add_column(heading, justify="right")
    for row in found.bandwidths:
        places = (2 if name.endswith("_db") or name == "pesq_wb" else 3 for name in names)
        cells = (f"{row.means[name]:.{digits}f}" for name, digits in zip(names, places, strict=True))
        table.add_row(f"{row.bandwidth:g}", *cells)
    return table


def _codebooks(found: Evaluation) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("stage", "entries used\n%", "if all were likely\n%", "entropy\nbits"):
        table.add_column(heading, justify="right")
    for index, stage in enumerate(found.stages, 1):
        table.add_row(
            str(index), f"{100 * stage.usage:.1f}", f"{100 * stage.highest_usage:.1f}", f"{stage.entropy_bits:.2f}"
        )
    return table


def _finite(values: Any) -> Any:
    """With null for what is no number: JSON has none such."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [*map(_finite, values)]
    return None if isinstance(values, float) and not math.isfinite(values) else values
