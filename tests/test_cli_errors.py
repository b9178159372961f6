"""Every error of the commands: one line on stderr, exit code 1, and no output left behind."""

import dataclasses
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from xcodec_fast import clip_codes, load_codes, save_codes
from xcodec_fast.codes_info import ClipCodes
from xcodec_fast.demo import SPEECH
from xcodec_fast.hub import ASSETS, read_json, write_json

from .commands import ok, refused


@pytest.mark.parametrize(("field", "value"), [(24, 2048), (28, 16)])
def test_forged_files_of_a_known_model(run, tone, tmp_path, tiny, field, value):
    """More codes or stages than the model has, with the right codebooks and checksum."""
    quantizers, size = (16, 1024) if field == 28 else (8, 2048)
    codes = torch.full((1, quantizers, 3), size - 1)
    info = dataclasses.replace(clip_codes(torch.zeros(8, 3, dtype=torch.long), tiny).info, quantizers=quantizers)
    save_codes("a.xcodec", ClipCodes(codes, dataclasses.replace(info, codebook_size=size)))
    refused(run("decode", "a.xcodec", "a.wav"), "a.xcodec: ", "do not fit the model's 8 of (1024, 16000, 320)")


@pytest.mark.parametrize(
    "section",
    [
        {"acoustic_model_config": 5},
        {"semantic_model_config": {"model_type": ["a"]}},
        {"target_bandwidths": [1e300]},
        {"target_bandwidths": [float("nan")]},
    ],
)
def test_model_folders_with_a_bad_config(run, tone, tmp_path, section):
    config = {**read_json(ASSETS / "xcodec-tiny" / "config.json"), **section}
    write_json(tmp_path / "bad", "config.json", config)
    refused(run("info", "bad"))
    refused(run("encode", tone(), "a.xcodec", "--model", "bad"))


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_at_a_terminal_results_are_whole_lines_on_stdout(tone, tmp_path):
    """stderr, where the bar is drawn, is a terminal of few columns; stdout is a file."""
    import pty

    main_end, terminal = pty.openpty()
    command = [sys.executable, "-m", "xcodec_fast", "encode", tone("x/a.wav").parent, "--output-dir", tmp_path / "out"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # Linux's end of a terminal that nobody has open
        while piece := os.read(main_end, 4096):  # a bar that nobody reads would stop the command
            shown += piece
    os.close(main_end)
    out = process.communicate()[0].decode()
    assert process.returncode == 0
    assert b"a.wav" in shown
    assert out.count("\n") == 1
    assert "8 stages x 50 frames, 4.00 kbps, 611 bytes" in out


def test_escapes_are_not_sent_to_the_terminal(run):
    refused(run("encode", "\x1b[31mred.wav", "a.xcodec"), "\\x1b[31mred.wav does not exist")


def test_stereo_needs_mono(run, tone):
    file = tone(channels=2)
    for command in ("encode", "roundtrip"):
        output = "a.xcodec" if command == "encode" else "a.wav"
        refused(run(command, file, output), "in.wav has 2 channels", "mix them down by --mono (mono=True in Python)\n")
        assert not os.path.exists(output)
        ok(run(command, file, output, "--mono"))


def test_inputs_that_cannot_be(run, tone, tmp_path):
    tone()
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").write_bytes(b"")
    ok(run("encode", "in.wav", "a.xcodec"))
    for name, words in {
        "absent.wav": "does not exist",
        "text.wav": "is not an audio file",
        "empty.wav": "is not an audio file",
        "a.xcodec": "is not an audio file",
    }.items():
        refused(run("encode", name, "b.xcodec"), name, words)
    for name, words in {
        "absent.xcodec": "does not exist",
        "in.wav": "is no file of codes",
        "empty.wav": "is no file of codes",
    }.items():
        refused(run("decode", name, "b.wav"), name, words)
    refused(run("info", "in.wav"), "give codes, .xcodec or .npz, or a model's name or folder", "is no file of codes")
    assert not os.path.exists("b.xcodec")
    assert not os.path.exists("b.wav")


def test_outputs_that_cannot_be(run, tone, tmp_path):
    tone()
    tone("x/in.wav")
    ok(run("encode", "in.wav", "a.xcodec"))
    before = (tmp_path / "a.xcodec").read_bytes()
    (tmp_path / "folder").mkdir()
    for arguments, words in [
        (("encode", "in.wav", "a.xcodec"), "a.xcodec exists already: --force replaces it"),
        (("encode", "in.wav", "a.wav"), "must end in .xcodec or .npz"),
        (("encode", "in.wav", "no/a.xcodec"), "there is no folder no"),
        (("encode", "in.wav", "folder"), "folder is a folder: folders are taken with --output-dir"),
        (("encode", "folder", "b.xcodec"), "folder is a folder"),
        (("encode", "folder", "--output-dir", "out"), "folder holds no input: no file there ends in .wav, .flac"),
        (("encode", "in.wav", "x", "--output-dir", "out"), "would be written 2 times, from in.wav, x/in.wav"),
        (("encode", "in.wav", "--output-dir", "a.xcodec"), "--output-dir a.xcodec is not a folder"),
        (("encode", "in.wav", "--output-dir", "a.xcodec/deep"), "cannot be made"),
        (("roundtrip", "in.wav", "in.wav", "--force"), "is an input itself"),
    ]:
        refused(run(*arguments), words)
    refused(run("decode", "a.xcodec", "b.txt"), "suffix must be that of an audio format")
    refused(run("decode", "a.xcodec", "b.mp3", "--sample-rate", "12345"), "b.mp3 cannot be written at 12345 Hz")
    assert "Error :" not in run("decode", "a.xcodec", "b.mp3", "--sample-rate", "12345").err
    refused(run("decode", "x", "--output-dir", "out"), "x holds no input: no file there ends in .xcodec, .npz")
    refused(run("encode", "absent.wav", "--output-dir", "new/deep"), "absent.wav does not exist")
    assert sorted(os.listdir()) == ["a.xcodec", "folder", "in.wav", "x"]
    assert (tmp_path / "a.xcodec").read_bytes() == before
    ok(run("encode", "in.wav", "a.xcodec", "--force", "--bandwidth", "0.5"))
    assert len((tmp_path / "a.xcodec").read_bytes()) < len(before)


def _named(clip, model_id):
    return dataclasses.replace(clip, info=dataclasses.replace(clip.info, model_id=model_id))


def test_models_that_cannot_be(run, tone, tmp_path, pair):
    tone()
    ok(run("encode", "in.wav", "a.xcodec"))
    pair("hubert").ours.save_pretrained(tmp_path / "mine")
    ok(run("encode", "in.wav", "b.xcodec", "--model", "mine"))
    assert load_codes("b.xcodec").info.model_id == "mine"
    refused(run("decode", "b.xcodec", "b.wav"), "b.xcodec names as its model 'mine'", "give --model")
    ok(run("decode", "b.xcodec", "b.wav", "--model", "mine"))
    refused(run("decode", "a.xcodec", "a.wav", "--model", "mine"), "but the model 'mine', in float32, has")
    refused(run("encode", "in.wav", "c.xcodec", "--model", "xcodec-tinny"), "did you mean 'xcodec-tiny'?")
    refused(run("encode", "in.wav", "c.xcodec", "--model", "a.xcodec"), "is a file")
    save_codes("d.xcodec", clip_codes(torch.zeros(8, 3, dtype=torch.long), pair("hubert").ours))
    refused(run("decode", "d.xcodec", "d.wav"), "names as its model nothing")
    save_codes("e.xcodec", _named(load_codes("a.xcodec"), "hf-audio/xcodec-wavlm-mls"))
    (tmp_path / "hf-audio" / "xcodec-wavlm-mls").mkdir(parents=True)
    refused(run("decode", "e.xcodec", "e.wav"), "but here is a folder of that name: give --model")
    if not torch.cuda.is_available():
        refused(run("encode", "in.wav", "c.xcodec", "--device", "cuda"), "'cuda' cannot be used")
    assert not os.path.exists("c.xcodec")


def test_a_file_names_no_folder_of_this_machine(run, tone, tmp_path, pair):
    """A folder in the working directory that has the name in the file is not loaded unasked."""
    tone()
    pair("hubert").ours.save_pretrained(tmp_path / "mine")
    ok(run("encode", "in.wav", "b.xcodec", "--model", tmp_path / "mine"))
    assert b"mine" in (tmp_path / "b.xcodec").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "b.xcodec").read_bytes()
    refused(run("decode", "b.xcodec", "b.wav"), "give --model")


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
    ok(run("encode", tone(), "a.xcodec"))
    (tmp_path / "b.xcodec").write_bytes(change((tmp_path / "a.xcodec").read_bytes()))
    for arguments in (("decode", "b.xcodec", "b.wav"), ("info", "b.xcodec")):
        refused(run(*arguments), "b.xcodec")
    assert sorted(os.listdir()) == ["a.xcodec", "b.xcodec", "in.wav"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_no_file(tmp_path, stop):
    """It is stopped in the middle of writing: the second tile never comes."""
    code = (
        "import signal, time; from xcodec_fast import cli, transcode\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what runs in the background may ignore it
        "tiles = transcode.decode_tiles\n"
        "def stuck(*arguments):\n"
        "    yield from tiles(*arguments)\n"
        "    print('writing', flush=True); time.sleep(60)\n"
        "transcode.decode_tiles = stuck\n"
        "cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "roundtrip", SPEECH, tmp_path / "a.wav"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "writing" not in (line := process.stdout.readline()):
        assert line
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(stop)
    _, err = process.communicate()
    assert (process.returncode, err) == (128 + stop, "")
    assert list(tmp_path.iterdir()) == []
