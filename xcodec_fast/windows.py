"""Windows: how audio that is long, or still arriving, is cut to be encoded; in frames.

          window n
     |<-------------------------------->|
     | left |        chunk        | lookahead |
    ........[nH ........... (n+1)H)...........
            its codes are what is kept

The codes of chunk n are, by definition, those that the audio of its window alone gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from numbers import Real
from typing import Any

from xcodec_fast.words import kind_of


@dataclass(frozen=True)
class Window:
    """Window n: frames [start, stop) are encoded, of which [first, last) are kept."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Windows:
    """Chunks of `chunk` frames, each encoded with up to `left` frames before and `lookahead` after it.

    Raises ValueError where one is no integer, chunk < 1, left < 0 or lookahead < 0, or one above 2^32 - 1.
    """

    chunk: int
    left: int
    lookahead: int

    def __post_init__(self) -> None:
        for field, least in zip(fields(self), (1, 0, 0), strict=True):
            frames = getattr(self, field.name)
            if isinstance(frames, bool) or not isinstance(frames, int) or not least <= frames < 1 << 32:
                raise ValueError(f"{field.name} is {frames!r} frames, but must be an integer in {least}..2^32 - 1")

    @property
    def frames(self) -> int:
        """The longest window."""
        return self.left + self.chunk + self.lookahead

    @property
    def origin(self) -> int:
        """The frame from which steps of `chunk` frames are counted, so that each ends with a window: 0 or below."""
        return self.lookahead + -self.lookahead // self.chunk * self.chunk

    def span(self, seen: int, present: int) -> tuple[int, int]:
        """The part of a window that a clip has.

        The window ends `chunk` frames after frame `seen`, from which on the clip has `present` frames.
        """
        return max(0, self.left + self.lookahead - seen), self.left + self.lookahead + present

    def needed(self, n: int) -> int:
        """Frames of the clip that must be there for chunk n, unless the clip ends before."""
        return (n + 1) * self.chunk + self.lookahead

    def window(self, n: int, frames: int) -> Window | None:
        """Window n of a clip of `frames` frames; None where the clip has no chunk n."""
        first = n * self.chunk
        if first >= frames:
            return None
        return Window(max(0, first - self.left), min(frames, self.needed(n)), first, min(frames, first + self.chunk))


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is encoded: a chunk at a time, with up to so much audio before and exactly so much after it.

    Durations in ms, multiples of a frame: of 20 ms at the default config. Latency is chunk and lookahead.

    Raises TypeError and ValueError where one is no finite number, the chunk is not above 0, or another below 0.
    """

    chunk_ms: float = 160
    lookahead_ms: float = 0
    left_context_ms: float = 1000

    def __post_init__(self) -> None:
        for field in fields(self):
            check_duration(field.name, getattr(self, field.name), zero=field.name != "chunk_ms")

    def windows(self, frame_ms: Fraction) -> Windows:
        """The same in frames. Raises ValueError as `in_frames` and `Windows` do."""
        frames = (in_frames(field.name, getattr(self, field.name), frame_ms) for field in fields(self))
        chunk, lookahead, left = frames
        return Windows(chunk, left, lookahead)


def check_duration(name: str, value: Any, *, zero: bool) -> None:
    """A duration in ms must be a finite number, above 0 or, with `zero`, not below."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of ms, but is {kind_of(value)}")
    if value < 0 or (value == 0 and not zero) or not math.isfinite(value):
        raise ValueError(f"{name} is {value} ms, but must be {'at least' if zero else 'above'} 0 and finite")


def in_frames(name: str, ms: float, frame_ms: Fraction) -> int:
    """A duration in frames. Raises ValueError where it is no multiple of one, or 2^32 frames or more."""
    frames = Fraction(float(ms)) / frame_ms
    if abs(frames - round(frames)) > 1e-6 or (ms and not round(frames)):  # a frame may be 13.33... ms
        raise ValueError(f"{name} is {ms} ms, but must be a multiple of the frame, {float(frame_ms):g} ms")
    check_frames(f"{name} is {ms} ms", round(frames), frame_ms)
    return round(frames)


def check_frames(given: str, frames: int, frame_ms: Fraction) -> None:
    """What is `given`, such as "window is 20 s", must be below 2^32 frames."""
    if frames >= 1 << 32:
        raise ValueError(f"{given}, but must be below 2^32 frames of {float(frame_ms):g} ms")
