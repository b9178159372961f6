"""Rows of a batch begin, pause, end, move and start anew on their own, each like its own stream."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch
from xcodec_fast.stream_rows import StreamRows

from .equality import assert_same_audio
from .streams import decoded, encoded, settings_of


class _Caller:
    """One user of a row: a clip, what was pushed of it, and what came back."""

    def __init__(self, clip):
        self.clip, self.at, self.codes, self.audio = clip, 0, [], []

    def next(self, size):
        piece = self.clip[self.at : self.at + size]
        self.at += size
        return piece

    @property
    def done(self):
        return self.at >= len(self.clip)


@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_rows_are_streams_of_their_own(tiny, speech, data):
    frames = data.draw(st.sampled_from([(4, 28, 1), (8, 4, 0), (5, 6, 4)]))
    options = settings_of(tiny, *frames, decode_lookahead_ms=data.draw(st.sampled_from([None, 40])))
    batch = StreamingXcodecBatch(tiny, 3, **options)
    rows: list = [None] * 3
    parked: list = []
    finished: list = []
    begun = 0
    for _ in range(25):
        row = data.draw(st.integers(0, 2))
        action = data.draw(st.sampled_from(["push", "push", "push", "push", "park", "reset"]))
        if rows[row] is None and parked:
            rows[row], state = parked.pop()
            batch.load_state_dict(state, rows=[row])
        elif rows[row] is None and begun < 4:
            start = 2000 * begun
            rows[row] = _Caller(speech[start : start + data.draw(st.integers(1, 5000))])
            begun += 1
        elif rows[row] is not None and action == "park":
            parked.append((rows[row], batch.state_dict(rows=[row])))
            batch.reset(rows=[row])
            rows[row] = None
        elif rows[row] is not None and action == "reset":
            rows[row] = _Caller(rows[row].clip)
            batch.reset(rows=[row])
        sizes = [data.draw(st.integers(0, 3000)) if caller and data.draw(st.booleans()) else None for caller in rows]
        pushed = batch.push([None if size is None else rows[i].next(size) for i, size in enumerate(sizes)])
        heard = batch.push_codes([piece if rows[i] else None for i, piece in enumerate(pushed)])
        for caller, codes, audio in zip(rows, pushed, heard, strict=True):
            if caller is None:
                assert codes.shape[-1] == audio.shape[-1] == 0
            else:
                caller.codes.append(codes)
                caller.audio.append(audio)
        for i, caller in enumerate(rows):
            if caller is not None and caller.done:
                caller.codes.append(batch.flush(rows=[i])[i])
                caller.audio.append(batch.push_codes([caller.codes[-1] if j == i else None for j in range(3)])[i])
                caller.audio.append(batch.flush_codes(rows=[i])[i])
                finished.append(caller)
                rows[i] = None
    for caller in finished:
        codes = torch.cat(caller.codes, -1)
        want = encoded(StreamingXcodec(tiny, **options), caller.clip, [(0, len(caller.clip))])
        assert codes.shape == want.shape
        assert int((codes != want).any(1).sum()) <= 1
        assert_same_audio(
            decoded(StreamingXcodec(tiny, **options), codes, [(0, codes.shape[-1])]), torch.cat(caller.audio, -1)
        )


def test_bits_do_not_depend_on_the_other_rows(tiny, speech):
    made = []
    for sizes in ((500, 900), (2560, 100)):
        batch = StreamingXcodecBatch(tiny, 2)
        codes = [
            batch.push([speech[at : at + sizes[0]], speech[at : at + sizes[1]]])[0] for at in range(0, 7680, sizes[0])
        ]
        made.append(torch.cat([*codes, batch.flush([0])[0]], -1)[..., : 7680 // 320])
    assert torch.equal(*made)


def test_captured_steps_have_two_shapes(tiny, speech, monkeypatch):
    """With a stand-in for the CUDA graph: the state stays where it lies, and each shape is made once."""
    made: list[tuple[int, ...]] = []

    class Stand:
        def __init__(self, step, state, chunk):
            self.step, self.state = step, state
            made.append(tuple(chunk.shape))

        def __call__(self, chunk, valid, active, rows):
            out, after = self.step(self.state, chunk, valid, active)
            for tensor, new in zip(self.state.tensors(), after.tensors(), strict=True):
                tensor.copy_(new)
            return [out[row : row + 1].clone() for row in rows]

        def is_stale(self):
            return False

    monkeypatch.setattr("xcodec_fast.stream_rows.StepGraph", Stand)
    original = StreamRows.__init__
    monkeypatch.setattr(
        StreamRows, "__init__", lambda self, step, batch, unit, _, n: original(self, step, batch, unit, 4, n)
    )
    options: dict[str, Any] = {"chunk_ms": 80, "lookahead_ms": 20}
    batch = StreamingXcodecBatch(tiny, 2, **options)
    clips = (speech[:9000], speech[3000:8000])
    heard: list[list] = [[], []]
    codes: list[list] = [[], []]
    for at in range(0, 9000, 1500):
        pushed = batch.push([clip[at : at + 1500] for clip in clips])
        for row, (piece, audio) in enumerate(zip(pushed, batch.push_codes(pushed), strict=True)):
            codes[row].append(piece)
            heard[row].append(audio)
    rest = batch.flush()
    tail = batch.push_codes(rest)
    last = batch.flush_codes()
    monkeypatch.undo()
    for row, clip in enumerate(clips):
        got = torch.cat([*codes[row], rest[row]], -1)
        assert torch.equal(got, encoded(StreamingXcodec(tiny, **options), clip, [(0, len(clip))]))
        assert_same_audio(tiny.decode(got).audio_values, torch.cat([*heard[row], tail[row], last[row]], -1))
    assert sorted(made) == [(2, 1, 1280), (2, 8, 1), (2, 8, 4)]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda batch: batch.push([None]), ValueError, "1 entry, but.*2 rows"),
        (lambda batch: batch.push(np.zeros((2, 320))), TypeError, "ndarray"),
        (lambda batch: batch.push([np.zeros(320), np.full(3, np.nan)]), ValueError, r"chunks\[1\]"),
        (lambda batch: batch.push_codes([None, torch.zeros(1, 8, 1)]), ValueError, r"audio_codes\[1\]"),
        (lambda batch: batch.flush([2]), ValueError, "0..1"),
        (lambda batch: batch.flush_codes([0, 0]), ValueError, "different rows"),
        (lambda batch: batch.reset(1), TypeError, "list of integers"),
        (lambda batch: batch.state_dict([True]), TypeError, "list of integers"),
    ],
)
def test_errors_leave_every_row_as_it_was(tiny, speech, call, error, words):
    batch, quiet = StreamingXcodecBatch(tiny, 2, chunk_ms=40), StreamingXcodecBatch(tiny, 2, chunk_ms=40)
    for stream in (batch, quiet):
        stream.push([speech[:1000], speech[1000:1300]])
    with pytest.raises(error, match=words):
        call(batch)
    for mine, want in zip(batch.flush(), quiet.flush(), strict=True):
        assert torch.equal(mine, want)


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_batch_sizes_that_are_refused(tiny, size):
    with pytest.raises(ValueError, match="batch_size"):
        StreamingXcodecBatch(tiny, size)
