"""Codes of a stream: those of their definition, whatever the pushes, as soon as they can be known."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xcodec_fast import StreamingXcodec, StreamSettings

from .pairs import CONFIGS
from .streams import cut, defined_codes, encoded, settings_of

SIZES = (0, 1, 7, 160, 320, 441, 1000, 4000)
# chunk, left context, lookahead in frames; around 28, which the acoustic encoder reads on each side, and past the clip.
FRAMES = ((2, 28, 0), (8, 50, 0), (4, 10, 3), (3, 0, 1), (5, 27, 2), (3, 29, 5), (5, 40, 33), (40, 30, 4), (80, 0, 0))
COMMON = ("hubert", "wavlm-stable", "hop-640", "ratio-3")
LENGTHS = (1, 3000, 79, 5000, 320, 9000, 2100)


@pytest.fixture(scope="module")
def doubles(pair):
    """Our models in float64, made once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = copy.deepcopy(pair(name).ours).double()
        return made[name]

    return get


# The others differ in layers that a stream runs as they are, and are slow only in being many.
@pytest.mark.parametrize(
    "name",
    [name if name in COMMON else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS],
)
def test_codes_are_those_of_their_windows(doubles, speech, name):
    model, index = doubles(name), list(CONFIGS).index(name)
    for frames in FRAMES[index % 3 :: 3]:
        clip = speech[4000 : 4000 + LENGTHS[(sum(frames) + index) % 7] * model.config.hop_length // 320].double()
        stream = StreamingXcodec(model, **settings_of(model, *frames))
        codes = encoded(stream, clip, cut(len(clip), sum(frames), SIZES))
        assert torch.equal(codes, defined_codes(model, clip, *frames)), (frames, len(clip))


def test_in_float32_first_differences_are_near_ties(pair, speech):
    model = pair("wavlm").ours
    clip, frames = speech[:16000], (8, 50, 2)
    codes = encoded(StreamingXcodec(model, **settings_of(model, *frames)), clip, cut(len(clip), 1, SIZES))
    want = defined_codes(model, clip, *frames)
    different = codes != want
    first = different & (different.cumsum(1) == 1)
    print(f"{int(first.sum())} first differences in {codes.numel()} decisions")
    assert first.sum() <= codes.numel() / 1000


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_two_splits_give_the_same_bits(tiny, speech, data):
    frames = data.draw(st.tuples(st.integers(2, 9), st.integers(0, 40), st.integers(0, 12)))
    length = data.draw(st.integers(0, 6000))
    start = data.draw(st.integers(0, 8000))
    clip = speech[start : start + length]
    made = []
    for _ in range(2):
        stream, at, codes = StreamingXcodec(tiny, **settings_of(tiny, *frames)), 0, []
        while at < length:
            size = data.draw(st.sampled_from([0, 1, 2, 319, 320, 321, 2560, length]) | st.integers(0, 3000))
            codes.append(stream.push(clip[at : at + size]))
            at += size
            due = frames[0] * max(0, (min(at, length) // 320 - frames[2]) // frames[0])
            assert sum(piece.shape[-1] for piece in codes) == due
        made.append(torch.cat([*codes, stream.flush()], -1))
    assert torch.equal(*made)
    assert made[0].shape == (1, 8, -(-length // 320))
    if length:
        assert int((made[0] != defined_codes(tiny, clip, *frames)).any(1).sum()) <= 1


@pytest.mark.usefixtures("library")
def test_by_either_library_of_the_cpu(tiny, speech):
    options: dict[str, Any] = {"chunk_ms": 80, "lookahead_ms": 40, "left_context_ms": 300}
    stream = StreamingXcodec(tiny, **options)
    live = encoded(stream, speech[:20000], [(0, 1), (1, 7000), (7000, 20000)])
    offline = tiny.encode(speech[None, None, :20000], streaming=StreamSettings(**options), window_batch=1)
    assert torch.equal(live, offline.audio_codes)


def test_one_sample_at_a_time(tiny, speech):
    clip = speech[:1700]
    single = encoded(StreamingXcodec(tiny, chunk_ms=20), clip, ((i, i + 1) for i in range(len(clip))))
    assert torch.equal(single, encoded(StreamingXcodec(tiny, chunk_ms=20), clip, [(0, len(clip))]))


def test_a_window_over_all_is_the_whole_clip(tiny, speech):
    clip = speech[:16000]
    stream = StreamingXcodec(tiny, chunk_ms=1000)
    assert torch.equal(encoded(stream, clip, [(0, 700), (700, 16000)]), tiny.encode(clip[None, None]).audio_codes)


def test_every_kind_of_pcm(tiny, speech):
    pcm = (speech[:8000].numpy() * 32767).round().astype(np.int16)
    floats = pcm.astype(np.float32) / 32768
    want = encoded(StreamingXcodec(tiny), floats, [(0, 8000)])
    kinds = {
        "int16": pcm,
        "int32": pcm.astype(np.int32) << 16,
        "float64": floats.astype(np.float64),
        "big-endian": floats.astype(">f4"),
        "strided": np.stack([floats, floats], 1)[:, 0],
        "torch int16": torch.from_numpy(pcm),
        "torch float64": torch.from_numpy(floats).double(),
    }
    for name, chunk in kinds.items():
        assert torch.equal(encoded(StreamingXcodec(tiny), chunk, [(0, 3000), (3000, 8000)]), want), name
        for shape in ((1, -1), (-1, 1), (1, 1, -1)):
            stream = StreamingXcodec(tiny)
            assert torch.equal(torch.cat([stream.push(chunk.reshape(shape)), stream.flush()], -1), want), (name, shape)


def test_a_chunk_is_copied(tiny, speech):
    clip, buffer = speech[:6000].numpy(), np.zeros(1000, np.float32)
    stream, codes = StreamingXcodec(tiny), []
    for begin in range(0, 6000, 1000):
        buffer[:] = clip[begin : begin + 1000]
        codes.append(stream.push(buffer))
        buffer[:] = 7
    want = encoded(StreamingXcodec(tiny), clip, [(0, 6000)])
    assert torch.equal(torch.cat([*codes, stream.flush()], -1), want)


BAD = {
    "NaN": (np.array([0, np.nan], np.float32), ValueError, "1 NaN or infinite of 2"),
    "infinity": (torch.tensor([torch.inf]), ValueError, "1 NaN or infinite of 1"),
    "stereo": (np.zeros((2, 100), np.float32), ValueError, r"\[2, 100\]"),
    "batch": (np.zeros((2, 1, 100), np.float32), ValueError, r"\[2, 1, 100\]"),
    "scalar": (np.ones((), np.float32), ValueError, r"\[\]"),
    "int64": (np.zeros(9, np.int64), ValueError, "int64.*int16"),
    "float16": (torch.zeros(9, dtype=torch.float16), ValueError, "float16.*float32"),
    "two columns": (np.zeros((100, 2), np.float32), ValueError, r"\[n, 1\].*has \[100, 2\]"),
    "strings": (np.array(["a"]), ValueError, "chunk is of dtype <U1, but must be"),
    "bytes": (b"12", TypeError, "torch.Tensor, but is a bytes$"),
    "list": ([0.0, 1.0], TypeError, "torch.Tensor, but is a list$"),
    "None": (None, TypeError, "torch.Tensor, but is None$"),
    "integer": (5, TypeError, "torch.Tensor, but is an int$"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_chunk_leaves_no_trace(tiny, speech, name):
    bad, error, words = BAD[name]
    clip, stream = speech[:7000], StreamingXcodec(tiny, chunk_ms=80, sample_rate=24000)
    codes = [stream.push(clip[:4000])]
    with pytest.raises(error, match=words):
        stream.push(bad)
    codes += [stream.push(clip[4000:]), stream.flush()]
    want = encoded(StreamingXcodec(tiny, chunk_ms=80, sample_rate=24000), clip, [(0, 4000), (4000, 7000)])
    assert torch.equal(torch.cat(codes, -1), want)


def test_unchecked_samples_are_taken(tiny):
    stream = StreamingXcodec(tiny, chunk_ms=20)
    assert stream.push(np.full(320, np.nan, np.float32), check=False).shape == (1, 8, 1)


def test_bandwidth_and_gradient(tiny, speech):
    clip = speech[:8000]
    few = encoded(StreamingXcodec(tiny, bandwidth=1), clip, [(0, 8000)])
    assert torch.equal(few, encoded(StreamingXcodec(tiny), clip, [(0, 8000)])[:, :2])
    assert torch.nn.Embedding(1024, 4)(few).requires_grad  # not an inference tensor


@pytest.mark.parametrize(
    ("words", "error", "options"),
    [
        ("chunk_ms is 30", ValueError, {"chunk_ms": 30}),
        ("chunk_ms is 0 ms", ValueError, {"chunk_ms": 0}),
        ("lookahead_ms is -20", ValueError, {"lookahead_ms": -20}),
        ("left_context_ms is nan", ValueError, {"left_context_ms": float("nan")}),
        ("chunk_ms must be a number", TypeError, {"chunk_ms": "160"}),
        ("bandwidth 3", ValueError, {"bandwidth": 3}),
        ("sample_rate is 0", ValueError, {"sample_rate": 0}),
        ("sample_rate is 16000.0", ValueError, {"sample_rate": 16000.0}),
        (r"sample_rate is 1000001, .* in 1\.\.1000000", ValueError, {"sample_rate": 1000001}),
        ("decode_lookahead_ms is 340.*below 340.*17 frames", ValueError, {"decode_lookahead_ms": 340}),
        ("decode_lookahead_ms is 30", ValueError, {"decode_lookahead_ms": 30}),
        ("cuda_graph is True", ValueError, {"cuda_graph": True}),
    ],
)
def test_settings_that_are_refused(tiny, words, error, options):
    with pytest.raises(error, match=words):
        StreamingXcodec(tiny, **options)


def test_only_a_model_is_taken():
    with pytest.raises(TypeError, match="str"):
        StreamingXcodec("xcodec-tiny")  # type: ignore[arg-type]  # which is what is refused


def test_latency(tiny):
    assert StreamingXcodec(tiny).latency_ms == 160
    assert StreamingXcodec(tiny, chunk_ms=80, lookahead_ms=40).latency_ms == 120
    assert StreamingXcodec(tiny).decode_latency_ms == 340
    assert StreamingXcodec(tiny, chunk_ms=80, decode_lookahead_ms=40).decode_latency_ms == 100
    assert 116 < StreamingXcodec(tiny, chunk_ms=80, sample_rate=48000).latency_ms < 117
    assert 376 < StreamingXcodec(tiny, sample_rate=48000).decode_latency_ms < 377


@pytest.mark.parametrize(("rate", "frame"), [(48000, 480), (44100, 441), (8000, 80)])
def test_codes_are_as_late_as_said(tiny, rate, frame):
    stream, late, chunks = StreamingXcodec(tiny, chunk_ms=40, sample_rate=rate), [], 0
    for end in range(frame, 2 * rate, frame):
        for _ in range(stream.push(np.zeros(frame, np.float32)).shape[-1] // 2):
            late.append(1000 * end / rate - 40 * chunks)
            chunks += 1
    # To the push: what is ready goes out with one, and the resampler need not lag most where a chunk ends.
    assert abs(max(late) - stream.latency_ms) <= 10.1
