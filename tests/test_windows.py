"""How audio is cut to be encoded: every frame once, and the steps of a stream ending with windows."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcodec_fast.windows import StreamSettings, Window, Windows

README = Path(__file__).parent.parent / "README.md"
WINDOWS = {"chunk": st.integers(1, 9), "left": st.integers(0, 12), "lookahead": st.integers(0, 12)}


@given(**WINDOWS, frames=st.integers(0, 60))
def test_windows_cover_every_frame_once(chunk, left, lookahead, frames):
    windows = Windows(chunk, left, lookahead)
    every: list[Window] = []
    while (window := windows.window(len(every), frames)) is not None:
        every.append(window)
    assert [f for w in every for f in range(w.first, w.last)] == list(range(frames))
    for n, window in enumerate(every):
        assert window == Window(
            max(0, n * chunk - left), min(frames, (n + 1) * chunk + lookahead), n * chunk, min(frames, (n + 1) * chunk)
        )


@pytest.mark.parametrize("fields", [(0, 0, 0), (1, -1, 0), (1, 0, -1), (1.5, 0, 0), (True, 0, 0), (2**32, 0, 0)])
def test_windows_that_cannot_be(fields):
    with pytest.raises(ValueError, match="frames, but must be an integer in"):
        Windows(*fields)


def test_a_duration_beyond_all_bounds_is_named_as_it_was_given():
    with pytest.raises(ValueError, match=r"left_context_ms is 1\d+\.0 ms, but must be below 2\^32 frames of 20 ms"):
        StreamSettings(left_context_ms=1e11).windows(Fraction(20))


@given(**WINDOWS, n=st.integers(0, 9))
def test_steps_end_with_windows(chunk, left, lookahead, n):
    """A step's last frames are a window; what a clip has of them, `span` tells."""
    windows = Windows(chunk, left, lookahead)
    assert -chunk < windows.origin <= 0
    assert (windows.needed(n) - windows.origin) % chunk == 0
    assert windows.frames == left + chunk + lookahead
    whole = windows.window(n, 1000)
    assert whole is not None
    start = windows.needed(n) - windows.frames  # of the longest window, before the clip where it is below 0
    seen = windows.needed(n) - chunk
    assert windows.span(seen, chunk) == (whole.start - start, whole.stop - start)
    ended = windows.window(n, n * chunk + 1)
    assert ended is not None
    assert windows.span(seen, ended.stop - seen) == (ended.start - start, ended.stop - start)


def test_the_defaults_are_those_of_the_readme():
    named = re.findall(r"^\| `(\w+_ms)` \((\d+)\)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert StreamSettings() == StreamSettings(**{name: float(value) for name, value in named})
    assert len(named) == 3
