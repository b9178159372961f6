"""The commands encode, decode, roundtrip, info and convert as a user types them: results, words, and every error."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
import torch

from xcodec_fast import XcodecModel, clip_codes, load_codes, save_codes
from xcodec_fast.cli import main
from xcodec_fast.demo import SPEECH
from xcodec_fast.windows import Windows


@dataclass
class Result:
    """What a command left: exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["xcodec-fast", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        printed = capsys.readouterr()
        assert isinstance(code, int)
        return Result(code, printed.out, printed.err)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def tone(tmp_path):
    """A function that writes a second of a tone, in any format, rate and channels."""

    def write(name="in.wav", rate=16000, channels=1, seconds=1.0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.sin(np.arange(round(rate * seconds)) / 20)
        soundfile.write(path, np.stack([samples] * channels, 1), rate)
        return path

    return write


def _ok(result):
    assert (result.code, result.err) == (0, "")
    return result.out


def _refused(result, *words):
    """One line on stderr, exit code 1."""
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("xcodec-fast: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    for word in words:
        assert word in result.err


def test_encode_and_decode(run, tone, tmp_path):
    out = _ok(run("encode", tone(rate=44100, seconds=3.1), "a.xcodec"))
    for words in ("in.wav -> a.xcodec: 3.10 s, 8 stages x 155 frames, 4.00 kbps", "1661 bytes, 4.29 kbps in all"):
        assert words in out
    assert "not trained" in out
    assert "49600 samples at 16000 Hz" in _ok(run("decode", "a.xcodec", "b.wav"))
    assert soundfile.info("b.wav").frames == 49600
    _ok(run("decode", "a.xcodec", "c.flac", "--sample-rate", "original"))
    assert (soundfile.info("c.flac").frames, soundfile.info("c.flac").samplerate) == (136710, 44100)
    _ok(run("decode", "a.xcodec", "d.ogg", "--sample-rate", "8000"))
    assert (soundfile.info("d.ogg").frames, soundfile.info("d.ogg").samplerate) == (24800, 8000)
    model = XcodecModel.from_pretrained("xcodec-tiny")
    saved = load_codes("a.xcodec", model)
    expected = model.decode(saved.audio_codes).audio_values[0, 0, :49600].detach().clamp(-1, 1)
    assert np.abs(soundfile.read("b.wav")[0] - expected.numpy()).max() < 1e-4
    assert sorted(os.listdir(tmp_path)) == ["a.xcodec", "b.wav", "c.flac", "d.ogg", "in.wav"]


def test_npz_and_bandwidth(run, tone):
    _ok(run("encode", tone(), "a.npz", "--bandwidth", "1.5"))
    with np.load("a.npz", allow_pickle=False) as archive:
        assert archive["codes"].shape == (3, 50)
    _ok(run("decode", "a.npz", "a.wav"))
    assert soundfile.info("a.wav").frames == 16000


def test_roundtrip_is_encode_and_decode(run, tone):
    file = tone()
    _ok(run("encode", file, "a.xcodec", "--bandwidth", 2))
    _ok(run("decode", "a.xcodec", "a.wav"))
    assert "4 stages x 50 frames, 2.00 kbps" in _ok(run("roundtrip", file, "b.wav", "--bandwidth", 2))
    assert np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])
    _ok(run("roundtrip", file, "c.wav", "--sample-rate", 48000))
    assert soundfile.info("c.wav").frames == 48000


def test_windows_are_stated(run, tone):
    assert "in windows" not in _ok(run("encode", tone(seconds=60), "a.xcodec"))
    words = "of 20 s, each with 2 s of context before and 2 s after"
    assert f"in windows {words}" in _ok(run("encode", tone("long.wav", seconds=60.1), "b.xcodec"))
    assert f"windows         {words}" in _ok(run("info", "b.xcodec"))
    assert load_codes("b.xcodec").info.windows == Windows(1000, 100, 100)
    assert "in windows" not in _ok(run("encode", "long.wav", "c.xcodec", "--window", "none"))
    assert "windows         none, encoded at once" in _ok(run("info", "c.xcodec"))
    assert "in windows of 0.5 s" in _ok(run("encode", "in.wav", "d.xcodec", "--window", "0.5"))


def test_several_inputs_and_folders(run, tone, tmp_path):
    for name in ("x/one.wav", "x/deep/er/two.flac", "x/three.four.ogg", "five.wav"):
        tone(name)
    (tmp_path / "x" / "notes.txt").write_text("no audio")
    out = _ok(run("encode", "x", "five.wav", "--output-dir", "made/codes"))
    assert out.count(" -> ") == 4
    names = ["deep/er/two", "five", "one", "three.four"]
    made = tmp_path / "made" / "codes"
    assert sorted(str(path.relative_to(made)) for path in made.rglob("*.*")) == [f"{name}.xcodec" for name in names]
    _ok(run("decode", "made/codes", "--output-dir", "audio"))
    assert all(soundfile.info(tmp_path / "audio" / f"{name}.wav").frames == 16000 for name in names)
    _ok(run("encode", "five.wav", "--output-dir", "npz", "--suffix", ".npz"))
    assert (tmp_path / "npz" / "five.npz").exists()


def test_one_bad_file_does_not_stop_the_others(run, tone, tmp_path):
    tone("x/a.wav")
    tone("x/c.wav")
    (tmp_path / "x" / "b.wav").write_text("hello")
    result = run("encode", "x", "--output-dir", "out")
    assert result.code == 1
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert "x/b.wav is not an audio file" in lines[0]
    assert lines[1] == "xcodec-fast: 1 of 3 files failed"
    assert sorted(os.listdir("out")) == ["a.xcodec", "c.xcodec"]


def test_stereo_needs_mono(run, tone):
    file = tone(channels=2)
    for command in ("encode", "roundtrip"):
        output = "a.xcodec" if command == "encode" else "a.wav"
        _refused_after_note(run(command, file, output), "in.wav has 2 channels", "--mono")
        assert not os.path.exists(output)
        _ok(run(command, file, output, "--mono"))


def _refused_after_note(result, *words):
    """Like `_refused`, for errors that are met when the model is loaded, after the note that it is not trained."""
    assert result.out.count("\n") <= 1
    _refused(Result(result.code, "", result.err), *words)


def test_inputs_that_cannot_be(run, tone, tmp_path):
    tone()
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").write_bytes(b"")
    _ok(run("encode", "in.wav", "a.xcodec"))
    for name, words in {
        "absent.wav": "does not exist",
        "text.wav": "is not an audio file",
        "empty.wav": "is not an audio file",
        "a.xcodec": "is not an audio file",
    }.items():
        _refused_after_note(run("encode", name, "b.xcodec"), name, words)
    for name, words in {
        "absent.xcodec": "does not exist",
        "in.wav": "is not an .xcodec file",
        "empty.wav": "is not an .xcodec file",
    }.items():
        _refused(run("decode", name, "b.wav"), name, words)
    _refused(run("info", "in.wav"), "is not an .xcodec file")
    assert not os.path.exists("b.xcodec")
    assert not os.path.exists("b.wav")


def test_outputs_that_cannot_be(run, tone, tmp_path):
    tone()
    tone("x/in.wav")
    _ok(run("encode", "in.wav", "a.xcodec"))
    before = (tmp_path / "a.xcodec").read_bytes()
    (tmp_path / "folder").mkdir()
    for arguments, words in [
        (("encode", "in.wav", "a.xcodec"), "a.xcodec exists already: --force replaces it"),
        (("encode", "in.wav", "a.wav"), "must end in .xcodec or .npz"),
        (("encode", "in.wav", "no/a.xcodec"), "there is no folder no"),
        (("encode", "in.wav", "folder"), "folder is a folder: folders are taken with --output-dir"),
        (("encode", "folder", "b.xcodec"), "folder is a folder"),
        (("encode", "folder", "--output-dir", "out"), "folder holds no file"),
        (("encode", "in.wav"), "there are 1 paths"),
        (("encode", "in.wav", "x/in.wav", "b.xcodec"), "there are 3 paths"),
        (("encode", "in.wav", "x", "--output-dir", "out"), "would be written 2 times, from in.wav, x/in.wav"),
        (("encode", "in.wav", "--output-dir", "a.xcodec"), "--output-dir a.xcodec is not a folder"),
        (("encode", "in.wav", "--output-dir", "a.xcodec/deep"), "cannot be made"),
        (("roundtrip", "in.wav", "in.wav", "--force"), "is the input itself"),
    ]:
        _refused(run(*arguments), words)
    for arguments, words in [
        (("decode", "a.xcodec", "b.txt"), "suffix must be that of an audio format"),
        (("decode", "a.xcodec", "b.mp3", "--sample-rate", "12345"), "b.mp3 cannot be written at 12345 Hz"),
    ]:
        _refused_after_note(run(*arguments), words)
    assert sorted(os.listdir()) == ["a.xcodec", "folder", "in.wav", "x"]
    assert (tmp_path / "a.xcodec").read_bytes() == before
    _ok(run("encode", "in.wav", "a.xcodec", "--force", "--bandwidth", "0.5"))
    assert len((tmp_path / "a.xcodec").read_bytes()) < len(before)


def test_models_that_cannot_be(run, tone, tmp_path, pair):
    tone()
    _ok(run("encode", "in.wav", "a.xcodec"))
    pair("hubert").ours.save_pretrained(tmp_path / "mine")
    _ok(run("encode", "in.wav", "b.xcodec", "--model", "mine"))
    assert load_codes("b.xcodec").info.model_id == "mine"
    _refused(run("decode", "b.xcodec", "b.wav"), "b.xcodec names as its model 'mine'", "give --model")
    _ok(run("decode", "b.xcodec", "b.wav", "--model", "mine"))
    _refused(run("decode", "a.xcodec", "a.wav", "--model", "mine"), "whose codebooks are not those of the given 'mine'")
    _refused(run("encode", "in.wav", "c.xcodec", "--model", "xcodec-tinny"), "did you mean 'xcodec-tiny'?")
    _refused(run("encode", "in.wav", "c.xcodec", "--model", "a.xcodec"), "is a file")
    _refused_after_note(run("encode", "in.wav", "c.xcodec", "--bandwidth", "3"), "bandwidth 3.0 kbps", "[0.5, 1, 1.5")
    save_codes("d.xcodec", clip_codes(torch.zeros(8, 3, dtype=torch.long), pair("hubert").ours))
    _refused(run("decode", "d.xcodec", "d.wav"), "names as its model nothing")
    if not torch.cuda.is_available():
        _refused(run("encode", "in.wav", "c.xcodec", "--device", "cuda"), "'cuda' cannot be used")
    assert not os.path.exists("c.xcodec")


def test_a_file_names_no_folder_of_this_machine(run, tone, tmp_path, pair):
    """A folder in the working directory that has the name in the file is not loaded unasked."""
    tone()
    pair("hubert").ours.save_pretrained(tmp_path / "mine")
    _ok(run("encode", "in.wav", "b.xcodec", "--model", tmp_path / "mine"))
    assert b"mine" in (tmp_path / "b.xcodec").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "b.xcodec").read_bytes()
    _refused(run("decode", "b.xcodec", "b.wav"), "give --model")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:50],
        lambda data: data[:-1],
        lambda data: data + b"tail",
        lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
        lambda data: data[:8] + b"\2" + data[9:],
    ],
)
def test_damaged_files_leave_no_output(run, tone, tmp_path, change):
    _ok(run("encode", tone(), "a.xcodec"))
    (tmp_path / "b.xcodec").write_bytes(change((tmp_path / "a.xcodec").read_bytes()))
    for arguments in (("decode", "b.xcodec", "b.wav"), ("info", "b.xcodec")):
        _refused(run(*arguments), "b.xcodec")
    assert sorted(os.listdir()) == ["a.xcodec", "b.xcodec", "in.wav"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode",),
        ("encode", "a", "b", "--no-such-option"),
        ("encode", "a", "b", "--window", "x"),
        ("encode", "a", "b", "--window", "0"),
        ("encode", "a", "b", "--window", "inf"),
        ("encode", "a", "b", "--device", "tpu"),
        ("encode", "a", "b", "--bandwidth", "x"),
        ("decode", "a", "b", "--sample-rate", "x"),
        ("decode", "a", "b", "--sample-rate", "-5"),
        ("no-such-command",),
    ],
)
def test_wrong_options_are_typers(run, arguments):
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Usage:" in result.err


