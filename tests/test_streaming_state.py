"""A stream's state: kept, restored elsewhere, refused where it does not fit, and gone after a reset."""

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import soxr
import torch

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch

from .streams import assert_same_state, decoded, encoded

OPTIONS: dict[str, Any] = {"chunk_ms": 80, "lookahead_ms": 20, "left_context_ms": 600}
CONTINUE = """
import sys, torch
from xcodec_fast import StreamingXcodec, XcodecModel
torch.set_num_threads(int(sys.argv[2]))
state, options, clip, codes = torch.load(sys.argv[1] + "/state.pt", weights_only=True)
stream = StreamingXcodec(XcodecModel.from_pretrained("xcodec-tiny"), **options)
stream.load_state_dict(state)
out = torch.cat([stream.push(clip), stream.flush()], -1)
audio = torch.cat([stream.push_codes(codes), stream.flush_codes()], -1)
torch.save((out, audio), sys.argv[1] + "/out.pt")
"""


@pytest.mark.parametrize("more", [{}, {"decode_lookahead_ms": 40}, {"sample_rate": 48000}], ids=str)
def test_goes_on_in_a_new_process(tiny, speech, tmp_path, more):
    options = {**OPTIONS, **more}
    clip = speech[:12000]
    codes = tiny.encode(clip[None, None]).audio_codes
    stream = StreamingXcodec(tiny, **options)
    stream.push(clip[:7000])
    stream.push_codes(codes[..., :17])
    torch.save((stream.state_dict(), options, clip[7000:], codes[..., 17:]), tmp_path / "state.pt")
    want = torch.cat([stream.push(clip[7000:]), stream.flush()], -1)
    audio = torch.cat([stream.push_codes(codes[..., 17:]), stream.flush_codes()], -1)
    threads = str(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", CONTINUE, str(tmp_path), threads], check=True)
    got_codes, got_audio = torch.load(tmp_path / "out.pt")
    if more.get("sample_rate"):
        assert int((got_codes != want).any(1).sum()) <= 1
        assert (got_audio - audio).abs().max() <= 1e-6 * audio.abs().max().clamp(min=1)
    else:
        assert torch.equal(got_codes, want)
        assert torch.equal(got_audio, audio)


def test_a_state_is_a_copy_and_changes_nothing(tiny, speech):
    stream = StreamingXcodec(tiny, **OPTIONS)
    first = stream.push(speech[:5000])
    state = stream.state_dict()
    kept = copy.deepcopy(state)
    rest = torch.cat([first, stream.push(speech[5000:9000]), stream.flush()], -1)
    assert torch.equal(rest, encoded(StreamingXcodec(tiny, **OPTIONS), speech[:9000], [(0, 5000), (5000, 9000)]))
    assert_same_state(state, kept)


def test_moves_between_a_row_and_a_stream(tiny, speech):
    batch, solo = StreamingXcodecBatch(tiny, 2, **OPTIONS), StreamingXcodec(tiny, **OPTIONS)
    first = batch.push([None, speech[:5000]])[1]
    solo.load_state_dict(batch.state_dict(rows=[1]))
    middle = solo.push(speech[5000:8000])
    batch.load_state_dict(solo.state_dict(), rows=[0])
    rest = torch.cat([first, middle, batch.push([speech[8000:9000], None])[0], batch.flush([0])[0]], -1)
    want = encoded(StreamingXcodec(tiny, **OPTIONS), speech[:9000], [(0, 9000)])
    assert int((rest != want).any(1).sum()) <= 1


def test_reset_is_a_fresh_stream(tiny, speech):
    options: tuple[dict[str, Any], ...] = ({}, {"decode_lookahead_ms": 40}, {"sample_rate": 8000})
    for more in options:
        stream = StreamingXcodec(tiny, **OPTIONS, **more)
        codes = stream.push(speech[3000:9000])
        stream.push_codes(codes)
        stream.reset()
        want = encoded(StreamingXcodec(tiny, **OPTIONS, **more), speech[:6000], [(0, 6000)])
        assert torch.equal(encoded(stream, speech[:6000], [(0, 6000)]), want)
        audio = decoded(StreamingXcodec(tiny, **OPTIONS, **more), want, [(0, want.shape[-1])])
        assert torch.equal(decoded(stream, want, [(0, want.shape[-1])]), audio)


@pytest.mark.parametrize(("rate", "frame"), [(48000, 480), (44100, 441), (8000, 80)])
def test_at_another_rate(tiny, speech, rate, frame):
    """Codes are those of the whole clip resampled; audio is, put together, the whole audio resampled."""
    given = soxr.resample(speech[:12000].numpy(), 16000, rate)
    cuts = [(at, at + frame) for at in range(0, len(given), frame)]
    codes = encoded(StreamingXcodec(tiny, **OPTIONS, sample_rate=rate), given, cuts)
    at_model_rate = soxr.resample(given, rate, 16000)
    assert torch.equal(codes, encoded(StreamingXcodec(tiny, **OPTIONS), at_model_rate, [(0, len(at_model_rate))]))
    audio = decoded(StreamingXcodec(tiny, sample_rate=rate), codes, [(i, i + 1) for i in range(codes.shape[-1])])
    plain = decoded(StreamingXcodec(tiny), codes, [(i, i + 1) for i in range(codes.shape[-1])])
    want = soxr.resample(plain[0, 0].numpy(), 16000, rate)
    assert audio.shape == (1, 1, len(want))
    assert np.abs(audio[0, 0].numpy() - want).max() == 0


def test_states_that_do_not_fit(tiny, pair, speech):
    stream = StreamingXcodec(tiny, **OPTIONS)
    stream.push(speech[:3000])
    state = stream.state_dict()
    other = StreamingXcodec(pair("hubert").ours, **OPTIONS)
    cases: tuple[tuple[Any, ...], ...] = (
        (StreamingXcodec(tiny, **{**OPTIONS, "chunk_ms": 20}), state, ValueError, r"with {'chunk_ms': [^,]+}, but"),
        (other, state, ValueError, "codebooks"),
        (StreamingXcodec(copy.deepcopy(tiny).double(), **OPTIONS), state, ValueError, "lines"),
        (StreamingXcodecBatch(tiny, 2, **OPTIONS), state, ValueError, "1 row, but there are 2"),
        (stream, {}, TypeError, "state_dict"),
        (stream, None, TypeError, "state_dict"),
    )
    for target, given, error, words in cases:
        with pytest.raises(error, match=words):
            target.load_state_dict(given)
    want = encoded(StreamingXcodec(tiny, **OPTIONS), speech[:6000], [(0, 6000)])[..., 8:]
    assert torch.equal(torch.cat([stream.push(speech[3000:6000]), stream.flush()], -1), want)


def test_a_model_that_changes_under_a_stream(tiny, speech):
    model = copy.deepcopy(tiny)
    stream = StreamingXcodec(model, **OPTIONS)
    stream.push(speech[:3000])
    model.double()
    with pytest.raises(RuntimeError, match=r"float32.*float64.*reset"):
        stream.push(speech[3000:6000])
    stream.reset()
    want = encoded(StreamingXcodec(model, **OPTIONS), speech[:4000].double(), [(0, 4000)])
    assert torch.equal(encoded(stream, speech[:4000].double(), [(0, 4000)]), want)
