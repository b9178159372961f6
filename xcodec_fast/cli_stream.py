"""The command `stream`: raw audio in, codes or audio out, as it arrives."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from xcodec_fast.audio import HIGHEST_RATE, finite_length, not_finite
from xcodec_fast.cli_options import (
    Bandwidth,
    ChunkMs,
    LeftContextMs,
    LookaheadMs,
    Model,
    OnDevice,
    Threads,
    as_settings,
    as_typed,
    check_fit,
    input_files,
    wrong_option,
)
from xcodec_fast.cli_work import Device, Models
from xcodec_fast.raw_pipe import RawFormat, arriving, codes_bytes, pcm_bytes, until_stopped, write_all
from xcodec_fast.streaming import StreamingXcodec
from xcodec_fast.whole import check_readable

_LATE = 1.0  # s
_FILES = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3"}


class Emit(StrEnum):
    """What is written."""

    codes = "codes"
    pcm = "pcm"


def stream(
    file: Annotated[Path | None, input_files("FILE", "Raw PCM too; stdin if left out.")] = None,
    model: Model = "xcodec-tiny",
    input_rate: Annotated[
        int | None,
        typer.Option(min=1, max=HIGHEST_RATE, metavar="HZ", help="Of the PCM, in and out; else the model's."),
    ] = None,
    input_format: Annotated[RawFormat, typer.Option(help="Of the PCM, in and out.")] = RawFormat.s16le,
    emit: Annotated[
        Emit, typer.Option(help="codes: uint16, little-endian, all stages of a frame, then the next; pcm: decoded.")
    ] = Emit.codes,
    chunk_ms: ChunkMs = None,
    lookahead_ms: LookaheadMs = None,
    left_context_ms: LeftContextMs = None,
    decode_lookahead_ms: Annotated[
        float | None, typer.Option(help="Decode earlier, in windows; exactly, if left out. With --emit pcm.")
    ] = None,
    bandwidth: Bandwidth = None,
    device: OnDevice = Device.auto,
    threads: Threads = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Read FILE no faster than the clock runs.")] = False,
) -> None:
    """Raw mono PCM to codes, or to the audio they decode to, on stdout, as soon as a chunk is there.

    At the input's end, or at Ctrl-C, what is left is encoded too, its last frame filled up with zeros. The exit code is
    0 then, and also where the reader of stdout leaves early.
    """
    if decode_lookahead_ms is not None and emit is Emit.codes:
        raise typer.BadParameter("goes with --emit pcm alone", param_hint="--decode-lookahead-ms")
    if file is None and realtime:
        raise typer.BadParameter("goes with a FILE: stdin comes at its own pace", param_hint="--realtime")
    if sys.stdout is None or (file is None and sys.stdin is None):
        raise ValueError("stdin and stdout must not be closed")
    if file is None and sys.stdin.isatty():
        raise ValueError("stdin is a terminal: give a FILE of raw PCM, or pipe it in")
    if sys.stdout.isatty():
        raise ValueError(f"stdout is a terminal, but raw {emit} are bytes: redirect or pipe them")
    if threads is not None:
        torch.set_num_threads(threads)
    settings, loaded = as_settings(chunk_ms, lookahead_ms, left_context_ms), Models(device).load(model)
    check_fit(loaded, bandwidth, settings)
    with wrong_option():
        live = StreamingXcodec(
            loaded,
            **vars(settings),
            bandwidth=bandwidth,
            sample_rate=input_rate,
            decode_lookahead_ms=None if decode_lookahead_ms is None else as_typed(decode_lookahead_ms),
        )
    pace = live.sample_rate * input_format.dtype.itemsize if realtime else None
    if file is not None:
        check_readable(file)
    opened = nullcontext(sys.stdin) if file is None else file.open("rb", buffering=0)
    target = sys.stdout.fileno()
    with opened as source, until_stopped() as stopped:
        pieces = arriving(source.fileno(), stopped, pace)
        if pace is not None:
            pieces = _in_time(pieces, pace)
        try:
            for codes, last in _encoded(live, _whole_samples(pieces, input_format)):
                if emit is Emit.codes:
                    _write(target, codes_bytes(codes))
                    continue
                _write(target, pcm_bytes(live.push_codes(codes), input_format))
                if last:
                    _write(target, pcm_bytes(live.flush_codes(), input_format))
        except BrokenPipeError:
            return


def _in_time(pieces: Iterable[bytes], pace: float) -> Iterator[bytes]:
    """The pieces; at their end a note where they were worked on more slowly than the clock runs."""
    started, given = time.monotonic(), 0
    for piece in pieces:
        given += len(piece)
        yield piece
    if (late := time.monotonic() - started - given / pace) > _LATE:
        print(f"note: {late:.1f} s behind the clock at the end", file=sys.stderr)


def _write(target: int, data: bytes) -> None:
    try:
        write_all(target, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from error


def _encoded(live: StreamingXcodec, pieces: Iterable[np.ndarray]) -> Iterator[tuple[Tensor, bool]]:
    """Each chunk's codes, and whether they are the last: a chunk at a time, so that they come before what is wrong."""
    at_once, given = max(1, int(live.sample_rate * live.settings.chunk_ms / 1000)), 0
    for samples in pieces:
        for chunk in np.split(samples, range(at_once, len(samples), at_once)):
            if (bad := finite_length(chunk)) < len(chunk):
                yield live.push(chunk[:bad]), False
                raise not_finite("the input", chunk[bad], given + bad, live.sample_rate)
            yield live.push(chunk), False
            given += len(chunk)
    yield live.flush(), True


def _whole_samples(pieces: Iterable[bytes], pcm: RawFormat) -> Iterator[np.ndarray]:
    rest, width, begun = b"", pcm.dtype.itemsize, False
    for piece in pieces:
        data = rest + piece
        for mark, kind in () if begun else _FILES.items():
            if data.startswith(mark):
                raise ValueError(f"the input begins as {kind} files do, but must be raw PCM: `encode` reads files")
        begun = True
        end = len(data) // width * width
        rest = data[end:]
        yield np.frombuffer(data[:end], pcm.dtype)
    if rest:
        print(
            f"note: the input ends with {len(rest)} of the {width} bytes of a sample: they were left out",
            file=sys.stderr,
        )
