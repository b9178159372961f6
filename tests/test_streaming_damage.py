"""States that are damaged: each kind is refused, and leaves every row bit for bit as it was."""

import copy
from typing import Any

import pytest
import torch

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch

from .streams import assert_same_state, random_codes

OPTIONS: dict[str, Any] = {"chunk_ms": 80, "lookahead_ms": 20, "left_context_ms": 600}
# Streams with resamplers, and those in whose lines codes wait.
RATE: dict[str, Any] = {"sample_rate": 48000}
EARLY: dict[str, Any] = {"decode_lookahead_ms": 40}
NAN = float("nan")


@pytest.fixture(scope="module")
def streams(tiny, speech):
    """For each of two settings, a stream that has begun both ways, and another that went the same way."""
    made = {}
    for name, more in (("rate", RATE), ("early", EARLY)):
        pair = StreamingXcodec(tiny, **OPTIONS, **more), StreamingXcodec(tiny, **OPTIONS, **more)
        for stream in pair:
            stream.push(speech[:25000])
            stream.push_codes(random_codes(tiny, 11))
        made[name] = pair
    yield made
    for one, other in made.values():
        for mine, want in zip(_rest(one, speech, tiny), _rest(other, speech, tiny), strict=True):
            assert torch.equal(mine, want)


def _rest(stream, speech, model):
    heard = stream.push_codes(random_codes(model, 9, seed=1))
    return stream.push(speech[25000:28000]), stream.flush(), heard, stream.flush_codes()


def _row(side="encoder", **spoiled):
    return lambda row: row[side]["row"].update(spoiled)


def _waiting(change, side="encoder"):
    return lambda row: row[side]["row"].update(waiting=change(row[side]["row"]["waiting"]))


def _line(change, side="decoder"):
    return lambda row: row[side]["row"]["lines"].__setitem__(0, change(row[side]["row"]["lines"][0]))


def _resampler(**spoiled):
    return lambda row: row["encoder"]["resampler"].update(spoiled)


def _heard(change):
    return lambda row: row["encoder"]["resampler"].update(input=change(row["encoder"]["resampler"]["input"]))


def _first(value):
    def change(tensor):
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return change


