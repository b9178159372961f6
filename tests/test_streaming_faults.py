"""What a stream does after the unexpected: another stream in its row, a step that fails, a state of another kind."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch
from xcodec_fast.pcm import Queue
from xcodec_fast.steps import DecodeStep, EncodeStep

from .equality import assert_same_audio
from .streams import decoded, encoded

SHORT: dict[str, Any] = {"chunk_ms": 80, "left_context_ms": 200}


@pytest.fixture
def failing(monkeypatch):
    """Makes a step raise when it is made for the n-th time from now on, once."""

    def fail(step, n):
        original, calls = step._out, iter(range(n, -1, -1))

        def out(self, *args):
            if next(calls, None) == 0:
                raise MemoryError("no memory")
            return original(self, *args)

        monkeypatch.setattr(step, "_out", out)

    return fail


@pytest.mark.parametrize("how", ["reset", "flush"])
@pytest.mark.parametrize("left_context_ms", [200, 600])
def test_a_row_hears_nothing_of_the_stream_before(tiny, speech, how, left_context_ms):
    options = {**SHORT, "left_context_ms": left_context_ms}
    used, fresh = (StreamingXcodecBatch(tiny, 2, **options) for _ in range(2))
    used.push([8 * speech[20000:27000], None])
    used.push_codes([torch.full((1, 8, 12), 7), None])
    if how == "reset":
        used.reset([0])
    else:
        used.flush([0])
        used.flush_codes([0])
    clip = speech[:6000]
    got, want = (torch.cat([streams.push([clip, None])[0], streams.flush([0])[0]], -1) for streams in (used, fresh))
    assert torch.equal(got, want)
    heard = [torch.cat([s.push_codes([want, None])[0], s.flush_codes([0])[0]], -1) for s in (used, fresh)]
    assert torch.equal(*heard)


def test_what_was_given_before_a_step_failed_is_not_lost(tiny, speech, failing):
    stream = StreamingXcodec(tiny, **SHORT)
    stream.push(speech[:300])
    failing(EncodeStep, 1)
    with pytest.raises(MemoryError):
        stream.push(speech[300:4000])
    kept = StreamingXcodec(tiny, **SHORT)
    kept.load_state_dict(stream.state_dict())
    want = encoded(StreamingXcodec(tiny, **SHORT), speech[:6000], [(0, 6000)])
    for going_on in (stream, kept):
        assert torch.equal(torch.cat([going_on.push(speech[4000:6000]), going_on.flush()], -1), want)


@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_flush_that_failed_is_called_again(tiny, speech, failing, rate):
    options = {**SHORT, "sample_rate": rate}
    stream = StreamingXcodec(tiny, **options)
    first = stream.push(speech[:4000])
    failing(EncodeStep, 0)
    with pytest.raises(MemoryError):
        stream.flush()
    with pytest.raises(RuntimeError, match=r"flush\(\) has not finished"):
        stream.push(speech[:4000])
    want = encoded(StreamingXcodec(tiny, **options), speech[:4000], [(0, 4000)])
    assert torch.equal(torch.cat([first, stream.flush()], -1), want)


def test_a_flush_of_codes_that_failed_is_called_again(tiny, failing):
    batch = StreamingXcodecBatch(tiny, 2, **SHORT)
    codes = [torch.randint(0, 1024, (1, 8, frames)) for frames in (3, 12)]
    first = batch.push_codes(codes)
    failing(DecodeStep, 0)
    with pytest.raises(MemoryError):
        batch.flush_codes()
    with pytest.raises(RuntimeError, match="flush_codes"):
        batch.push_codes(codes)
    for row, (piece, rest) in enumerate(zip(first, batch.flush_codes(), strict=True)):
        assert_same_audio(tiny.decode(codes[row]).audio_values, torch.cat([piece, rest], -1))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("where", [(torch.Tensor, "clone"), (Queue, "all")])
def test_memory_that_lacks_after_a_step(tiny, speech, monkeypatch, where, n):
    """Where outputs are copied out of the step, and where they are joined for the caller: for each row of two."""
    owner, name = where
    original, calls = getattr(owner, name), iter(range(n, -1, -1))

    def scarce(self, *args, **options):
        if next(calls, None) == 0:
            raise MemoryError("no memory")
        return original(self, *args, **options)

    clips = [speech[:9000], speech[3000:9000]]
    codes = [encoded(StreamingXcodec(tiny, **SHORT), clip, [(0, len(clip))]) for clip in clips]
    batch = StreamingXcodecBatch(tiny, 2, **SHORT)
    batch.push([clip[:0] for clip in clips])  # from here on what is given counts
    batch.push_codes([own[..., :0] for own in codes])
    got: list = [[], []]

    def keep(call, *given):
        try:
            for row, own in enumerate(call(*given)):
                got[row].append(own)
        except MemoryError:
            return False
        return True

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, scarce)
        keep(batch.push, clips)
    assert keep(batch.flush)
    assert all(torch.equal(torch.cat(own, -1), want) for own, want in zip(got, codes, strict=True))

    want = [decoded(StreamingXcodec(tiny, **SHORT), own, [(0, own.shape[-1])]) for own in codes]
    got, calls = [[], []], iter(range(n, -1, -1))
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, scarce)
        keep(batch.push_codes, codes)
    assert keep(batch.flush_codes)
    for own, whole in zip(got, want, strict=True):
        assert_same_audio(whole, torch.cat(own, -1))


def test_a_state_with_nothing_waiting_ends(tiny):
    codes = torch.randint(0, 1024, (1, 8, 10))
    for options in ({**SHORT, "decode_lookahead_ms": 40}, SHORT):
        stream, other = StreamingXcodec(tiny, **options), StreamingXcodec(tiny, **options)
        first = stream.push_codes(codes)
        other.load_state_dict(stream.state_dict())
        want = decoded(StreamingXcodec(tiny, **options), codes, [(0, 10)])
        for going_on in (stream, other):
            assert torch.equal(torch.cat([first, going_on.flush_codes()], -1), want)


def test_empty_codes_of_other_stages_change_nothing(tiny):
    stream = StreamingXcodec(tiny, **SHORT)
    stream.push_codes(torch.zeros(1, 8, 3, dtype=torch.long))
    stream.push_codes(torch.zeros(1, 4, 0, dtype=torch.long))
    assert stream.flush_codes().shape == (1, 1, 960)


@pytest.mark.parametrize("lookahead", [None, 40])
def test_states_of_other_stages(tiny, lookahead):
    options = {**SHORT, "decode_lookahead_ms": lookahead}
    eight, four, batch = (StreamingXcodecBatch(tiny, 2, **options) for _ in range(3))
    codes = torch.randint(0, 1024, (1, 8, 9))
    eight.push_codes([codes, codes])
    four.push_codes([codes[:, :4], codes[:, :4]])
    batch.push_codes([codes[:, :4], None])
    mixed = {**four.state_dict(), "rows": [four.state_dict([0])["rows"][0], eight.state_dict([1])["rows"][0]]}
    for state, rows in ((mixed, [0, 1]), (eight.state_dict([0]), [1])):
        with pytest.raises(ValueError, match="4 and 8 stages"):
            batch.load_state_dict(state, rows=rows)
    batch.push_codes([codes[:, :4], None])
    batch.load_state_dict(eight.state_dict())  # over both rows: what ran there is replaced
    eight_rest, batch_rest = eight.flush_codes(), batch.flush_codes()
    assert all(torch.equal(a, b) for a, b in zip(eight_rest, batch_rest, strict=True))


def test_in_and_out_of_inference_mode(tiny, speech):
    stream, want = StreamingXcodec(tiny, **SHORT), encoded(StreamingXcodec(tiny, **SHORT), speech[:4000], [(0, 4000)])
    with torch.inference_mode():
        first = stream.push(speech[:2000])
        stream.push_codes(first)
    assert torch.equal(torch.cat([first, stream.push(speech[2000:4000]), stream.flush()], -1), want)
    stream.reset()
    with torch.inference_mode():
        assert torch.equal(encoded(stream, speech[:4000], [(0, 1000), (1000, 4000)]), want)


def test_samples_beyond_the_models_range(tiny):
    with pytest.raises(ValueError, match="infinite"):
        StreamingXcodec(tiny).push(np.full(320, 1e39))


def test_a_model_may_change_before_a_stream_begins(tiny, speech):
    model = copy.deepcopy(tiny)
    stream = StreamingXcodec(model, **SHORT, sample_rate=48000)
    model.double()
    clip = speech[:9000].double()
    want = encoded(StreamingXcodec(model, **SHORT, sample_rate=48000), clip, [(0, 9000)])
    assert torch.equal(encoded(stream, clip, [(0, 9000)]), want)


def test_a_model_may_not_change_within_a_stream(tiny, speech):
    model = copy.deepcopy(tiny)
    stream = StreamingXcodec(model, **SHORT)
    stream.push(speech[:2000])
    model.double()
    with pytest.raises(RuntimeError, match=r"the model was .*float32.* but is now .*float64.*: reset\(\) the stream"):
        stream.push(speech[:2000].double())
    stream.reset()
    clip = speech[:9000].double()
    want = encoded(StreamingXcodec(model, **SHORT), clip, [(0, 9000)])
    assert torch.equal(encoded(stream, clip, [(0, 9000)]), want)


@pytest.mark.parametrize("change", ["in place", "replaced", "of inference mode"])
def test_a_state_knows_that_the_codebooks_changed(tiny, speech, change):
    with torch.inference_mode(change == "of inference mode"):
        model = copy.deepcopy(tiny)
        stream = StreamingXcodec(model, **SHORT)
        stream.push(speech[:2000])
        book = model.quantizer.quantizers[0].codebook
        if change == "replaced":  # the next tensor of the size may come to lie where this one lay
            book.embed = book.embed.clone()
        before = stream.state_dict()
        if change == "replaced":
            shape, book.embed = book.embed.shape, None
            book.embed = torch.zeros(shape)
        else:
            with torch.no_grad():
                book.embed.add_(1)
        with pytest.raises(ValueError, match="codebooks"):
            stream.load_state_dict(before)
