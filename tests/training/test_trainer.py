"""A run learns, resumes where it was, and leaves a model that loads."""

import csv
import math

import pytest
import soundfile
import torch

from xcodec_fast import XcodecModel
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.recordings import Recordings
from xcodec_fast.training.shipping import write_shipped
from xcodec_fast.training.start import start
from xcodec_fast.training.trainer import COLUMNS, CURVES, Trainer

from .conftest import tone


def _trainer(values, folder, **change):
    recipe = Recipe.from_dict({**values, **change})
    recordings = Recordings(recipe, 16000, 320)
    folder.mkdir(exist_ok=True)
    return Trainer(start(recipe, torch.device("cpu")).model, recipe, recordings, folder)


def test_two_seconds_are_learned(values, folder, tmp_path):
    """From noise to the clip, through the codes."""
    soundfile.write(folder / "a.wav", tone(2, 220), 16000)
    (folder / "MANIFEST.csv").write_text("file,kind\na.wav,speech\n")
    trainer = _trainer(
        values, tmp_path / "run", steps=250, quantize_from=120, speed=0, mix=0, gain_db=1, learning_rate=3e-3
    )
    seen = []
    trainer.run(lambda losses: seen.append(losses["mel"]))
    assert seen[-1] < 0.5 * seen[0]
    clip = torch.from_numpy(soundfile.read(folder / "a.wav", dtype="float32")[0])[None, None]
    codes = trainer.model.encode(clip).audio_codes
    assert len(codes[0, 0].unique()) > 5
    trained = Recipe.from_dict(values)
    with torch.no_grad():
        errors = [
            float(trainer.objective._mel(model.decode(codes).audio_values, clip))
            for model in (trainer.model, start(trained, torch.device("cpu")).model)
        ]
    assert errors[0] < 0.5 * errors[1]


def test_a_resumed_run_is_the_run(values, tmp_path):
    """Bit for bit, before and after the codebooks are filled; its curves too, but for the minutes."""
    whole = _trainer(values, tmp_path / "whole")
    whole.run()
    for stop in (3, 6, 8):
        part = _trainer(values, tmp_path / "parts")
        if stop > 3:
            part.resume()
        part.run(stopped=lambda part=part, stop=stop: part.step == stop)
        assert part.step == stop
    for name, tensor in whole.model.state_dict().items():
        assert tensor.equal(part.model.state_dict()[name]), name
    assert _rows(tmp_path / "parts") == _rows(tmp_path / "whole")


def _rows(folder):
    with (folder / CURVES).open() as file:
        return [{name: value for name, value in row.items() if name != "minutes"} for row in csv.DictReader(file)]


def test_curves_of_steps_that_are_made_again_are_dropped(values, tmp_path):
    """As after a crash: the checkpoint is of step 4, the last row of step 6."""
    trainer = _trainer(values, tmp_path / "run", evaluate_every=2)
    trainer.run(stopped=lambda: trainer.step == 4)
    with (tmp_path / "run" / CURVES).open("a") as file:
        file.write("6" + ",1" * (len(COLUMNS) - 1) + "\n")
    trainer.resume()
    trainer.run()
    assert [row["step"] for row in _rows(tmp_path / "run")] == ["2", "4", "6", "8"]
    _trainer(values, tmp_path / "run").run()  # anew, where the checkpoint was lost
    assert [row["step"] for row in _rows(tmp_path / "run")] == ["4", "8"]
    (tmp_path / "run" / CURVES).write_text("")
    _trainer(values, tmp_path / "run").run(stopped=lambda: True)
    assert not (tmp_path / "run" / CURVES).exists()


def test_a_row_has_the_learning_rate_of_its_step(values, tmp_path):
    _trainer(values, tmp_path / "run", evaluate_every=1, warmup=4).run()
    assert [float(row["learning_rate"]) for row in _rows(tmp_path / "run")[:4]] == [2.5e-4, 5e-4, 7.5e-4, 1e-3]


def test_other_clips_held_out_are_told(values, folder, tmp_path):
    trainer = _trainer(values, tmp_path / "run", held_out=1)
    trainer.save()
    (held_out,) = (clip.name for clip in trainer._recordings.held_out)
    assert trainer.resume() == {}
    rows = [f"{name},speech" for name in ("a.wav", "b.wav", "c.wav") if name != held_out]
    (folder / "MANIFEST.csv").write_text("\n".join(["file,kind", *rows]))
    then, (now,) = _trainer(values, tmp_path / "run", held_out=1).resume()["held-out clips"]
    assert then == [held_out]
    assert now != held_out


