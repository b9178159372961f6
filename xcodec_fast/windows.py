"""Windows: how audio that is too long to be encoded at once is cut, in frames.

          window n
     |<-------------------------------->|
     | left |        chunk        | lookahead |
    ........[nH ........... (n+1)H)...........
            its codes are what is kept

The codes of chunk n are, by definition, those that the audio of its window alone gives.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


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

    def needed(self, n: int) -> int:
        """Frames of the clip that must be there for chunk n, unless the clip ends before."""
        return (n + 1) * self.chunk + self.lookahead

    def window(self, n: int, frames: int) -> Window | None:
        """Window n of a clip of `frames` frames; None where the clip has no chunk n."""
        first = n * self.chunk
        if first >= frames:
            return None
        return Window(max(0, first - self.left), min(frames, self.needed(n)), first, min(frames, first + self.chunk))
