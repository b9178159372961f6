"""A stream's codes from audio that is read, not heard: those that the live stream with the same settings gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.chunk_codes import chunk_codes
from xcodec_fast.intervals import Interval
from xcodec_fast.pcm import Queue
from xcodec_fast.steps import EncodeStep
from xcodec_fast.stream_rows import StreamRows
from xcodec_fast.windows import Window, Windows

_FRAMES_AT_ONCE = 4000  # of windows, on a GPU


def stream_codes(
    model: Any, pieces: Iterable[Tensor], windows: Windows, bandwidth: float, window_batch: int | None
) -> Iterator[Tensor]:
    """The codes of one clip, `[1, Q, f]` at a time, ceil(T / hop) frames in all; its audio comes in pieces `[n]`.

    window_batch: windows that are computed at once. 1: one after the other, by the live stream's own step, with the
    same bits; more: each as a row that is computed whole. None: 1 on the CPU, where that is less arithmetic, on a GPU
    as many as fill it.
    """
    if window_batch is None:
        window_batch = 1 if model.device.type == "cpu" else max(1, _FRAMES_AT_ONCE // windows.frames)
    if window_batch == 1:
        return _step_by_step(model, pieces, windows, bandwidth)
    return _in_batches(model, pieces, windows, bandwidth, window_batch)


def window_cuts(pieces: Iterable[Tensor], windows: Windows, hop: int) -> Iterator[tuple[Window, Tensor]]:
    """Every window of a clip with its audio `[n]`, n a multiple of the hop but for what ends with the clip.

    No more of the clip is kept than a window and a piece.
    """
    held, start, n = Queue(), 0, 0  # `start` is the frame with which `held` begins
    source = iter(pieces)
    while True:
        missing = (windows.needed(n) - start) * hop - len(held)
        while missing > 0 and (piece := next(source, None)) is not None:
            held.append(piece)
            missing -= len(piece)
        window = windows.window(n, start + -(-len(held) // hop))
        if window is None:
            return
        held.drop((window.start - start) * hop)
        start = window.start
        audio = held.head((window.stop - start) * hop)
        assert audio is not None  # a window has frames
        yield window, audio
        n += 1


def _step_by_step(model: Any, pieces: Iterable[Tensor], windows: Windows, bandwidth: float) -> Iterator[Tensor]:
    rows = StreamRows(EncodeStep(model, windows, bandwidth), 1, 1, None)
    for piece in chain(pieces, [None]):
        if piece is None:
            rows.end(0)
        else:
            rows.arrive(0, piece[None].cpu())
        rows.advance()
        (codes,) = rows.ready()
        rows.taken()
        if codes is not None:
            yield codes


def _in_batches(
    model: Any, pieces: Iterable[Tensor], windows: Windows, bandwidth: float, window_batch: int
) -> Iterator[Tensor]:
    hop = model.config.hop_length
    cuts = window_cuts(pieces, windows, hop)
    while batch := list(islice(cuts, window_batch)):
        # Every window lies so in its row that its chunk begins with frame `left`.
        starts = [windows.left - (window.first - window.start) for window, _ in batch]
        held = batch[0][1].new_zeros(len(batch), 1, windows.frames * hop)
        for row, begin, (_, audio) in zip(held, starts, batch, strict=True):
            row[0, begin * hop : begin * hop + len(audio)] = audio
        start = torch.tensor(starts, device=held.device)
        length = torch.tensor([window.stop - window.start for window, _ in batch], device=held.device)
        first, last = windows.left, windows.left + windows.chunk
        codes = chunk_codes(model, held, Interval(start, length), first, last, bandwidth)
        for row, (window, _) in zip(codes, batch, strict=True):
            yield row[None, :, : window.last - window.first]
