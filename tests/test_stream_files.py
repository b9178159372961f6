"""Files encoded as a live stream encodes them: the same bits, at any rate, in pieces, said in the header."""

import os
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from xcodec_fast import StreamingXcodec, StreamSettings, load_codes
from xcodec_fast.transcode import encode_file
from xcodec_fast.twin import stream_codes, window_cuts
from xcodec_fast.windows import Window, Windows

from .commands import ok, refused

RATE = 16000
SETTINGS = StreamSettings(chunk_ms=80, lookahead_ms=40, left_context_ms=300)


def _live(model, path, settings=SETTINGS):
    samples, rate = soundfile.read(path, dtype="float32")
    live = StreamingXcodec(model, **vars(settings), sample_rate=rate)
    pieces = [live.push(samples[at : at + 777]) for at in range(0, len(samples), 777)]
    return torch.cat([*pieces, live.flush()], -1)


@pytest.mark.parametrize("rate", [8000, RATE, 48000])
@pytest.mark.parametrize("piece", [100, 1 << 16])
def test_a_files_codes_are_the_live_streams(tiny, wav, monkeypatch, rate, piece):
    monkeypatch.setattr("xcodec_fast.transcode._PIECE", piece)
    file = wav(rate + 123, rate)
    clip = encode_file(tiny, file, streaming=SETTINGS)
    assert torch.equal(clip.audio_codes, _live(tiny, file))
    assert clip.info.windows == Windows(4, 15, 2)
    assert (clip.info.original_rate, clip.info.original_samples) == (rate, rate + 123)
    assert clip.info.frames == 51


@pytest.mark.parametrize("samples", [1, 319, 321, 5000])
def test_short_files(tiny, wav, samples):
    file = wav(samples)
    clip = encode_file(tiny, file, streaming=SETTINGS)
    assert torch.equal(clip.audio_codes, _live(tiny, file))
    assert clip.info.samples == samples


def test_windows_that_are_not_streams_are_the_same_thing(tiny, wav):
    """The codes of each window's audio, whichever way they are asked for; float32 rounding turns none of these."""
    file = wav(2 * RATE)
    of_windows = encode_file(tiny, file, window=0.5)
    of_stream = encode_file(tiny, file, streaming=StreamSettings(500, 2000, 2000))
    assert of_stream.info == of_windows.info
    assert (of_stream.audio_codes != of_windows.audio_codes).float().mean() < 0.01


@pytest.mark.parametrize("piece", [1, 50, 320, 2000, 10000])
def test_cuts_of_pieces_are_those_of_the_whole(piece):
    windows, hop, clip = Windows(4, 3, 2), 10, torch.arange(1234.0)
    cuts = list(window_cuts(clip.split(piece), windows, hop))
    assert [window for window, _ in cuts] == [windows.window(n, 124) for n in range(31)]
    for window, audio in cuts:
        assert isinstance(window, Window)
        assert torch.equal(audio, clip[window.start * hop : window.stop * hop])


def test_batches_of_windows_take_pieces_too(tiny, speech):
    """What a GPU does, here on the CPU: rounding alone may tell the two apart."""
    clip = speech[: RATE + 123]
    windows = tiny.stream_windows(SETTINGS)
    with torch.no_grad():
        one, many = (torch.cat(list(stream_codes(tiny, clip.split(700), windows, 4, batch)), -1) for batch in (1, 5))
    assert one.shape == many.shape == (1, 8, 51)
    assert (one != many).float().mean() < 0.01


def test_memory_holds_pieces_not_the_file(tiny, wav, monkeypatch):
    """A longer file is never read further than what its next codes need."""
    monkeypatch.setattr("xcodec_fast.transcode._PIECE", 1000)
    told: list[float] = []
    encode_file(tiny, wav(2 * RATE), streaming=SETTINGS, progress=lambda done, _: told.append(done))
    assert told == sorted(told)
    assert len(told) > 10
    assert told[-1] == 2


def test_the_command(run, tone, tiny):
    file = tone(rate=48000)
    out = ok(run("encode", file, "a.xcodec", "--lookahead-ms", 40))
    words = "of 0.16 s, each with 1 s of context before and 0.04 s after"
    assert f"in windows {words}" in out
    assert f"windows         {words}" in ok(run("info", "a.xcodec"))
    assert torch.equal(load_codes("a.xcodec").audio_codes, _live(tiny, file, StreamSettings(lookahead_ms=40)))
    ok(run("decode", "a.xcodec", "a.wav"))
    assert f"in windows {words}" in ok(run("roundtrip", file, "b.wav", "--lookahead-ms", 40))
    assert np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--chunk-ms", 30), "--chunk-ms is 30 ms, but must be a multiple of the frame, 20 ms"),
        (("--chunk-ms", 0), "--chunk-ms is 0 ms, but must be above 0"),
        (("--lookahead-ms", -20), "--lookahead-ms is -20 ms, but must be at least 0"),
        (("--left-context-ms", "nan"), "--left-context-ms is nan ms"),
        (("--chunk-ms", 40, "--window", "none"), "--window 'none' does not go with --chunk-ms"),
        (("--left-context-ms", 40, "--window", 2), "--window '2' does not go with --chunk-ms"),
    ],
)
def test_settings_that_cannot_be(run, tone, arguments, words):
    tone()
    for command, output in (("encode", "a.xcodec"), ("roundtrip", "a.wav")):
        refused(run(command, "in.wav", output, *arguments), words, code=2)
        assert not os.path.exists(output)


def test_settings_that_cannot_be_in_python(tiny, wav):
    with pytest.raises(ValueError, match="window is 2, but streaming has windows of its own"):
        encode_file(tiny, wav(320), window=2, streaming=SETTINGS)
    number: Any = 160
    with pytest.raises(TypeError, match="streaming must be StreamSettings, but is an int"):
        encode_file(tiny, wav(320), streaming=number)
    with pytest.raises(ValueError, match="bandwidth 3 kbps"):
        encode_file(tiny, wav(320), bandwidth=3, streaming=SETTINGS)
