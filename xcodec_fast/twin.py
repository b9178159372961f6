"""A stream's codes from audio that is all there: those that the live stream with the same settings gives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.chunk_codes import chunk_codes
from xcodec_fast.intervals import Interval
from xcodec_fast.steps import EncodeStep
from xcodec_fast.stream_rows import StreamRows
from xcodec_fast.windows import Window, Windows

_FRAMES_AT_ONCE = 4000  # of windows, on a GPU


def stream_codes(model: Any, audio: Tensor, windows: Windows, bandwidth: float, window_batch: int | None) -> Tensor:
    """Codes `[1, Q, ceil(T / hop)]` of one clip `[T]`.

    window_batch: windows that are computed at once. 1: one after the other, by the live stream's own step, with the
    same bits; more: each as a row that is computed whole. None: 1 on the CPU, where that is less arithmetic, on a GPU
    as many as fill it.
    """
    if window_batch is None:
        window_batch = 1 if audio.device.type == "cpu" else max(1, _FRAMES_AT_ONCE // windows.frames)
    if window_batch == 1:
        rows = StreamRows(EncodeStep(model, windows, bandwidth), 1, 1, None)
        rows.arrive(0, audio[None].cpu())
        rows.end(0)
        rows.advance()
        codes = rows.take(0)
        assert codes is not None  # a clip has samples
        return codes
    return torch.cat(list(_in_batches(model, audio, windows, bandwidth, window_batch)), -1)


def _in_batches(model: Any, audio: Tensor, windows: Windows, bandwidth: float, window_batch: int) -> Iterator[Tensor]:
    hop = model.config.hop_length
    frames = -(-len(audio) // hop)
    cuts = iter(_cuts(windows, frames))
    while batch := list(islice(cuts, window_batch)):
        # Every window lies so in its row that its chunk begins with frame `left`.
        held = audio.new_zeros(len(batch), 1, windows.frames * hop)
        for row, cut in zip(held, batch, strict=True):
            samples = audio[cut.start * hop : cut.stop * hop]
            begin = (windows.left - (cut.first - cut.start)) * hop
            row[0, begin : begin + len(samples)] = samples
        start = torch.tensor([windows.left - (cut.first - cut.start) for cut in batch], device=audio.device)
        length = torch.tensor([cut.stop - cut.start for cut in batch], device=audio.device)
        first, last = windows.left, windows.left + windows.chunk
        codes = chunk_codes(model, held, Interval(start, length), first, last, bandwidth)
        for row, cut in zip(codes, batch, strict=True):
            yield row[None, :, : cut.last - cut.first]


def _cuts(windows: Windows, frames: int) -> Iterator[Window]:
    n = 0
    while (window := windows.window(n, frames)) is not None:
        yield window
        n += 1
