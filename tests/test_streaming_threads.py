"""A stream on several threads: one call at a time in each direction, the second refused and nothing changed by it."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch
from xcodec_fast.one_call import OneCall
from xcodec_fast.steps import DecodeStep, EncodeStep

from .streams import decoded, encoded, random_codes

SHORT: dict[str, Any] = {"chunk_ms": 80, "left_context_ms": 200}


@pytest.fixture
def meanwhile(monkeypatch):
    """Makes another thread call a function while a step is under way, once; returns where its result or error goes."""

    def arrange(step, call):
        original = step._out
        outcomes: list[Any] = []

        def out(self, *arguments):
            if not outcomes:
                outcomes.append(None)
                with ThreadPoolExecutor(1) as other:
                    future = other.submit(call)
                    outcomes[0] = future.exception() or future.result()
            return original(self, *arguments)

        monkeypatch.setattr(step, "_out", out)
        return outcomes

    return arrange


CALLS = {
    "push": lambda stream, clip: stream.push(clip),
    "flush": lambda stream, clip: stream.flush(),
    "reset": lambda stream, clip: stream.reset(),
    "state_dict": lambda stream, clip: stream.state_dict(),
    "load_state_dict": lambda stream, clip: stream.load_state_dict({}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_of_the_encoder_is_refused(tiny, speech, meanwhile, name):
    stream, want = StreamingXcodec(tiny, **SHORT), encoded(StreamingXcodec(tiny, **SHORT), speech[:4000], [(0, 4000)])
    first = stream.push(speech[:300])
    outcomes = meanwhile(EncodeStep, lambda: CALLS[name](stream, speech[:900]))
    codes = torch.cat([first, stream.push(speech[300:4000]), stream.flush()], -1)
    assert isinstance(outcomes[0], RuntimeError)
    assert str(outcomes[0]).startswith(f"{name}() came while another thread is within push(): a stream takes one call")
    assert torch.equal(codes, want)


def test_a_second_call_of_the_decoder_is_refused(tiny, meanwhile):
    codes, stream = random_codes(tiny, 30), StreamingXcodec(tiny, **SHORT)
    want = decoded(StreamingXcodec(tiny, **SHORT), codes, [(0, 20), (20, 30)])
    stream.push_codes(codes[..., :0])  # makes the rows, for which a step is called too
    outcomes = meanwhile(DecodeStep, lambda: stream.flush_codes())
    audio = [stream.push_codes(codes[..., :20])]
    assert "within push_codes()" in str(outcomes[0])
    outcomes = meanwhile(DecodeStep, lambda: stream.push_codes(codes))
    audio += [stream.push_codes(codes[..., 20:]), stream.flush_codes()]
    assert "within push_codes()" in str(outcomes[0])
    assert torch.equal(torch.cat(audio, -1), want)


def test_the_two_directions_go_side_by_side(tiny, speech, meanwhile):
    codes, stream = random_codes(tiny, 30), StreamingXcodec(tiny, **SHORT)
    want = decoded(StreamingXcodec(tiny, **SHORT), codes, [(0, 30)])
    stream.push(speech[:300])
    outcomes = meanwhile(EncodeStep, lambda: torch.cat([stream.push_codes(codes), stream.flush_codes()], -1))
    assert stream.push(speech[300:4000]).shape[-1] == 12
    assert torch.equal(outcomes[0], want)


def test_a_call_that_raised_is_over(tiny, speech):
    batch = StreamingXcodecBatch(tiny, 2, **SHORT)
    batch.push([speech[:300], None])

    for call, error in (
        (lambda: batch.push([None]), ValueError),
        (lambda: batch.load_state_dict({}), TypeError),
        (lambda: batch.push_codes([None, torch.full((1, 8, 2), 1024)]), IndexError),
    ):
        with pytest.raises(error):
            call()
    assert batch.push([speech[300:4000], None])[0].shape[-1] == 12
    assert len(batch.state_dict()["rows"]) == 2


def test_a_copy_made_meanwhile_is_free(tiny, speech, meanwhile):
    stream = StreamingXcodec(tiny, **SHORT)
    before = stream.push(speech[:300])
    outcomes = meanwhile(EncodeStep, lambda: copy.deepcopy(stream))
    stream.push(speech[300:4000])
    copied = outcomes[0]
    copied.reset()
    want = encoded(StreamingXcodec(tiny, **SHORT), speech[:4000], [(0, 4000)])
    assert torch.equal(encoded(copied, speech[:4000], [(0, 4000)]), want)
    assert before.shape[-1] == 0


def test_copies_of_one_that_is_taken_are_not():
    one = OneCall()
    with one.within("push"):
        for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            with other.within("flush"):
                pass
        with pytest.raises(RuntimeError, match="push"), one.within("flush"):
            pass
    with one.within("flush"):
        pass
