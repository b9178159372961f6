"""`train`: from a recipe to a folder that --model takes; stopped, resumed, refused."""

import yaml

from xcodec_fast import XcodecFeatureExtractor, XcodecModel

from ..commands import ok, refused


def _write(tmp_path, values):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))


def test_a_run_and_its_model(run, tmp_path, values):
    _write(tmp_path, values)
    out = ok(run("train", "r.yaml", "--output-dir", "run"))
    assert "3 recordings, 0.1 minutes, in" in out
    assert "step 8 of 8: run/model, for --model" in out
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
