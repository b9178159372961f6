"""`train`: from a recipe to a folder that --model takes; stopped, resumed, refused."""

import re
import signal
import subprocess
import sys
import time

import soundfile
import torch
import yaml

from xcodec_fast import XcodecFeatureExtractor, XcodecModel

from ..commands import ok, refused
from .conftest import tone


def _write(tmp_path, values):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))


def test_a_run_and_its_model(run, tmp_path, values):
    _write(tmp_path, values)
    out = ok(run("train", "r.yaml", "--output-dir", "run"))
    assert "3 recordings, 0.1 minutes, in" in out
    assert "step 8 of 8: run/model, for --model" in out
    small = XcodecModel.from_pretrained(tmp_path / "run" / "small")
    assert (tmp_path / "run" / "small" / "model.safetensors").stat().st_size < 0.6 * sum(
        2 * tensor.nbytes for tensor in small.state_dict().values()
    )
    model = XcodecModel.from_pretrained(tmp_path / "run" / "model")
    assert str(model.dtype) == "torch.float32"
    assert XcodecFeatureExtractor.from_pretrained(tmp_path / "run" / "model").hop_length == 320
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    ok(run("roundtrip", "audio/a.wav", "out.wav", "--model", "run/model"))


def test_more_steps_by_resuming(run, tmp_path, values):
    _write(tmp_path, values)
    ok(run("train", "r.yaml", "--output-dir", "run"))
    _write(tmp_path, {**values, "steps": 10, "audio": "nowhere"})
    assert "step 10 of 10" in ok(run("train", "r.yaml", "--output-dir", "run", "--resume", "--audio", "audio"))


def test_refusals(run, tmp_path, values):
    _write(tmp_path, values)
    refused(run("train", "r.yaml", "--output-dir", "run", "--resume"), "run holds no run to resume")
    refused(run("train", "r.yaml", "--audio", "nowhere"), "'nowhere', is none: give --audio")
    refused(run("train", "xcodec-tiny"), "folder of recordings, 'recordings', is none: give --audio")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    refused(run("train", "r.yaml", "--output-dir", "run"), "run holds a run already: --resume goes on")


def test_ctrl_c_ends_it_after_the_step(tmp_path, values):
    _write(tmp_path, {**values, "steps": 100_000})
    command = [sys.executable, "-m", "xcodec_fast", "train", "r.yaml", "--output-dir", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "curves.csv").exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 0, err
    (step,) = re.findall(r"stopped at step (\d+); --resume goes on", err)
    assert f"step {step} of 100000" in out
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == int(step)


def test_what_is_left_out_is_said(run, tmp_path, values, folder):
    (folder / "MANIFEST.csv").unlink()
    (folder / "broken.wav").write_text("no audio")
    soundfile.write(folder / "short.wav", tone(0.1, 220), 16000)
    _write(tmp_path, {**values, "steps": 5})
    result = run("train", "r.yaml", "--output-dir", "run")
    assert "4 recordings" in result.out
    assert "broken.wav" in result.err
    assert "left out: 1 recordings no longer than a crop" in result.err
