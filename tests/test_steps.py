"""What a step computes anew: no less than later audio changes, and no more."""

import copy
from typing import Any

import pytest
import torch

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch, StreamSettings
from xcodec_fast.chunk_codes import chunk_codes
from xcodec_fast.steps import encoder_extents


@pytest.fixture
def model(pair):
    return copy.deepcopy(pair("hubert").ours).double()


def test_extents_are_what_later_audio_changes(model):
    encoder, hop = model.acoustic_encoder, model.config.hop_length
    audio = torch.randn(1, 1, 80 * hop, dtype=torch.float64)
    with torch.inference_mode():
        changed = (encoder(audio)[..., :50] != encoder(audio[..., : 50 * hop])).any(1)[0].nonzero()
    final = 50 - int(changed[0])
    assert final == encoder.context()[1]
    assert encoder_extents(encoder, 1000)[-1] == (final, final)
    assert encoder_extents(encoder, 2)[-1] == (2, 2)


@pytest.mark.parametrize("apart", [-1, 0, 1, 5])
def test_a_lookahead_of_as_much_as_later_audio_changes(model, speech, apart):
    frames = model.acoustic_encoder.context()[1] + apart
    settings = {"chunk_ms": 60, "lookahead_ms": 20 * frames, "left_context_ms": 600}
    clip = speech[: 100 * model.config.hop_length].double()
    expected = model.encode(clip[None, None], streaming=StreamSettings(**settings)).audio_codes
    stream = StreamingXcodec(model, **settings)
    codes = [stream.push(piece) for piece in clip.split(1700)]
    assert torch.equal(torch.cat([*codes, stream.flush()], -1), expected)


def test_a_context_that_is_not_there_yet_costs_nothing(tiny, speech, monkeypatch):
    """Also where a stream begins, and the shapes of its lines are found."""
    seen = []

    def counted(model, window, *more):
        seen.append(window.shape[-1])
        return chunk_codes(model, window, *more)

    monkeypatch.setattr("xcodec_fast.steps.chunk_codes", counted)
    stream, short = (StreamingXcodec(tiny, chunk_ms=40, left_context_ms=ms) for ms in (60_000, 1000))
    assert torch.equal(stream.push(speech[:6400]), short.push(speech[:6400]))
    assert len(seen) == 2 * (1 + 10)
    assert max(seen) == 6400


def test_rows_that_end_within_a_chunk_and_are_stepped_on(tiny, speech):
    """By a lookahead of several chunks."""
    settings: dict[str, Any] = {"chunk_ms": 80, "lookahead_ms": 240, "left_context_ms": 200}
    clips = [speech[: 320 * frames] for frames in (13, 10)]
    batch = StreamingXcodecBatch(tiny, 2, **settings)
    pushed, flushed = batch.push(clips), batch.flush()
    for clip, first, rest in zip(clips, pushed, flushed, strict=True):
        expected = tiny.encode(clip[None, None], streaming=StreamSettings(**settings), window_batch=1).audio_codes
        assert torch.equal(torch.cat([first, rest], -1), expected)