def test_info_on_models(run, pair, tmp_path):
    out = _ok(run("info", "xcodec-tiny"))
    for words in ("seeded, not trained", "0.5, 1, 1.5, 2, 4 kbps", "50 per second, 320 samples", "8 stages of 1024"):
        assert words in out
    pair("hop-640").ours.save_pretrained(tmp_path / "mine")
    assert "25 per second, 640 samples" in _ok(run("info", "mine"))
    _refused(run("info", "absent"), "neither an embedded model")


def test_info_on_codes(run, tone):
    _ok(run("encode", tone(rate=8000), "a.xcodec"))
    out = _ok(run("info", "a.xcodec"))
    for words in ("611 bytes", "xcodec-tiny", "16000 samples at 16000 Hz", "8000 samples at 8000 Hz", "4.00 kbps"):
        assert words in out


def test_convert_is_a_command(run, tmp_path):
    _refused(run("convert", "absent.pth", "absent.yaml", "out"), "absent.yaml: No such file or directory")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    _refused(run("convert", "absent.pth", "absent.yaml", "mine"), "mine holds a checkpoint already", "--force")


def test_version_and_help(run):
    assert _ok(run("--version")).strip() == "0.1.0"
    assert all(name in run("--help").out for name in ("encode", "decode", "roundtrip", "info", "convert", "demo"))


def _start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, *code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_module_is_the_command_too(tone, tmp_path):
    process = _start(["-m", "xcodec_fast"], "encode", tone(), tmp_path / "a.xcodec")
    assert process.communicate()[1] == ""
    assert load_codes(tmp_path / "a.xcodec").info.frames == 50


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_no_file(tmp_path, stop):
    """It is stopped in the middle of writing: the second tile never comes."""
    code = (
        "import time; from xcodec_fast import cli, transcode\n"
        "tiles = transcode.decode_tiles\n"
        "def stuck(*arguments):\n"
        "    yield from tiles(*arguments)\n"
        "    print('writing', flush=True); time.sleep(60)\n"
        "transcode.decode_tiles = stuck\n"
        "cli.main()"
    )
    process = _start(["-c", code], "roundtrip", SPEECH, tmp_path / "a.wav")
    assert process.stdout is not None
    while "writing" not in process.stdout.readline():
        time.sleep(0.01)
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(stop)
    process.communicate()
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []
