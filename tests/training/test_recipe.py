"""A recipe is read whole or refused with the key that is wrong."""

import pytest

from xcodec_fast import XcodecConfig, XcodecModel
from xcodec_fast.training.recipe import RECIPES, Recipe


def test_the_embedded_recipe_describes_a_model():
    values = Recipe.from_yaml("xcodec-tiny").model
    assert isinstance(values, dict)
    assert XcodecModel(XcodecConfig.from_dict(values)).config.hop_length == 320
    assert (RECIPES / "xcodec-tiny.yaml").is_file()


def test_a_number_without_a_dot(values):
    """YAML takes 1e-4 for a text."""
    assert Recipe.from_dict({**values, "learning_rate": "1e-4"}).learning_rate == 1e-4


def test_written_and_read_it_is_the_same(values):
    recipe = Recipe.from_dict(values)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps is 0, but must be a whole number, 1 or more"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"batch": True}, "batch is True"),
        ({"dropout": 1.5}, "dropout is 1.5, but must be a number, 0 to 1"),
        ({"mel": -1}, "mel is -1, but must be a number, 0 or more"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"quantize_from": 8}, "quantize_from is 8, but must be less than steps, 8"),
        ({"windows": [8]}, r"windows is \[8\]"),
        ({"windows": []}, r"windows is \[\]"),
        ({"kinds": {"speech": 0}}, "kinds is {'speech': 0}"),
        ({"model": 3}, "model is 3"),
        ({"kinds": None}, "kinds is None"),
        ({"windows": 512.5}, "windows is"),
        ({"audio": 3}, "audio is 3"),
        ({"compile": "no"}, "compile is 'no'"),
        ({"speed": 0.6}, "speed is 0.6, but must be a number, 0 to 0.5"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"stpes": 3}, "unknown keys stpes; a recipe has audio, "),
    ],
)
def test_refusals(values, change, words):
    with pytest.raises(ValueError, match=words):
        Recipe.from_dict({**values, **change})


_TWICE = (
    ("steps: 3\nsteps: 4", "r.yaml: line 2: the key steps is given a second time"),
    ("steps: 3\nmodel:\n  a: 1\n  a: 2", "line 4: the key a is given a second time"),
)


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recipe nowhere: .* embedded: fine-tune, xcodec-tiny"):
        Recipe.from_yaml("nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder; a recipe is a YAML file"):
        Recipe.from_yaml(tmp_path)
    path = tmp_path / "r.yaml"
    for text, words in (("steps: [", "r.yaml: "), ("- 1", "is a mapping"), ("steps: 3", "lacks model, audio"), *_TWICE):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            Recipe.from_yaml(path)
