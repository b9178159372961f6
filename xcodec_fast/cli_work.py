"""What the commands have in common: loading a model, going through files with a progress bar, errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from xcodec_fast.cli_paths import require_free
from xcodec_fast.codes_info import CodesInfo
from xcodec_fast.container import check_model
from xcodec_fast.hub import EMBEDDED, PUBLISHED
from xcodec_fast.model import XcodecModel
from xcodec_fast.transcode import OnProgress


class Device(StrEnum):
    """Where to compute; `auto` is the first of cuda, mps and cpu that is there."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Models:
    """Loads the model that is asked for, or that a file names, once each."""

    def __init__(self, device: Device) -> None:
        self.device = available(device)
        self._loaded: dict[str, XcodecModel] = {}

    def load(self, name: str) -> XcodecModel:
        """An embedded model, a folder or a hub id. Raises as `XcodecModel.from_pretrained` does."""
        if name not in self._loaded:
            self._loaded[name] = XcodecModel.from_pretrained(name, device=self.device)
        return self._loaded[name]

    def load_for(self, path: Path, info: CodesInfo, given: str | None) -> XcodecModel:
        """The model of a file of codes: the given one, or the one that it names, if that is embedded or published.

        Raises ValueError where the file names another, or was made by another than the given.
        """
        model = self.load(_known(path, info.model_id) if given is None else given)
        check_model(path, info, model)
        return model


def _known(path: Path, model_id: str) -> str:
    """A file names its model, never a folder of this machine."""
    if model_id not in (*EMBEDDED, *PUBLISHED):
        named = f"{model_id!r}, which is neither embedded nor published" if model_id else "nothing"
        raise ValueError(f"{path} names as its model {named}: give --model")
    if model_id in PUBLISHED and Path(model_id).exists():
        raise ValueError(f"{path} names as its model {model_id!r}, but here is a folder of that name: give --model")
    return model_id


def available(device: Device) -> str:
    """Its name in torch."""
    if device is Device.auto:
        mps = torch.backends.mps.is_available()
        return "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    return device.value


def progress_bar() -> Progress:
    """A bar on stderr, where that is a terminal; results go to stdout, whole lines however narrow the terminal is."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    )


def each_file(pairs: Sequence[tuple[Path, Path]], work: Callable[[Path, Path, OnProgress], str], force: bool) -> None:
    """Calls work(input, output, progress) for each pair and prints its line; one that fails does not stop the rest.

    So does an output that exists, without `force`. Raises what the work of a single pair raises, or
    ValueError with the number of those that failed.
    """
    failed = 0
    bar = progress_bar()
    files = bar.add_task("files", total=len(pairs), visible=len(pairs) > 1)
    for source, output in pairs:
        task = bar.add_task(escape(source.name), total=None)

        def advance(done: float, total: float | None, task: TaskID = task) -> None:
            bar.update(task, completed=done, total=total)

        problem = None
        try:
            require_free(output, force)
            with bar:
                line = work(source, output, advance)
        except Exception as error:
            if len(pairs) == 1:
                raise
            failed += 1
            problem = as_line(error, source)
        print(problem or printable(line), file=sys.stderr if problem else sys.stdout, flush=True)
        bar.remove_task(task)
        bar.advance(files)
    if failed:
        raise ValueError(f"{failed} of {len(pairs)} files failed")


def as_line(error: BaseException, source: Path | None = None) -> str:
    """An error, met with a file, as the line that a user reads."""
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    if not isinstance(error, OSError | ValueError | FloatingPointError):  # not one of our own words
        text = f"{type(error).__name__}: {text}"
    if source is not None and str(source) not in text:
        text = f"{source}: {text}"
    return printable(f"xcodec-fast: {' '.join(text.split())}")


def printable(text: str) -> str:
    """Text without what a terminal would act on or cannot show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