SPOILS = {
    "no resampler": (lambda row: row["encoder"].pop("resampler"), "resampler"),
    "resampler None": (lambda row: row["encoder"].update(resampler=None), "the resampler is None"),
    "input None": (_resampler(input=None), "input is None"),
    "input of int64": (_heard(lambda x: x.long()), "input is torch.int64"),
    "input of two dimensions": (_heard(lambda x: x[None]), "input is torch.float32"),
    "input NaN": (_heard(_first(NAN)), "input holds NaN"),
    "input shorter": (_heard(lambda x: x[: len(x) // 3]), "do not give"),
    "start a string": (_resampler(start="x"), "start is 'x'"),
    "start negative": (_resampler(start=-7), "start is -7"),
    "start out of phase": (_resampler(start=1), "started at 1"),
    "got None": (_resampler(got=None), "got is None"),
    "got too much": (_resampler(got=10**9), "got 1000000000"),
    "got nothing": (_resampler(got=0), "got 0"),
    "got True": (_resampler(got=True), "got is True"),
    "more in the resampler": (_resampler(more=1), "keys"),
    "no seen": (lambda row: row["encoder"]["row"].pop("seen"), "keys"),
    "seen below": (_row(seen=-999), "seen is -999"),
    "seen between chunks": (_row(seen=2), "seen is 2"),
    "seen a string": (_row(seen="1"), "seen is '1'"),
    "seen True": (_row("decoder", seen=True), "seen is True"),
    "seen huge": (_row("decoder", seen=1 << 80), "seen is"),
    "missing": (_row(missing=77), "missing is 77"),
    "missing below": (_row(missing=-1), "missing is -1"),
    "end below": (_row(end=-3), "end is -3"),
    "end too early": (_row(end=1), "missing"),
    "end too late": (_row(end=10**6), "frames wait"),
    "waiting of one dimension": (_row(waiting=torch.zeros(3)), "waiting is"),
    "waiting of two channels": (_row(waiting=torch.zeros(2, 3)), "waiting is"),
    "waiting of int64": (_waiting(lambda x: x.long()), "waiting is torch.int64"),
    "waiting NaN": (_waiting(_first(NAN)), "waiting holds NaN"),
    "waiting a list": (_waiting(lambda x: x.tolist()), "waiting is a list"),
    "ready of three stages": (_row(ready=torch.zeros(1, 3, 2, dtype=torch.long)), "ready is"),
    "ready of floats": (_row(ready=torch.zeros(1, 8, 2)), "ready is"),
    "ready out of range": (_row(ready=torch.full((1, 8, 2), 1024)), "ready holds codes"),
    "audio of half a frame": (_row("decoder", ready=torch.zeros(1, 1, 100)), "ready has 100"),
    "a line less": (lambda row: row["encoder"]["row"]["lines"].pop(), "lines"),
    "lines None": (_row(lines=None), "damaged"),
    "lines of no values": (_line(lambda x: x.to("meta")), r"lines\[0\] has no values"),
    "lines NaN": (_line(lambda x: x * NAN), r"lines\[0\] holds NaN"),
    "a line shorter": (_line(lambda x: x[..., 1:]), r"lines\[0\] is"),
    "a line None": (_line(lambda x: None), r"lines\[0\] is None"),
    "more in the row": (lambda row: row.update(more=1), "a row has the keys"),
    "no decoder": (lambda row: row.pop("decoder"), "damaged"),
    "decoder empty": (lambda row: row.update(decoder={}), "keys"),
    "decoder a number": (lambda row: row.update(decoder=3), "decoder is an int"),
    "stages 99": (lambda row: row["decoder"].update(stages=99), r"stages is 99.* 1\.\.8"),
    "stages 0": (lambda row: row["decoder"].update(stages=0), "stages is 0"),
    "stages a list": (lambda row: row["decoder"].update(stages=[8]), "stages is"),
}
EARLY_SPOILS = {
    "resampler where none is": (lambda row: row["encoder"].update(resampler={}), "has a resampler"),
    "codes out of range": (_waiting(_first(1024), "decoder"), "waiting holds codes"),
    "codes negative": (_waiting(_first(-1), "decoder"), "waiting holds codes"),
    "codes of other stages": (_waiting(lambda x: x[:4], "decoder"), "waiting is"),
    "a line out of range": (_line(_first(1 << 40)), r"lines\[0\] holds codes"),
    "stages of others": (lambda row: row["decoder"].update(stages=4), "lines"),
}


@pytest.mark.parametrize(
    ("kind", "name"), [*(("rate", name) for name in SPOILS), *(("early", name) for name in EARLY_SPOILS)]
)
def test_a_damaged_state_changes_nothing(streams, kind, name):
    spoil, words = (SPOILS if kind == "rate" else EARLY_SPOILS)[name]
    stream = streams[kind][0]
    before = stream.state_dict()
    damaged = copy.deepcopy(before)
    spoil(damaged["rows"][0])
    with pytest.raises(ValueError, match=words):
        stream.load_state_dict(damaged)
    assert_same_state(stream.state_dict(), before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: None, "state_dict.* is None$"),
        (lambda state: [state], "is a list$"),
        (lambda state: {"rows": state["rows"]}, r"the keys \['rows'\]"),
        (lambda state: {**state, "rows": 3}, r"state\['rows'\] must be a list, but is an int"),
        (lambda state: {**state, "settings": None}, r"state\['settings'\] must be a dict, but is None"),
    ],
)
def test_what_is_no_state(streams, change, words):
    stream = streams["rate"][0]
    before = stream.state_dict()
    with pytest.raises(TypeError, match=words):
        stream.load_state_dict(change(before))
    assert_same_state(stream.state_dict(), before)


def test_settings_that_are_no_settings(streams):
    stream = streams["rate"][0]
    before = stream.state_dict()
    with pytest.raises(ValueError, match="chunk_ms is a Tensor"):
        stream.load_state_dict({**before, "settings": {**before["settings"], "chunk_ms": torch.zeros(2)}})
    with pytest.raises(ValueError, match="settings has the keys"):
        stream.load_state_dict({**before, "settings": {}})
    assert_same_state(stream.state_dict(), before)


def test_fewer_zeros_than_there_are_before_a_start(tiny, speech):
    """Its codes would be those of audio that came too early."""
    stream = StreamingXcodec(tiny, chunk_ms=80, lookahead_ms=40)
    stream.push(speech[:100])
    state = stream.state_dict()
    state["rows"][0]["encoder"]["row"]["waiting"] = torch.zeros(1, 639)
    with pytest.raises(ValueError, match="639 positions wait, fewer than the 640 zeros"):
        stream.load_state_dict(state)


def test_one_damaged_row_leaves_all_as_they_were(tiny, speech):
    batch, other = StreamingXcodecBatch(tiny, 3, **OPTIONS), StreamingXcodecBatch(tiny, 3, **OPTIONS)
    batch.push([speech[:3000], speech[:500], None])
    batch.push_codes([random_codes(tiny, 3), None, random_codes(tiny, 9)])
    other.push([speech[5000:9000], speech[4000:5000], speech[:100]])
    before, damaged = batch.state_dict(), other.state_dict()
    damaged["rows"][2]["encoder"]["row"]["seen"] = 2
    with pytest.raises(ValueError, match="seen is 2"):
        batch.load_state_dict(damaged)
    assert_same_state(batch.state_dict(), before)
    with pytest.raises(ValueError, match="the state has 1 row, but there are 3 to load it into"):
        batch.load_state_dict(other.state_dict([0]))
    batch.load_state_dict(other.state_dict())
    assert_same_state(batch.state_dict(), other.state_dict())


def test_a_state_in_the_middle_of_a_flush(tiny, speech, monkeypatch):
    """Its end is known, and steps past it have been made: counts that only such a state has."""
    from xcodec_fast.steps import DecodeStep

    options = {**OPTIONS, "sample_rate": 24000}
    stream, other = StreamingXcodec(tiny, **options), StreamingXcodec(tiny, **options)
    first = stream.push_codes(random_codes(tiny, 5))
    monkeypatch.setattr("xcodec_fast.stream_rows._AT_ONCE", 3)
    original, calls = DecodeStep._out, iter(range(4))

    def out(self, *arguments):
        if next(calls, None) == 3:
            raise MemoryError("no memory")
        return original(self, *arguments)

    monkeypatch.setattr(DecodeStep, "_out", out)
    with pytest.raises(MemoryError):
        stream.flush_codes()
    state = stream.state_dict()
    assert state["rows"][0]["decoder"]["row"]["missing"] > 0
    other.load_state_dict(state)
    rest = stream.flush_codes()
    assert torch.equal(other.flush_codes(), rest)
    assert first.shape[-1] + rest.shape[-1] == 5 * 480


def test_a_state_whose_last_frame_is_not_whole(tiny, speech, monkeypatch):
    stream, other = StreamingXcodec(tiny), StreamingXcodec(tiny)
    stream.push(speech[:1000])  # 3.125 frames
    with monkeypatch.context() as failing:
        failing.setattr("xcodec_fast.steps.EncodeStep._out", None)
        with pytest.raises(TypeError, match="not callable"):
            stream.flush()
    state = stream.state_dict()
    assert state["rows"][0]["encoder"]["row"]["end"] == 4
    other.load_state_dict(state)
    codes = stream.flush()
    assert codes.shape[-1] == 4
    assert torch.equal(other.flush(), codes)
