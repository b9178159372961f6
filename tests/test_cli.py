"""The commands encode, decode, roundtrip, info and convert as a user types them."""

import os
import subprocess
import sys

import numpy as np
import soundfile

from xcodec_fast import XcodecModel, load_codes
from xcodec_fast.windows import Windows

from .commands import ok, refused


def test_encode_and_decode(run, tone, tmp_path):
    out = ok(run("encode", tone(rate=44100, seconds=3.1), "a.xcodec"))
    for words in ("in.wav -> a.xcodec: 3.10 s, 8 stages x 155 frames, 4.00 kbps", "1661 bytes, 4.29 kbps in all"):
        assert words in out
    ok(run("encode", "in.wav", "a.xcodec", "--force"))
    assert "49600 samples at 16000 Hz" in ok(run("decode", "a.xcodec", "b.wav"))
    assert soundfile.info("b.wav").frames == 49600
    ok(run("decode", "a.xcodec", "c.flac", "--sample-rate", "original"))
    assert (soundfile.info("c.flac").frames, soundfile.info("c.flac").samplerate) == (136710, 44100)
    ok(run("decode", "a.xcodec", "d.ogg", "--sample-rate", "8000"))
    assert (soundfile.info("d.ogg").frames, soundfile.info("d.ogg").samplerate) == (24800, 8000)
    model = XcodecModel.from_pretrained("xcodec-tiny")
    saved = load_codes("a.xcodec", model)
    expected = model.decode(saved.audio_codes).audio_values[0, 0, :49600].detach().clamp(-1, 1)
    assert np.abs(soundfile.read("b.wav")[0] - expected.numpy()).max() < 1e-4
    assert sorted(os.listdir(tmp_path)) == ["a.xcodec", "b.wav", "c.flac", "d.ogg", "in.wav"]


def test_npz_and_bandwidth(run, tone):
    ok(run("encode", tone(), "a.npz", "--bandwidth", "1.5"))
    with np.load("a.npz", allow_pickle=False) as archive:
        assert archive["codes"].shape == (3, 50)
    ok(run("decode", "a.npz", "a.wav"))
    assert soundfile.info("a.wav").frames == 16000


def test_roundtrip_is_encode_and_decode(run, tone):
    file = tone()
    ok(run("encode", file, "a.xcodec", "--bandwidth", 2))
    ok(run("decode", "a.xcodec", "a.wav"))
    assert "4 stages x 50 frames, 2.00 kbps" in ok(run("roundtrip", file, "b.wav", "--bandwidth", 2))
    assert np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])
    ok(run("roundtrip", file, "c.wav", "--sample-rate", 48000))
    assert soundfile.info("c.wav").frames == 48000


def test_windows_are_stated(run, tone):
    assert "in windows" not in ok(run("encode", tone(seconds=60), "a.xcodec"))
    words = "of 20 s, each with 2 s of context before and 2 s after"
    assert f"in windows {words}" in ok(run("encode", tone("long.wav", seconds=60.1), "b.xcodec"))
    assert f"windows         {words}" in ok(run("info", "b.xcodec"))
    assert load_codes("b.xcodec").info.windows == Windows(1000, 100, 100)
    assert "in windows" not in ok(run("encode", "long.wav", "c.xcodec", "--window", "none"))
    assert "windows         none, encoded at once" in ok(run("info", "c.xcodec"))
    assert "in windows of 0.5 s" in ok(run("encode", "in.wav", "d.xcodec", "--window", "0.5"))


def test_several_inputs_and_folders(run, tone, tmp_path):
    for name in ("x/one.wav", "x/deep/er/two.flac", "x/three.four.ogg", "five.wav"):
        tone(name)
    (tmp_path / "x" / "notes.txt").write_text("no audio")
    out = ok(run("encode", "x", "five.wav", "--output-dir", "made/codes"))
    assert out.count(" -> ") == 4
    names = ["deep/er/two", "five", "one", "three.four"]
    made = tmp_path / "made" / "codes"
    assert sorted(str(path.relative_to(made)) for path in made.rglob("*.*")) == [f"{name}.xcodec" for name in names]
    ok(run("decode", "made/codes", "--output-dir", "audio"))
    assert all(soundfile.info(tmp_path / "audio" / f"{name}.wav").frames == 16000 for name in names)
    ok(run("encode", "five.wav", "--output-dir", "npz", "--suffix", ".npz"))
    assert (tmp_path / "npz" / "five.npz").exists()


def test_info_on_models(run, pair, tmp_path):
    out = ok(run("info", "xcodec-tiny"))
    for words in (
        "0.5, 1, 1.5, 2, 4 kbps",
        "50 per second, 320 samples",
        "8 stages of 1024",
        "parameters      1,903,041\n",
        "786,432 values, which are buffers; 2,689,473 with the parameters",
    ):
        assert words in out
    pair("hop-640").ours.save_pretrained(tmp_path / "mine")
    assert "25 per second, 640 samples" in ok(run("info", "mine"))
    refused(run("info", "absent"), "neither an embedded model")


def test_info_on_codes(run, tone):
    ok(run("encode", tone(rate=8000), "a.xcodec"))
    out = ok(run("info", "a.xcodec"))
    for words in ("611 bytes", "xcodec-tiny", "16000 samples at 16000 Hz", "8000 samples at 8000 Hz", "4.00 kbps"):
        assert words in out


def test_version_and_help(run):
    assert ok(run("--version")).strip() == "0.1.0"
    assert all(name in run("--help").out for name in ("encode", "decode", "roundtrip", "info", "convert", "demo"))


def test_the_module_is_the_command_too(tone, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "xcodec_fast", "encode", tone(), tmp_path / "a.xcodec"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert load_codes(tmp_path / "a.xcodec").info.frames == 50
