"""The steps of a stream: each a pure function of a state and the next frames of B independent rows.

`step(state, chunk, valid, active) -> (out, state)`: chunk, the next n frames of every row, zero where there are none;
valid, int64 `[B]`, how many of the n are before the row's end; active, bool `[B]`, the rows that advance, None for all.
Of a row that has made `seen` frames it gives the frames seen - lag ... seen - lag + n - 1; the caller drops those below
0 and past the end. A row starts with `seen` at `origin`, 0 or below it: what lies before frame 0 is zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.acoustic import AcousticEncoder
from xcodec_fast.chunk_codes import chunk_codes
from xcodec_fast.frames import whole_frames_pad
from xcodec_fast.intervals import Interval, keep
from xcodec_fast.lines import Extent, StreamState, Walk, inputs_read
from xcodec_fast.windows import Windows

Span = tuple[int, int] | None  # of a window, the frames that a lone row has: [start, stop); None: the state tells


class Step(ABC):
    """What the three steps share.

    Attributes: chunk, the frames n of each step, None for any number; lag and origin, in frames; unit, positions of the
    chunk a frame; dtype, of the chunk; windows, of steps that see one; extents, as `lines.Walk` takes them; reach, the
    frames before the new ones that lines hold.
    """

    chunk: int | None
    lag: int
    origin: int = 0
    unit: int
    dtype: torch.dtype
    windows: Windows | None
    extents: list[Extent] | None = None
    reach: int

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(
        self,
        state: StreamState,
        chunk: Tensor,
        valid: Tensor,
        active: Tensor | None = None,
        *,
        masked: bool = True,
        span: Span = None,
    ) -> tuple[Tensor, StreamState]:
        """The step; `masked=False` where all that it reads lies inside every row, so that nothing needs a mask."""
        walk = Walk(state, chunk.shape[-1] // self.unit, self.unit, valid, active, masked, self.extents)
        return self._out(walk, chunk, span), walk.state()

    def fresh(self, batch: int) -> StreamState:
        """The state of rows that start: zeros, of the shapes that a step meets."""
        chunk = self._example()
        zero = torch.zeros(1, dtype=torch.int64, device=chunk.device)
        nothing = StreamState(zero, zero, ())
        walk = Walk(nothing, chunk.shape[-1] // self.unit, self.unit, zero, None, True, self.extents)
        # Of a window its chunk alone: the rest may be long, and lines do not depend on it.
        span = None if self.windows is None else (self.windows.left, self.windows.left + self.windows.chunk)
        self._out(walk, chunk, span)
        self.reach, self.dtype = walk.reach, chunk.dtype
        lines = tuple(line.new_zeros(batch, *line.shape[1:]) for line in walk.state().lines)
        return StreamState(zero.new_full((batch,), self.origin), zero.new_zeros(batch), lines)

    @abstractmethod
    def _example(self) -> Tensor:
        """A chunk of zeros of one row."""

    @abstractmethod
    def _out(self, walk: Walk, chunk: Tensor, span: Span) -> Tensor:
        """What the step gives."""


class EncodeStep(Step):
    """Audio `[B, 1, H hop]` -> codes `[B, Q, H]`: of `encode` of the window, those of its chunk.

    The semantic model sees the whole window in each step. The acoustic encoder computes only what is new, where the
    left context covers all that its layers read: then the window's start cannot be seen in its chunk.
    With a span, codes of those frames of the chunk alone that the row has.
    """

    windows: Windows

    def __init__(self, model: Any, windows: Windows, bandwidth: float) -> None:
        super().__init__(model)
        self.windows, self.bandwidth = windows, bandwidth
        self.chunk, self.lag, self.origin = windows.chunk, windows.lookahead, windows.origin
        self.unit = model.config.hop_length
        if windows.left >= model.acoustic_encoder.context()[0] and whole_frames_pad(model) == 0:
            self.extents = encoder_extents(model.acoustic_encoder, windows.lookahead)

    def _example(self) -> Tensor:
        weight = self.model.fc.weight
        return weight.new_zeros(1, 1, self.windows.chunk * self.unit)

    def _out(self, walk: Walk, chunk: Tensor, span: Span) -> Tensor:
        window, own, first = _window(walk, chunk, self.windows, span)
        acoustic = None if self.extents is None else self._acoustic(walk, chunk)
        last = min(first + self.windows.chunk, window.shape[-1] // self.unit)
        if last <= max(first, 0):  # the chunk lies before the row's start or past its end
            return chunk.new_zeros(1, 1, 0, dtype=torch.int64)
        if acoustic is not None:
            acoustic = acoustic[..., : last - first]
        return chunk_codes(self.model, window, own, first, last, self.bandwidth, acoustic)

    def _acoustic(self, walk: Walk, audio: Tensor) -> Tensor:
        """The acoustic features of the window's chunk, `[B, C, H]`."""
        features = self.model.acoustic_encoder.along(walk, audio)
        return walk.take(features, self.lag, walk.right)[..., : walk.frames]


class DecodeStep(Step):
    """Codes `[B, Q, n]` -> audio `[B, 1, n hop]`, that of `decode` of all codes, `lag` frames late."""

    chunk = None
    unit = 1
    windows = None

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.lag = model.acoustic_decoder.context()

    def _example(self) -> Tensor:
        return torch.zeros(1, 1, 1, dtype=torch.int64, device=self.model.fc.weight.device)

    def _out(self, walk: Walk, chunk: Tensor, span: Span) -> Tensor:
        audio = self.model.acoustic_decoder.along(walk, self.model.latent(chunk))
        whole = self.lag * walk.rate
        return walk.take(audio, whole, whole)


class DecodeWindowStep(Step):
    """Codes `[B, Q, H]` -> audio `[B, 1, H hop]`: of `decode` of the window, that of its chunk.

    The first frame of a chunk fades in over what the window before had for it, where there is a lookahead:
    (1 - w) of that and w of its own, w = (i + 1/2) / hop.
    """

    unit = 1
    windows: Windows

    def __init__(self, model: Any, windows: Windows, stages: int) -> None:
        super().__init__(model)
        self.windows, self.stages = windows, stages
        self.chunk, self.lag, self.origin = windows.chunk, windows.lookahead, windows.origin

    def _example(self) -> Tensor:
        shape = (1, self.stages, self.windows.chunk)
        return torch.zeros(shape, dtype=torch.int64, device=self.model.fc.weight.device)

    def _out(self, walk: Walk, chunk: Tensor, span: Span) -> Tensor:
        hop, windows = self.model.config.hop_length, self.windows
        window, own, first = _window(walk, chunk, windows, span)
        audio = self.model.acoustic_decoder(self.model.latent(window), own)
        # As long as the chunk and one frame, whatever the span.
        audio = audio[..., first * hop : (first + windows.chunk + 1) * hop]
        audio = F.pad(audio, (0, (windows.chunk + 1) * hop - audio.shape[-1]))
        new, after = audio.split([windows.chunk * hop, hop], -1)
        if windows.lookahead == 0:
            return new
        before = walk.replaced(after)
        w = (torch.arange(hop, dtype=new.dtype, device=new.device) + 0.5) / hop
        begun = (walk.seen > windows.lookahead)[:, None, None]  # a chunk came before this one
        faded = torch.where(begun, (1 - w) * before + w * new[..., :hop], new[..., :hop])
        return torch.cat([faded, new[..., hop:]], -1)


def encoder_extents(encoder: AcousticEncoder, lookahead: int) -> list[Extent]:
    """The extent of every convolution's output, so that nothing final is computed again and nothing that is not needed.

    Of each output: `final`, how far before the end of the audio its values begin that later audio will change; `chunk`,
    how far before the new frames lies what the features of the chunk read. It begins with the nearer of the two.
    """
    convs = encoder.wide_convs
    final = [0]
    for conv in convs:
        stride, padding = conv.stride[0], int(conv.padding[0])
        final.append(final[-1] + padding if stride == 1 else 1 - (padding - final[-1]) // stride)
    chunk, right = lookahead, min(final[-1], lookahead)
    extents = [(min(final[-1], chunk), right)]
    for conv, end in zip(convs[:0:-1], final[-2:0:-1], strict=True):
        chunk = inputs_read(conv, chunk, 0)[0]
        right = min(end, chunk, max(0, inputs_read(conv, 0, right)[1]))
        extents.append((min(end, chunk), right))
    return extents[::-1]


def _window(walk: Walk, chunk: Tensor, windows: Windows, span: Span) -> tuple[Tensor, Interval | None, int]:
    """The window that ends with the chunk, cut to the span; each row's own frames without one; the chunk's first."""
    unit = chunk.shape[-1] // windows.chunk
    window = walk.joined(chunk, (windows.frames - windows.chunk) * unit)
    if span is not None:
        return window[..., span[0] * unit : span[1] * unit], None, windows.left - span[0]
    # At least one frame, also of rows that have none: a softmax over nothing is NaN.
    start = (windows.lookahead + windows.left - walk.seen).clamp(0, windows.frames - 1)
    length = (windows.lookahead + windows.left + walk.present - start).clamp(min=1)
    # What the line holds from before a row's start is another stream's.
    window = keep(window, Interval(start * unit, length * unit))
    return window, Interval(start, length), windows.left
