"""Audio of a stream: of all codes decoded at once, to rounding; or of windows of them, by their definition."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch

from .equality import assert_same_audio
from .streams import cut, decoded, defined_audio, random_codes, settings_of

SIZES = (0, 1, 1, 2, 5, 13)


@pytest.mark.parametrize("name", ["hubert", "codebook-300", "hop-640", "ratio-3"])
def test_exact_decoding(pair, name):
    for dtype in (torch.float32, torch.float64):
        model = copy.deepcopy(pair(name).ours).to(dtype)
        hop, context = model.config.hop_length, model.acoustic_decoder.context()
        for frames, stages in ((1, 1), (9, 3), (37, None)):
            codes = random_codes(model, frames, stages, seed=frames)
            want = model.decode(codes).audio_values
            stream, pieces = StreamingXcodec(model, **settings_of(model, 1, 0, 0)), []
            for begin, end in cut(frames, frames, SIZES):
                pieces.append(stream.push_codes(codes[..., begin:end]))
                assert sum(piece.shape[-1] for piece in pieces) == max(0, end - context) * hop
            assert_same_audio(want, torch.cat([*pieces, stream.flush_codes()], -1))


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_exact_decoding_of_any_split(tiny, data):
    frames = data.draw(st.integers(0, 40))
    stream, pieces, at = StreamingXcodec(tiny), [], 0
    codes = random_codes(tiny, frames, data.draw(st.integers(1, 8)), seed=frames)
    while at < frames:
        size = data.draw(st.integers(0, 12))
        pieces.append(stream.push_codes(codes[..., at : at + size]))
        at += size
    audio = torch.cat([*pieces, stream.flush_codes()], -1)
    assert audio.shape == (1, 1, 320 * frames)
    if frames:
        assert_same_audio(tiny.decode(codes).audio_values, audio)


@pytest.mark.parametrize(("chunk", "lookahead"), [(4, 2), (8, 0), (1, 3), (3, 9), (40, 4)])
@pytest.mark.parametrize("name", ["hubert", "ratio-3"])
def test_low_latency_decoding(pair, name, chunk, lookahead):
    model = copy.deepcopy(pair(name).ours).double()
    hop, frame = model.config.hop_length, settings_of(model, 1, 0, 0)["chunk_ms"]
    codes = random_codes(model, 23, seed=chunk)
    stream = StreamingXcodec(model, **settings_of(model, chunk, 0, 0, decode_lookahead_ms=frame * lookahead))
    assert stream.decode_latency_ms == pytest.approx(frame * (chunk - 1 + lookahead))
    pieces = []
    for begin, end in cut(23, chunk, SIZES):
        pieces.append(stream.push_codes(codes[..., begin:end]))
        assert sum(piece.shape[-1] for piece in pieces) == hop * chunk * max(0, (end - lookahead) // chunk)
    assert_same_audio(defined_audio(model, codes, chunk, lookahead), torch.cat([*pieces, stream.flush_codes()], -1))


def test_both_ways_at_once(tiny, speech):
    clip, stream, heard = speech[:9000], StreamingXcodec(tiny, chunk_ms=40), []
    codes = [stream.push(clip[begin : begin + 700]) for begin in range(0, 9000, 700)]
    heard = [stream.push_codes(piece) for piece in codes]
    codes.append(stream.flush())
    heard += [stream.push_codes(codes[-1]), stream.flush_codes()]
    assert_same_audio(tiny.decode(torch.cat(codes, -1)).audio_values, torch.cat(heard, -1))


def test_kinds_of_codes(tiny):
    codes = random_codes(tiny, 12)
    want = decoded(StreamingXcodec(tiny), codes, [(0, 12)])
    for kind in (codes.int(), codes.short(), codes.to(torch.uint16), codes.numpy(), codes.numpy().astype(np.uint16)):
        assert torch.equal(decoded(StreamingXcodec(tiny), kind, [(0, 12)]), want)


def test_another_bandwidth_after_a_flush(tiny):
    for lookahead in (None, 40):
        stream = StreamingXcodec(tiny, decode_lookahead_ms=lookahead)
        for stages in (8, 2, 4):
            codes = random_codes(tiny, 12, stages)
            fresh = StreamingXcodec(tiny, decode_lookahead_ms=lookahead)
            assert torch.equal(decoded(stream, codes, [(0, 12)]), decoded(fresh, codes, [(0, 12)]))


BAD = {
    "too high": (torch.full((1, 8, 2), 1024), IndexError, "1024"),
    "negative": (torch.full((1, 8, 2), -1), IndexError, "-1"),
    "floats": (torch.zeros(1, 8, 2), ValueError, "float32"),
    "stages": (torch.zeros(1, 9, 2, dtype=torch.long), ValueError, "9 stages"),
    "other stages": (torch.zeros(1, 4, 2, dtype=torch.long), ValueError, "4 and 8 stages"),
    "two dimensions": (torch.zeros(8, 2, dtype=torch.long), ValueError, r"\[8, 2\]"),
    "two clips": (torch.zeros(2, 8, 2, dtype=torch.long), ValueError, "one stream"),
    "float array": (np.zeros((1, 8, 2)), ValueError, "audio_codes is of dtype float64, but must hold integers"),
    "list": ([[1]], TypeError, "a numpy array or a torch.Tensor, but is a list$"),
    "None": (None, TypeError, "a numpy array or a torch.Tensor, but is None$"),
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", BAD)
def test_bad_codes_leave_no_trace(tiny, name, check):
    bad, error, words = BAD[name]
    codes, stream = random_codes(tiny, 20), StreamingXcodec(tiny)
    first = stream.push_codes(codes[..., :15])
    with pytest.raises(error, match=words):
        stream.push_codes(bad, check=check)
    audio = torch.cat([first, stream.push_codes(codes[..., 15:]), stream.flush_codes()], -1)
    assert torch.equal(audio, decoded(StreamingXcodec(tiny), codes, [(0, 15), (15, 20)]))


@pytest.mark.parametrize("lookahead", [None, 40])
def test_a_bad_row_leaves_no_trace_in_the_others(tiny, lookahead):
    options: dict[str, Any] = {"chunk_ms": 80, "decode_lookahead_ms": lookahead}
    codes = random_codes(tiny, 24)
    batch, other = StreamingXcodecBatch(tiny, 2, **options), StreamingXcodecBatch(tiny, 2, **options)
    for stream in (batch, other):
        stream.push_codes([codes[..., :6], codes[..., 2:9]])
    with pytest.raises(IndexError, match=r"audio_codes\[1\] holds 5000; codes must be in 0\.\.1023"):
        batch.push_codes([codes[..., 6:20], torch.full((1, 8, 3), 5000)], check=False)
    for call in (lambda stream: stream.push_codes([codes[..., 6:20], codes]), lambda stream: stream.flush_codes()):
        for mine, want in zip(call(batch), call(other), strict=True):
            assert torch.equal(mine, want)


def test_nothing_gives_nothing(tiny):
    stream = StreamingXcodec(tiny)
    assert stream.flush().shape == (1, 8, 0)
    assert stream.flush_codes().shape == (1, 1, 0)
    assert stream.push_codes(torch.zeros(1, 8, 0, dtype=torch.long)).shape == (1, 1, 0)
    assert stream.push(np.zeros(0, np.float32)).shape == (1, 8, 0)