def test_silence_held_out_is_not_judged(values, folder, tmp_path):
    for name in "abc":
        soundfile.write(folder / f"{name}.wav", 0 * tone(1, 220), 16000)
    assert math.isnan(_trainer(values, tmp_path / "run", held_out=1).held_out_distance())


def test_a_checkpoint_is_read_on_the_cpu(values, tmp_path, monkeypatch):
    """Where the states of what draws must lie; on a GPU they would lie there."""
    trainer, places = _trainer(values, tmp_path / "run"), []
    trainer.save()
    load = torch.load

    def noted(*given, **options):
        places.append(options["map_location"])
        return load(*given, **options)

    monkeypatch.setattr(torch, "load", noted)
    trainer.resume()
    assert places == ["cpu"]


def test_curves_and_model(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run", held_out=1)
    trainer.run()
    with (tmp_path / "run" / CURVES).open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["step"]) for row in rows] == [4, 8]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    loaded = XcodecModel.from_pretrained(tmp_path / "run" / "model")
    audio = torch.randn(1, 1, 3200)
    assert loaded.encode(audio).audio_codes.equal(trainer.model.encode(audio).audio_codes)


def test_the_semantic_model_stays_as_it_is(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run")
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.run()
    changed = {name for name, tensor in trainer.model.state_dict().items() if not tensor.equal(before[name])}
    assert not any(name.startswith("semantic_model.") for name in changed)
    for part in ("acoustic_encoder.", "acoustic_decoder.", "encoder_semantic.", "decoder_semantic.", "quantizer."):
        assert any(name.startswith(part) for name in changed), part
    assert {"fc.weight", "fc1.weight", "fc2.weight"} <= changed


def test_a_checkpoint_of_another_recipe_is_refused(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run")
    trainer.save()
    other = _trainer(values, tmp_path / "run", batch=2, seed=3)
    with pytest.raises(ValueError, match=r"of a recipe with another batch \(4, now 2\), seed \(0, now 3\)"):
        other.resume()
    _trainer(values, tmp_path / "run", learning_rate=1e-5, steps=9, save_every=2).resume()


@pytest.mark.parametrize("start", ["save_pretrained", "write_shipped", "xcodec-tiny"])
def test_fine_tuning_begins_where_the_checkpoint_ends(values, tmp_path, start):
    """Also of one that holds nothing that only training reads: codebooks stay, and no loss drowns the others."""
    name = start
    if start != "xcodec-tiny":
        trainer = _trainer(values, tmp_path / "run")
        trainer.run()
        name = str(tmp_path / "from")
        if start == "save_pretrained":
            trainer.model.save_pretrained(name)
        else:
            write_shipped(trainer.model, tmp_path / "from")
    tuned = _trainer(values, tmp_path / "tuned", model=name, quantize_from=0, learning_rate=1e-6, crop_frames=20)
    codebooks = [codebook.clone() for codebook in tuned.model.quantizer.codebooks]
    losses = []
    tuned.run(lambda step: losses.append(dict(step)))
    assert all(math.isfinite(value) for step in losses for value in step.values())
    assert losses[0]["semantic"] < 5
    for before, after in zip(codebooks, tuned.model.quantizer.codebooks, strict=True):
        unchanged = ((before - after).norm(dim=1) < 0.1 * before.norm(dim=1)).float().mean()
        assert unchanged > (0.5 if start == "xcodec-tiny" else 0.2)
    again = _trainer(values, tmp_path / "again", model=name, quantize_from=0)
    first = _trainer(values, tmp_path / "first", model=name, quantize_from=0)
    assert again.model.fc1.weight.equal(first.model.fc1.weight)


def test_a_checkpoint_is_not_trained_without_its_quantizer(values, tmp_path):
    with pytest.raises(ValueError, match="quantize_from is 4, but must be 0: the model is quantized already"):
        _trainer(values, tmp_path / "run", model="xcodec-tiny")


def test_crops_that_are_shorter_than_a_window(values, tmp_path):
    with pytest.raises(ValueError, match="crop_frames is 3, 960 samples, but the longest of the windows, 2048"):
        _trainer(values, tmp_path / "run", crop_frames=3, windows=[2048])


def test_a_loss_that_is_no_number_ends_the_run(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run")
    with torch.no_grad():
        trainer.model.fc2.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0: lower the learning_rate"):
        trainer.run()
