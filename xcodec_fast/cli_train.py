"""The command `train`: a recipe and a folder of recordings to a model, resumable at any time."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from xcodec_fast.cli_options import OnDevice
from xcodec_fast.cli_paths import check_output_dir
from xcodec_fast.cli_work import Device, available, printable, progress_bar
from xcodec_fast.config import XcodecConfig
from xcodec_fast.features import XcodecFeatureExtractor
from xcodec_fast.model import XcodecModel
from xcodec_fast.training.curves import plot_curves
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.recordings import MANIFEST, Recordings
from xcodec_fast.training.shipping import write_shipped
from xcodec_fast.training.start import start
from xcodec_fast.training.trainer import CHECKPOINT, CURVES, Trainer
from xcodec_fast.whole import make_folder, written_whole


def train(
    recipe: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or 'xcodec-tiny' or 'fine-tune'.")],
    output_dir: Annotated[Path, typer.Option(help="Where the run lives; created.")] = Path("training"),
    audio: Annotated[Path | None, typer.Option(help="The folder of recordings, in place of the recipe's.")] = None,
    model: Annotated[str | None, typer.Option(help="The checkpoint to start from, in place of the recipe's.")] = None,
    device: OnDevice = Device.auto,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
) -> None:
    """Train a model, or fine-tune a checkpoint, on a folder of recordings.

    Ctrl-C ends it after the step, saves, and exits with 130 unless all steps are made; a second one ends it at once.
    """
    given = {"audio": None if audio is None else str(audio), "model": model}
    values = Recipe.from_yaml(recipe).but(**{key: value for key, value in given.items() if value is not None})
    if not Path(values.audio).is_dir():
        raise FileNotFoundError(f"there is no folder of recordings {values.audio!r}: give --audio FOLDER")
    check_output_dir(output_dir)
    held = (output_dir / CHECKPOINT).exists()
    if held and not resume:
        raise FileExistsError(f"{output_dir} holds a run already: --resume goes on, another --output-dir begins anew")
    if not held and any((output_dir / name).exists() for name in (CURVES, "model", "small")):
        raise FileExistsError(f"{output_dir} holds what a run made, but no {CHECKPOINT}: give another --output-dir")
    if not held and resume:
        raise FileNotFoundError(f"{output_dir} holds no run to resume, for it has no {CHECKPOINT}")
    loaded, drawn = start(values, torch.device(available(device)))
    recordings = _recordings(values, loaded.config)
    trainer = Trainer(loaded, values, recordings, output_dir)
    for key, (before, now) in (trainer.resume() if resume else {}).items():
        _say_note(f"from step {trainer.step} on, {key}: {now!r}, before: {before!r}")
    if values.kinds and not recordings.has_kinds:
        _say_note(f"without a {MANIFEST} in {values.audio} crops are not drawn by their kinds, but by seconds")
    if isinstance(values.model, str) and drawn and not resume:
        _say_note(f"{values.model} lacks {' and '.join(drawn)}, which only training reads: drawn at random")
    if values.warmup >= values.steps and not resume:
        _say_note(f"the learning rate rises over {values.warmup} steps (warmup), but the run has {values.steps}")
    make_folder(output_dir)
    size = sum(each.numel() for each in loaded.parameters()) / 1e6
    _say(
        f"a model of {size:.2f} million parameters; recordings in {values.audio}: {len(recordings.clips)} to train on, "
        f"{recordings.seconds / 60:.1f} minutes, and {len(recordings.held_out)} held out"
    )
    with _signals() as came:
        _run(trainer, came)
        _write_models(loaded, output_dir)
        _draw_curves(output_dir)
    if not loaded.quantizer.is_filled():
        _say_note(f"the models do not encode yet: their codebooks are empty until step {values.quantize_from}")
    _say(
        f"step {trainer.step} of {values.steps}: {output_dir / 'model'}, for --model and more training; "
        f"{output_dir / 'small'}, the same in float16 without what only training reads"
    )
    if trainer.step < values.steps:
        _say(f"stopped at step {trainer.step}; --resume goes on", error=True)
        raise typer.Exit(128 + came[0])


def _run(trainer: Trainer, came: Sequence[int]) -> None:
    with progress_bar() as bar:
        task = bar.add_task("training", total=trainer.recipe.steps, completed=trainer.step)

        def on_step(losses: dict[str, float]) -> None:
            bar.update(task, completed=trainer.step, description=f"loss {losses['total']:.3f}")

        def on_row(row: dict[str, float]) -> None:
            bar.stop()
            _say(_row(row, quantized=trainer.step > trainer.recipe.quantize_from))
            bar.start()

        trainer.run(on_step, on_row, stopped=lambda: bool(came))


def _recordings(recipe: Recipe, config: XcodecConfig) -> Recordings:
    with progress_bar() as bar:
        recordings = Recordings(
            recipe,
            config.sample_rate,
            config.hop_length,
            progress=lambda files: bar.track(files, description="reading"),
        )
    for reason in recordings.unread:
        _say(f"left out: {reason}", error=True)
    if recordings.too_short:
        _say(f"left out, as no longer than a crop at its speed: {recordings.too_short} of the recordings", error=True)
    return recordings


def _row(row: dict[str, float], quantized: bool) -> str:
    line = f"step {row['step']:.0f}, {row['minutes']:.1f} min: loss {row['total']:.3f}"
    if not math.isnan(held_out := row["held_out_mel_db"]):
        line += f", held out {held_out:.2f} dB log-mel"
    return line if quantized else f"{line}, not quantized yet"


def _say(line: str, error: bool = False) -> None:
    """At once, on stdout or stderr; where that has gone, or the disk is full, the run goes on without it."""
    try:
        print(printable(line), file=sys.stderr if error else sys.stdout, flush=True)
    except OSError:
        lost = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
        if error:
            sys.stderr = lost
        else:
            sys.stdout = lost


def _write_models(model: XcodecModel, folder: Path) -> None:
    write_shipped(model, folder / "small")
    extractor = XcodecFeatureExtractor(sampling_rate=model.config.sample_rate, hop_length=model.config.hop_length)
    for name in ("model", "small"):
        extractor.save_pretrained(folder / name)


def _draw_curves(folder: Path) -> None:
    if (folder / CURVES).exists():
        try:
            with written_whole(folder / "curves.png") as temporary:
                plot_curves(temporary, folder / CURVES)
        except ImportError as error:
            _say_note(str(error))


def _say_note(text: str) -> None:
    _say(f"note: {text}", error=True)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals of Ctrl-C and of `kill` that have come; the second ends the program as usual."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        came.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)
        # Not by print, which may itself have been interrupted.
        with suppress(OSError):  # stderr may have gone
            os.write(2, b"\nstopping, and saving; once more to stop without\n")

    for number in before:
        signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
