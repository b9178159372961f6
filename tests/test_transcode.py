"""Files of any length to codes and back: windows by definition, tiles equal to one-shot, lengths to the sample."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr
import torch

from xcodec_fast import XcodecFeatureExtractor, XcodecModel, clip_codes
from xcodec_fast.audio import load_audio
from xcodec_fast.codes_info import ClipCodes
from xcodec_fast.transcode import decode_file, encode_file
from xcodec_fast.windows import Windows

RATE = 16000


def _encode(model, audio):
    """Codes of samples `[n]`, padded as the feature extractor does."""
    hop = model.config.hop_length
    inputs = XcodecFeatureExtractor(hop_length=hop)(np.asarray(audio), sampling_rate=RATE, return_tensors="pt")
    return model.encode(inputs["input_values"]).audio_codes


@pytest.mark.parametrize("samples", [1, 79, 80, 319, 320, 321, 16000, 16001, 15999])
def test_a_short_file_is_what_the_extractor_and_encode_give(tiny, wav, speech, samples):
    clip = encode_file(tiny, wav(samples))
    assert torch.equal(clip.audio_codes, _encode(tiny, speech[:samples]))
    assert (clip.info.samples, clip.info.original_samples, clip.info.windows) == (samples, samples, None)


@pytest.mark.parametrize("name", ["hubert", "wavlm", "hop-640"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 7777])
def test_windows_give_the_codes_of_each_windows_audio(pair, wav, speech, name, extra):
    model = pair(name).ours
    hop = model.config.hop_length
    samples = 2 * RATE + extra  # windows of 1 s: two, or a third with a little
    clip = encode_file(model, wav(samples), window=1.0)
    chunk, context = RATE // hop, 2 * RATE // hop
    assert clip.info.windows == Windows(chunk, context, context)
    frames = -(-samples // hop)
    assert clip.audio_codes.shape[2] == frames
    for first in range(0, frames, chunk):
        start, stop = max(0, first - context), min(frames, first + chunk + context)
        codes = _encode(model, speech[start * hop : min(samples, stop * hop)])
        kept = codes[..., first - start : min(first + chunk, frames) - start]
        assert torch.equal(clip.audio_codes[..., first : first + chunk], kept)


def test_which_files_are_cut(tiny, wav):
    def windows(seconds, extra=0, **options):
        return encode_file(tiny, wav(seconds * RATE + extra), **options).info.windows

    assert windows(60) is None
    assert windows(60, 1) == Windows(1000, 100, 100)
    assert windows(60, 1, window=None) is None
    assert windows(3, window=3) is None
    assert windows(3, 1, window=3) == Windows(150, 100, 100)
    assert windows(1, window=0.001) == Windows(1, 100, 100)  # rounded up to a frame
    assert windows(9, window=8.06) == Windows(403, 100, 100)


@pytest.mark.parametrize("window", [0, -1, float("nan"), float("inf"), "none"])
def test_a_window_that_cannot_be(tiny, wav, window):
    with pytest.raises(ValueError, match="must be a number of seconds above 0"):
        encode_file(tiny, wav(320), window=window)


def test_a_window_that_is_too_long(tiny, wav):
    with pytest.raises(ValueError, match=r"window is 1000000000 s, but must be below 2\^32 frames of 20 ms"):
        encode_file(tiny, wav(320), window=10**9)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000])
@pytest.mark.parametrize("window", [None, 0.5])
def test_any_rate_gives_the_codes_of_the_resampled_whole(tiny, wav, rate, window):
    file = wav(rate + 123, rate)
    clip = encode_file(tiny, file, window=window)
    audio = load_audio(file, RATE).samples
    assert (clip.info.original_rate, clip.info.original_samples) == (rate, rate + 123)
    assert clip.info.samples == len(audio)
    soundfile.write(file, audio, RATE, "FLOAT")
    assert torch.equal(encode_file(tiny, file, window=window).audio_codes, clip.audio_codes)


def test_progress_is_told(tiny, wav, tmp_path):
    told = []
    clip = encode_file(tiny, wav(5 * RATE // 2), window=1, progress=lambda *at: told.append(at))
    assert told == [(1, 2.5), (2, 2.5), (2.5, 2.5)]
    told.clear()
    decode_file(tiny, clip, tmp_path / "a.wav", progress=lambda *at: told.append(at))
    assert told == [(2.5, 2.5)]


def test_bandwidths(tiny, wav):
    file = wav(RATE)
    assert encode_file(tiny, file, bandwidth=1).audio_codes.shape == (1, 2, 50)
    with pytest.raises(ValueError, match="bandwidth 3 kbps"):
        encode_file(tiny, file, bandwidth=3)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 100, 12345])
def test_the_decoded_length_is_the_inputs(tiny, wav, tmp_path, rate, samples):
    if samples * RATE < rate / 2:
        with pytest.raises(ValueError, match="is too short"):
            encode_file(tiny, wav(samples, rate))
        return
    clip = encode_file(tiny, wav(samples, rate))
    for sample_rate, expected in ((None, clip.info.samples), (rate, samples), (RATE, clip.info.samples)):
        if sample_rate == RATE == rate:
            expected = samples
        assert decode_file(tiny, clip, tmp_path / "a.wav", sample_rate=sample_rate) == expected
        info = soundfile.info(tmp_path / "a.wav")
        assert (info.frames, info.samplerate, info.channels) == (expected, sample_rate or RATE, 1)


def test_decoded_audio_is_the_models(tiny, wav, tmp_path, monkeypatch):
    clip = encode_file(tiny, wav(3 * RATE + 17))
    whole = tiny.decode(clip.audio_codes).audio_values[0, 0, : 3 * RATE + 17].detach().clamp(-1, 1).numpy()
    monkeypatch.setattr("xcodec_fast.tiles.FRAMES", 40)
    decode_file(tiny, clip, tmp_path / "a.wav")
    assert np.abs(soundfile.read(tmp_path / "a.wav")[0] - whole).max() < 1e-4  # 16 bits
    decode_file(tiny, clip, tmp_path / "b.wav", sample_rate=48000)
    resampled = soxr.resample(whole, RATE, 48000)
    assert np.abs(soundfile.read(tmp_path / "b.wav")[0] - resampled.clip(-1, 1)).max() < 1e-4


def test_half_precision_reads_and_writes_files(tiny, wav, tmp_path):
    model = XcodecModel.from_pretrained("xcodec-tiny", dtype=torch.bfloat16)
    clip = encode_file(model, wav(RATE))
    for decoder in (model, tiny):  # the codes are of the same codebooks
        assert decode_file(decoder, clip, tmp_path / "a.wav") == RATE


_RESIDENT = """
import sys
import numpy as np
import soundfile
from xcodec_fast import XcodecModel
from xcodec_fast.transcode import decode_file, encode_file

