"""The command `train`: a recipe and a folder of recordings to a model, resumable at any time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from xcodec_fast.cli_options import OnDevice
from xcodec_fast.cli_work import Device, available, printable, progress_bar
from xcodec_fast.features import XcodecFeatureExtractor
from xcodec_fast.training.curves import plot_curves
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.recordings import Recordings
from xcodec_fast.training.shipping import write_shipped
from xcodec_fast.training.trainer import CHECKPOINT, CURVES, Trainer, new_model
from xcodec_fast.whole import make_folder, written_whole


def train(
    recipe: Annotated[str, typer.Argument(metavar="CONFIG", help="A recipe's YAML file, or 'xcodec-tiny'.")],
    output_dir: Annotated[Path, typer.Option(help="Where the run lives; created.")] = Path("training"),
    audio: Annotated[Path | None, typer.Option(help="The folder of recordings, in place of the recipe's.")] = None,
    device: OnDevice = Device.auto,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
) -> None:
    """Train a model, or fine-tune a checkpoint, on a folder of recordings; Ctrl-C ends it after the step, and saves."""
    values = Recipe.from_yaml(recipe)
    folder = Path(values.audio) if audio is None else audio
    if not folder.is_dir():
        raise FileNotFoundError(f"the recipe's folder of recordings, {str(folder)!r}, is none: give --audio")
    if (output_dir / CHECKPOINT).exists() and not resume:
        raise FileExistsError(f"{output_dir} holds a run already: --resume goes on, another --output-dir begins anew")
    if resume and not (output_dir / CHECKPOINT).exists():
        raise FileNotFoundError(f"{output_dir} holds no run to resume")
    model = new_model(values, torch.device(available(device)))
    make_folder(output_dir)
    with progress_bar() as bar:
        recordings = Recordings(
            folder,
            values,
            model.config.sample_rate,
            model.config.hop_length,
            progress=lambda files: bar.track(files, description="reading"),
        )
        for reason in recordings.unread:
            print(printable(f"left out: {reason}"), file=sys.stderr)
        if recordings.too_short:
            print(f"left out: {recordings.too_short} recordings no longer than a crop", file=sys.stderr)
        print(printable(f"{len(recordings.clips)} recordings, {recordings.seconds / 60:.1f} minutes, in {folder}"))
        trainer = Trainer(model, values, recordings, output_dir)
        if resume:
            trainer.resume()
        task = bar.add_task("training", total=values.steps, completed=trainer.step)

        def on_step(losses: dict[str, float]) -> None:
            bar.update(task, completed=trainer.step, description=f"loss {losses['total']:.3f}")

        with _signals() as came:
            trainer.run(on_step, stopped=lambda: bool(came))
    if trainer.step < values.steps:
        print(f"stopped at step {trainer.step}; --resume goes on", file=sys.stderr)
    write_shipped(model, output_dir / "small")
    hop = model.config.hop_length
    for folder in (output_dir / "model", output_dir / "small"):
        XcodecFeatureExtractor(sampling_rate=model.config.sample_rate, hop_length=hop).save_pretrained(folder)
    if (output_dir / CURVES).exists():
        try:
            with written_whole(output_dir / "curves.png") as temporary:
                plot_curves(temporary, output_dir / CURVES)
        except ImportError as error:
            print(f"note: {error}", file=sys.stderr)
    print(
        printable(
            f"step {trainer.step} of {values.steps}: {output_dir / 'model'}, for --model and more training; "
            f"{output_dir / 'small'}, the same in float16 without what only training reads"
        )
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals of Ctrl-C and of `kill` that have come; the second ends the program as usual."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        came.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
