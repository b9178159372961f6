"""The demo command: its files and its words, on the bundled clip and on files of one's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from xcodec_fast import load_codes

COMMAND = [sys.executable, "-c", "import sys; from xcodec_fast.cli import main; sys.exit(main())"]
ROOT = Path(__file__).parent.parent


def _run(*arguments, code=None):
    command = COMMAND if code is None else [sys.executable, "-c", code]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False)


def test_on_the_bundled_clip(tmp_path, tiny, speech):
    result = _run("demo", "--output-dir", tmp_path / "deep" / "out")
    assert result.returncode == 0, result.stderr
    for words in ("[1, 8, 332]", "4.00 kbps", "x real time", "roundtrip.png"):
        assert words in result.stdout
    files = tmp_path / "deep" / "out"
    assert (files / "roundtrip.png").read_bytes().startswith(b"\x89PNG")
    saved = load_codes(files / "codes.xcodec", tiny)
    assert (saved.info.frames, saved.info.samples) == (332, len(speech))
    for name in ("original.wav", "reconstruction.wav"):
        info = soundfile.info(files / name)
        assert (info.frames, info.samplerate, info.channels) == (len(speech), 16000, 1)
    written, _ = soundfile.read(files / "reconstruction.wav", dtype="float32")
    padded = torch.nn.functional.pad(speech, (0, -len(speech) % 320))[None, None]
    assert torch.equal(saved.audio_codes, tiny.encode(padded).audio_codes)
    expected = tiny(padded).audio_values[0, 0, : len(speech)].detach().clamp(-1, 1)
    assert np.abs(written - expected.numpy()).max() < 1e-4


def test_on_a_stereo_file_of_another_rate(tmp_path):
    tone = np.sin(np.arange(44100) / 20)
    soundfile.write(tmp_path / "tone.ogg", np.stack([tone, -0.5 * tone], 1), 44100)
    result = _run("demo", tmp_path / "tone.ogg", "--output-dir", tmp_path)
    assert result.returncode == 0, result.stderr
    for words in ("resampled from 44100 Hz to 16000 Hz", "mixed down from 2 channels", "tone.ogg: 1.00 s"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda path: path.write_text("hello"), "is not an audio file that soundfile reads"),
        (lambda path: soundfile.write(path, np.zeros(0), 16000, format="WAV"), "holds no samples"),
        (lambda path: soundfile.write(path, [0.0, np.nan], 16000, "FLOAT", format="WAV"), "sample 1 of "),
    ],
)
def test_an_error_is_one_line(tmp_path, make, words):
    path = tmp_path / "given.wav"
    make(path)
    result = _run("demo", path, "--output-dir", tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "given.wav" in result.stderr
    assert words in result.stderr


def test_an_output_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = _run("demo", "--output-dir", tmp_path / "file")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_its_own_outputs_are_no_input(tmp_path):
    for name in ("original.wav", "reconstruction.wav"):
        soundfile.write(tmp_path / name, np.zeros(4000), 16000)
        before = (tmp_path / name).read_bytes()
        result = _run("demo", tmp_path / name, "--output-dir", tmp_path)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        assert "would be overwritten" in result.stderr
        assert (tmp_path / name).read_bytes() == before


def test_names_that_look_like_markup(tmp_path):
    soundfile.write(tmp_path / "a[red].wav", np.zeros(4000), 16000)
    result = _run("demo", tmp_path / "a[red].wav", "--output-dir", tmp_path / "o[" / "x]")
    assert result.returncode == 0, result.stderr
    assert "a[red].wav" in result.stdout


def test_an_output_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "original.wav").mkdir()
    result = _run("demo", "--output-dir", tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)


def test_a_wrong_option_is_typers(tmp_path):
    assert _run("demo", "--no-such-option").returncode == 2
    assert "demo" in _run("--help").stdout


def test_a_picture_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "roundtrip.png").write_bytes(b"before")
    code = (
        "from xcodec_fast import cli, demo\n"
        "def fail(path, *_):\n"
        "    path.write_bytes(b'half')\n"
        "    raise OSError('disk full')\n"
        "demo.plot_round_trip = fail\n"
        "cli.main()"
    )
    result = _run("demo", "--output-dir", tmp_path, code=code)
    assert (result.returncode, result.stderr) == (1, "xcodec-fast: disk full\n")
    assert (tmp_path / "roundtrip.png").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 4


def test_without_matplotlib_it_says_so_and_goes_on(tmp_path):
    code = "import sys; sys.modules['matplotlib'] = None\nfrom xcodec_fast.cli import main; sys.exit(main())"
    result = _run("demo", "--output-dir", tmp_path, code=code)
    assert result.returncode == 0, result.stderr
    assert 'pip install "xcodec-fast[plot]"' in result.stdout
    assert not (tmp_path / "roundtrip.png").exists()
    assert (tmp_path / "reconstruction.wav").exists()
