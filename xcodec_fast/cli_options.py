"""The options that several commands have, and what their texts mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from xcodec_fast.audio import HIGHEST_RATE
from xcodec_fast.checks import chosen_bandwidth
from xcodec_fast.cli_work import Device
from xcodec_fast.container import CodesSuffix
from xcodec_fast.model import XcodecModel
from xcodec_fast.windows import StreamSettings


def input_files(metavar: str, text: str) -> Any:
    """An argument of files to read, which shows when their turn comes: typer would refuse them all because of one."""
    return typer.Argument(metavar=metavar, readable=False, help=text)


Paths = Annotated[list[Path], input_files("INPUT OUTPUT", "Or any number of files and folders, with --output-dir.")]
OutputDir = Annotated[Path | None, typer.Option(help="Write an output for each input into this folder; created.")]
Suffix = Annotated[
    CodesSuffix | None, typer.Option(help="Of the outputs in --output-dir.", show_default=CodesSuffix.xcodec.value)
]
Model = Annotated[str, typer.Option(help="An embedded model, a checkpoint folder or a hub id.")]
Bandwidth = Annotated[float | None, typer.Option(help="kbps, one of the model's; its highest if left out.")]
OnDevice = Annotated[Device, typer.Option(help="Where to compute.")]
Window = Annotated[
    str,
    typer.Option(
        metavar="SECONDS|none",
        help="Encode longer files in windows of this length, each with 2 s of context on both sides; 'none': at once. "
        "If left out: 20 for files over 60 s.",
    ),
]
Mono = Annotated[bool, typer.Option("--mono", help="Mix several channels down.")]
Force = Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")]
SampleRate = Annotated[
    str | None,
    typer.Option(metavar="original|HZ", help="Resample to the rate of what was encoded, or to this; else the model's."),
]
Threads = Annotated[  # far more, and the system has none left for PyTorch, which ends in a crash
    int | None, typer.Option(min=1, max=1024, help="Cores to compute on; 1 where others are busy; else torch's choice.")
]
ChunkMs = Annotated[
    float | None,
    typer.Option(help="Encode as a live stream does, in chunks of this, a multiple of 20 ms; 160 if left out."),
]
LookaheadMs = Annotated[
    float | None, typer.Option(help="Of the stream: audio after a chunk that its codes wait for; 0 if left out.")
]
LeftContextMs = Annotated[
    float | None, typer.Option(help="Of the stream: audio before a chunk that is seen; 1000 if left out.")
]


def as_window(text: str) -> float | Literal["auto"] | None:
    """--window as `encode_file` takes it."""
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"{text!r} is neither a number of seconds above 0 nor 'none'", param_hint="--window")
    return seconds


def as_sample_rate(text: str | None) -> int | Literal["original"] | None:
    """--sample-rate: None for the model's."""
    if text is None or text == "original":
        return None if text is None else "original"
    if not text.isdecimal() or len(text) > 7 or not 1 <= int(text) <= HIGHEST_RATE:
        raise typer.BadParameter(
            f"{text!r} is neither 'original' nor a rate of 1..{HIGHEST_RATE} Hz", param_hint="--sample-rate"
        )
    return int(text)


def as_settings(chunk_ms: float | None, lookahead_ms: float | None, left_context_ms: float | None) -> StreamSettings:
    """The stream's settings, those that are not given at their defaults."""
    given = {"chunk_ms": chunk_ms, "lookahead_ms": lookahead_ms, "left_context_ms": left_context_ms}
    with wrong_option():
        return StreamSettings(**{name: as_typed(ms) for name, ms in given.items() if ms is not None})


def as_streaming(
    chunk_ms: float | None, lookahead_ms: float | None, left_context_ms: float | None, window: str
) -> StreamSettings | None:
    """None where none is given; not together with --window."""
    if chunk_ms is None and lookahead_ms is None and left_context_ms is None:
        return None
    if window != "auto":
        raise typer.BadParameter(
            f"{window!r} does not go with --chunk-ms, --lookahead-ms and --left-context-ms: a stream has windows of "
            "its own",
            param_hint="--window",
        )
    return as_settings(chunk_ms, lookahead_ms, left_context_ms)


def as_typed(value: float) -> float:
    """80 in place of 80.0, for messages."""
    return int(value) if value.is_integer() else value


def check_fit(model: XcodecModel, bandwidth: float | None, *streams: StreamSettings | None) -> None:
    """Raises `typer.BadParameter` where the model has not the bandwidth, or not the frames of a stream's settings."""
    with wrong_option():
        chosen_bandwidth(bandwidth, model.config.target_bandwidths)
        for settings in streams:
            if settings is not None:
                model.stream_windows(settings)


@contextmanager
def wrong_option() -> Iterator[None]:
    """Turns a ValueError that begins with an argument's name into that of the option which gave the argument."""
    try:
        yield
    except ValueError as error:
        name, _, problem = str(error).partition(" ")
        if not name.isidentifier():  # of the model, such as a config that does not fit together
            raise
        raise typer.BadParameter(problem, param_hint=f"--{name.replace('_', '-')}") from error
