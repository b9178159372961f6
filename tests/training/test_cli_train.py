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
from xcodec_fast.training.recipe import RECIPES

from ..commands import ok, refused
from .conftest import tone


def _write(tmp_path, values):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))


def test_a_run_and_its_model(run, tmp_path, values):
    _write(tmp_path, values)
    out = ok(run("train", "r.yaml", "--output-dir", "run"))
    assert re.search(
        r"a model of 0\.11 million parameters; recordings in \S+: 3 to train on, 0\.1 minutes, and 0 held", out
    )
    assert re.findall(r"^step (\d), 0\.\d min: loss \d", out, re.MULTILINE) == ["4", "8"]
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
    result = run("train", "r.yaml", "--output-dir", "run", "--resume", "--audio", "audio")
    assert "step 10 of 10" in result.out
    told = result.err.splitlines()
    assert told[1:] == ["note: from step 8 on, steps: 10, before: 8"]
    assert told[0].startswith("note: from step 8 on, audio: 'audio', before: ")
    _write(tmp_path, {**values, "steps": 9})
    refused(run("train", "r.yaml", "--output-dir", "run", "--resume"), "has made 10 steps, but the recipe's end is 9")


def test_fine_tuning_the_embedded_recipe(run, tmp_path, values):
    """From a checkpoint as it ships."""
    _write(tmp_path, values)
    ok(run("train", "r.yaml", "--output-dir", "run"))
    (tmp_path / "f.yaml").write_text((RECIPES / "fine-tune.yaml").read_text() + "held_out: 0\nbatch: 1\n")
    text = (tmp_path / "f.yaml").read_text().replace("steps: 5000", "steps: 2")
    (tmp_path / "f.yaml").write_text(text)
    result = run("train", "f.yaml", "--output-dir", "tuned", "--audio", "audio", "--model", "run/small")
    assert result.code == 0, result.err
    lacks, warmup = result.err.splitlines()
    assert lacks.startswith("note: run/small lacks fc1 and decoder_semantic, which only training reads")
    assert warmup == "note: the learning rate rises over 200 steps (warmup), but the run has 2"
    assert "step 2 of 2: tuned/model" in result.out


def test_refusals(run, tmp_path, values):
    _write(tmp_path, values)
    refused(run("train", "r.yaml", "--output-dir", "run", "--resume"), "no run to resume, for it has no checkpoint.pt")
    refused(run("train", "r.yaml", "--audio", "nowhere"), "there is no folder of recordings 'nowhere': give --audio")
    refused(run("train", "xcodec-tiny"), "there is no folder of recordings 'recordings': give --audio")
    refused(run("train", "fine-tune"), "there is no folder of recordings 'recordings': give --audio")
    refused(run("train", "fine-tune", "--audio", "audio", "--model", "xcodec-tini"), "did you mean 'xcodec-tiny'?\n")
    _write(tmp_path, {**values, "model": {**values["model"], "codebok_size": 8}})
    refused(run("train", "r.yaml"), "model has unknown keys codebok_size; it may have acoustic_model_config, block")
    _write(tmp_path, values)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "curves.csv").touch()
    refused(run("train", "r.yaml", "--output-dir", "run"), "holds what a run made, but no checkpoint.pt")
    refused(run("train", "r.yaml", "--output-dir", "run", "--resume"), "holds what a run made, but no checkpoint.pt")
    (tmp_path / "run" / "checkpoint.pt").touch()
    refused(run("train", "r.yaml", "--output-dir", "run"), "run holds a run already: --resume goes on")
    refused(run("train", "r.yaml", "--output-dir", "r.yaml"), "--output-dir r.yaml is not a folder")
    refused(run("train", "run"), "run is a folder; a recipe is a YAML file")


def test_ctrl_c_ends_it_after_the_step(tmp_path, values):
    _write(tmp_path, {**values, "steps": 100_000})
    command = [sys.executable, "-m", "xcodec_fast", "train", "r.yaml", "--output-dir", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "curves.csv").exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "stopping, and saving; once more to stop without" in err
    (step,) = re.findall(r"stopped at step (\d+); --resume goes on", err)
    assert f"step {step} of 100000" in out
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == int(step)


def test_a_reader_that_goes_away_does_not_end_the_run(tmp_path, values):
    _write(tmp_path, values)
    command = [sys.executable, "-m", "xcodec_fast", "train", "r.yaml", "--output-dir", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    assert process.wait() == 0
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 8


def test_before_the_codebooks_are_filled(run, tmp_path, values):
    _write(tmp_path, {**values, "held_out": 1})
    out = ok(run("train", "r.yaml", "--output-dir", "run"))
    assert re.search(r"^step 4, .* dB log-mel, not quantized yet$", out, re.MULTILINE)
    assert re.search(r"^step 8, .* dB log-mel$", out, re.MULTILINE)


def test_what_is_left_out_is_said(run, tmp_path, values, folder):
    (folder / "MANIFEST.csv").unlink()
    (folder / "broken.wav").write_text("no audio")
    soundfile.write(folder / "short.wav", tone(0.1, 220), 16000)
    _write(tmp_path, {**values, "steps": 5})
    result = run("train", "r.yaml", "--output-dir", "run")
    assert "4 to train on" in result.out
    assert "broken.wav" in result.err
    assert "left out, as no longer than a crop at its speed: 1 of the recordings" in result.err
