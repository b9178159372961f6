"""The command `evaluate`: how good a model's reconstructions are, per bandwidth, and how its codebooks are used."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from xcodec_fast.audio import audio_files, load_audio
from xcodec_fast.cli_options import Force, Model, Mono, OnDevice, input_files
from xcodec_fast.cli_paths import require_free, require_no_input
from xcodec_fast.cli_work import Device, Models, as_line, printable, progress_bar
from xcodec_fast.evaluation import Evaluation, evaluate
from xcodec_fast.metrics import hearing_metrics
from xcodec_fast.whole import check_writable, written_whole
from xcodec_fast.words import counted

_HEADINGS = {
    "log_mel_db": "log-mel\ndB",
    "stft": "STFT",
    "si_sdr_db": "SI-SDR\ndB",
    "stoi": "STOI",
    "pesq_wb": "PESQ-WB",
}
_PACKAGES = {"stoi": "pystoi", "pesq_wb": "pesq"}


def evaluation(
    audio: Annotated[list[Path], input_files("AUDIO", "Clips, and folders of them.")],
    model: Model = "xcodec-tiny",
    output: Annotated[Path | None, typer.Option(help="Write all figures, clip by clip, as JSON.")] = None,
    device: OnDevice = Device.auto,
    mono: Mono = False,
    force: Force = False,
) -> None:
    """Distances of what a model decodes from what it was given, per bandwidth, and the use of its codebooks."""
    named = [clip for path in audio for clip in (audio_files(path) if os.path.isdir(path) else [path])]
    paths = [*{path.resolve(): path for path in named}.values()]
    if output is not None:
        check_writable(output)
        require_no_input([output], paths)
        require_free(output, force)
    loaded = Models(device).load(model)
    clips = _clips(paths, loaded.config.sample_rate, mono)
    with progress_bar() as bar:
        task = bar.add_task("clips", total=None)
        found = evaluate(
            loaded,
            [*clips.values()],
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    names, failed = [*map(str, clips)], [str(path) for path in paths if path not in clips]
    if output is not None:  # before the tables, whose reader may have gone
        with written_whole(output) as temporary:
            temporary.write_text(json.dumps(_as_json(found, model, names, failed), indent=2) + "\n", encoding="utf-8")
    console = Console(highlight=False, width=120)
    console.print(_distances(found))
    console.print(_codebooks(found))
    amount = f"{counted(len(names), 'clip')}, {found.seconds:.1f} s, {counted(found.frames, 'frame')}"
    print(printable(f"{amount}; model {model}"))
    for at, name in enumerate(names):
        if metrics := _not_judging(found, at):
            print(printable(f"not judged by {', '.join(metrics)}, so not in the mean: {name}"))
    for name in sorted(_PACKAGES.keys() - hearing_metrics().keys()):
        print(f"not measured: {_HEADINGS[name]} (pip install {_PACKAGES[name]})")
    if output is not None:
        print(printable(f"wrote {output}"))
    if failed:
        raise ValueError(f"{len(failed)} of {len(paths)} files failed")


def _clips(paths: Sequence[Path], rate: int, mono: bool) -> dict[Path, Tensor]:
    """The clips that can be read; of the others it is said why not. Raises what reading a single one raises."""
    clips = {}
    for path in paths:
        try:
            clips[path] = torch.from_numpy(load_audio(path, rate, mono).samples)
        except (OSError, ValueError) as error:
            if len(paths) == 1:
                raise
            print(as_line(error, path), file=sys.stderr)
    if not clips:
        raise ValueError(f"all of the {len(paths)} files failed")
    return clips


def _not_judging(found: Evaluation, clip: int) -> list[str]:
    """The metrics that gave no number for the clip, at any bandwidth."""
    return [
        _HEADINGS[metric].partition("\n")[0]
        for metric in found.bandwidths[0].clips
        if any(math.isnan(row.clips[metric][clip]) for row in found.bandwidths)
    ]


def _as_json(found: Evaluation, model: str, names: Sequence[str], failed: Sequence[str]) -> dict[str, Any]:
    """Every figure, and null for what is no number or infinite: JSON has none such."""
    return {
        "model": model,
        "seconds": found.seconds,
        "frames": found.frames,
        "failed": failed,
        "bandwidths": [
            {
                "kbps": row.bandwidth,
                "means": {metric: _finite(value) for metric, value in row.means.items()},
                "clips": [
                    {"file": name, **{metric: _finite(values[at]) for metric, values in row.clips.items()}}
                    for at, name in enumerate(names)
                ],
            }
            for row in found.bandwidths
        ],
        "stages": [asdict(stage) for stage in found.stages],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _distances(found: Evaluation) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    names = list(found.bandwidths[0].means)
    for heading in ("kbps", *(_HEADINGS[name] for name in names)):
        table.add_column(heading, justify="right")
    for row in found.bandwidths:
        places = (2 if name.endswith("_db") or name == "pesq_wb" else 3 for name in names)
        cells = (_cell(row.means[name], digits) for name, digits in zip(names, places, strict=True))
        table.add_row(f"{row.bandwidth:g}", *cells)
    return table


def _cell(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _codebooks(found: Evaluation) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("stage", "entries used\n%", "if all were likely\n%", "entropy\nbits"):
        table.add_column(heading, justify="right")
    for index, stage in enumerate(found.stages, 1):
        table.add_row(
            str(index), f"{100 * stage.usage:.1f}", f"{100 * stage.highest_usage:.1f}", f"{stage.entropy_bits:.2f}"
        )
    return table
