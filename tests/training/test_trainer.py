"""A run learns, resumes where it was, and leaves a model that loads."""

import csv
import math
from contextlib import nullcontext

import pytest
import soundfile
import torch

from xcodec_fast import XcodecModel
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.recordings import Recordings
from xcodec_fast.training.trainer import COLUMNS, CURVES, Trainer, new_model

from .conftest import tone


def _trainer(values, folder, **change):
    recipe = Recipe.from_dict({**values, **change})
    recordings = Recordings(recipe.audio, recipe, 16000, 320)
    folder.mkdir(exist_ok=True)
    return Trainer(new_model(recipe, torch.device("cpu")), recipe, recordings, folder)


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
            for model in (trainer.model, new_model(trained, torch.device("cpu")))
        ]
    assert errors[0] < 0.5 * errors[1]


def test_a_resumed_run_is_the_run(values, tmp_path):
    """Bit for bit, before and after the codebooks are filled."""
    whole = _trainer(values, tmp_path / "whole")
    whole.run(lambda _: None)
    for stop in (3, 6, 8):
        part = _trainer(values, tmp_path / "parts")
        if stop > 3:
            part.resume()
        with pytest.raises(KeyboardInterrupt) if stop < 8 else nullcontext():
            part.run(_stop_at(part, stop))
        part.save()
    for name, tensor in whole.model.state_dict().items():
        assert tensor.equal(part.model.state_dict()[name]), name


def _stop_at(trainer, step):
    def on_step(_):
        if trainer.step == step < trainer.recipe.steps:
            raise KeyboardInterrupt

    return on_step


def test_curves_and_model(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run", held_out=1)
    trainer.run(lambda _: None)
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
    trainer.run(lambda _: None)
    changed = {name for name, tensor in trainer.model.state_dict().items() if not tensor.equal(before[name])}
    assert not any(name.startswith("semantic_model.") for name in changed)
    for part in ("acoustic_encoder.", "acoustic_decoder.", "encoder_semantic.", "decoder_semantic.", "quantizer."):
        assert any(name.startswith(part) for name in changed), part
    assert {"fc.weight", "fc1.weight", "fc2.weight"} <= changed


def test_a_checkpoint_of_another_recipe_is_refused(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run")
    trainer.save()
    other = _trainer(values, tmp_path / "run", batch=2, seed=3)
    with pytest.raises(ValueError, match="of a recipe with another batch, seed"):
        other.resume()


def test_fine_tuning_goes_on_from_a_checkpoint(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run")
    trainer.run(lambda _: None)
    model = str(tmp_path / "run" / "model")
    tuned = _trainer(values, tmp_path / "tuned", model=model, quantize_from=0, learning_rate=1e-6)
    codebooks = [codebook.clone() for codebook in tuned.model.quantizer.codebooks]
    tuned.run(lambda _: None)
    for before, after in zip(codebooks, tuned.model.quantizer.codebooks, strict=True):
        assert (before - after).norm() < 0.5 * before.norm()


def test_a_loss_that_is_no_number_ends_the_run(values, tmp_path):
    trainer = _trainer(values, tmp_path / "run")
    with torch.no_grad():
        trainer.model.fc2.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0: lower the learning_rate"):
        trainer.run(lambda _: None)