minutes, file = int(sys.argv[1]), sys.argv[2]
with soundfile.SoundFile(file, "w", 16000, 1) as out:
    for _ in range(minutes):
        out.write(0.1 * np.random.default_rng(0).standard_normal(60 * 16000))

def progress(done, total):
    with open("/proc/self/statm") as memory:
        print(done / 60, int(memory.read().split()[1]) * 4096 / 1e6)

model = XcodecModel.from_pretrained("xcodec-tiny")
clip = encode_file(model, file, progress=progress)
print()
decode_file(model, clip, file, progress=progress)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_flat(tmp_path):
    """What 40 minutes take beyond the first two is less than 100 MB (noise: 75); their samples alone are 154 MB."""
    arguments = [sys.executable, "-c", _RESIDENT, "40", str(tmp_path / "a.wav")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    for name, lines in zip(("encode", "decode"), done.stdout.split("\n\n"), strict=True):
        at = [tuple(map(float, line.split())) for line in lines.splitlines()]
        early, late = (max(mb for minute, mb in at if (minute <= 2) == first) for first in (True, False))
        print(f"{name}: at most {early:.0f} MB in the first two minutes, {late:.0f} MB after")
        assert late - early < 100


def test_codes_of_another_model_are_refused(tiny, pair, wav, tmp_path):
    clip = encode_file(pair("hubert").ours, wav(RATE))
    with pytest.raises(ValueError, match="clip: the codes were made by a model that is not named"):
        decode_file(tiny, clip, tmp_path / "a.wav")
    with pytest.raises(ValueError, match="have no sample at 1 Hz"):
        decode_file(tiny, encode_file(tiny, wav(100)), tmp_path / "a.wav", sample_rate=1)
    assert not (tmp_path / "a.wav").exists()


def test_bare_codes_are_decoded_too(tiny, tmp_path):
    clip = clip_codes(torch.zeros(8, 3, dtype=torch.long), tiny)
    assert isinstance(clip, ClipCodes)
    assert decode_file(tiny, clip, tmp_path / "a.wav") == 960
