"""The feature extractor does what the reference's does."""

import json
import logging
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from xcodec_fast import AutoFeatureExtractor, XcodecFeatureExtractor


def _assert_same(expected, actual):
    assert list(expected.keys()) == list(actual.keys())
    for key, value in expected.items():
        mine = actual[key]
        assert type(mine) is type(value)
        assert len(mine) == len(value)
        for a, b in zip(value, mine, strict=True):
            assert type(a) is type(b)
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            assert np.array_equal(np.asarray(a), np.asarray(b))


def _clips(lengths):
    generator = np.random.default_rng(len(lengths))
    return [generator.standard_normal(n).astype(np.float32) for n in lengths]


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 1300), min_size=1, max_size=4),
    padding=st.sampled_from([None, True, False, "longest", "max_length", "do_not_pad"]),
    truncation=st.booleans(),
    max_length=st.sampled_from([None, 1, 320, 700, 2000]),
    tensors=st.sampled_from([None, "pt", "np"]),
    side=st.sampled_from(["right", "left"]),
    hop=st.sampled_from([1, 320, 512]),
)
def test_every_combination_of_arguments(lengths, padding, truncation, max_length, tensors, side, hop):
    options = {"sampling_rate": 16000, "hop_length": hop, "padding_side": side, "padding_value": 0.25}
    reference = transformers.DacFeatureExtractor(feature_size=1, **options)
    ours = XcodecFeatureExtractor(**options)
    call = {
        "padding": padding,
        "truncation": truncation,
        "max_length": max_length,
        "return_tensors": tensors,
        "sampling_rate": 16000,
    }
    try:
        expected = reference(_clips(lengths), **call)
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):
            ours(_clips(lengths), **call)
        return
    except IndexError:  # the reference trips over its own mask where clips stay of unequal lengths
        assert len(set(lengths)) > 1
        assert padding in ("do_not_pad", "max_length")
        return
    _assert_same(expected, ours(_clips(lengths), **call))


@pytest.mark.parametrize(
    "audio",
    [
        np.arange(500) / 500,
        np.arange(500, dtype=np.float32),
        np.arange(500, dtype=np.int16),
        list(np.arange(500.0)),
        torch.arange(500) / 500,
        [list(np.arange(500.0)), list(np.arange(300.0))],
        (np.arange(500.0), np.arange(20.0)),
        [np.arange(500, dtype=np.int16)],
    ],
)
def test_every_kind_of_audio(audio):
    reference, ours = transformers.DacFeatureExtractor(hop_length=320), XcodecFeatureExtractor(hop_length=320)
    call: dict[str, Any] = {"sampling_rate": 16000, "return_tensors": "pt"}
    _assert_same(reference(audio, **call), ours(audio, **call))


def test_a_list_of_tensors_is_a_batch():
    batch = XcodecFeatureExtractor(hop_length=320)([torch.ones(500), torch.ones(700)], sampling_rate=16000)
    assert [mask.sum() for mask in batch.padding_mask] == [500, 700]


@pytest.mark.parametrize(
    ("audio", "options", "words"),
    [
        (np.zeros(500), {"sampling_rate": 44100}, ["44100 Hz", "16000 Hz"]),
        (np.zeros((2, 500)), {}, ["mono", "(2, 500)"]),
        ([], {}, ["empty"]),
        (np.zeros(500), {"padding": "shortest"}, ["shortest", "longest"]),
        (np.zeros(500), {"return_tensors": "tf"}, ["tf", "pt"]),
        ([np.zeros(500), np.zeros(900)], {"padding": False, "return_tensors": "pt"}, ["500", "900", "padding=True"]),
    ],
)
def test_bad_input(audio, options, words):
    with pytest.raises(ValueError, match=r".+") as raised:
        XcodecFeatureExtractor()(audio, **{"sampling_rate": 16000, **options})
    for word in words:
        assert word in str(raised.value)


def test_a_missing_sampling_rate_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        XcodecFeatureExtractor()(np.zeros(500))
    assert "16000 Hz" in caplog.text


@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda values: [np.array(values, np.int16)]])
def test_integers_are_warned_of(caplog, kind):
    with caplog.at_level(logging.WARNING):
        XcodecFeatureExtractor()(kind([1, 2]), sampling_rate=16000)
    assert "is not scaled, as in the reference: give floats in [-1, 1]" in caplog.text


def test_the_batch_is_a_mapping_with_attributes_and_moves(tiny):
    batch = AutoFeatureExtractor.from_pretrained("xcodec-tiny")(np.zeros(500), sampling_rate=16000, return_tensors="pt")
    assert batch.input_values is batch["input_values"] is {**batch}["input_values"]
    with pytest.raises(AttributeError):
        batch.labels  # noqa: B018  (looked up for its error)
    moved = batch.to("cpu", torch.float64)
    assert moved is batch
    assert (batch.input_values.dtype, batch.padding_mask.dtype) == (torch.float64, torch.int32)
    assert batch.to(device="meta").padding_mask.device.type == "meta"


def test_its_file_goes_both_ways(tmp_path):
    reference = transformers.DacFeatureExtractor(hop_length=320, sampling_rate=24000, padding_value=0.5)
    reference.save_pretrained(tmp_path)
    ours = XcodecFeatureExtractor.from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path / "ours")
    stored = json.loads((tmp_path / "ours" / "preprocessor_config.json").read_text())
    assert stored == json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "ours").to_dict() == reference.to_dict()


def test_the_default_hop_is_the_references():
    """A file that does not name the hop must mean the same to both."""
    assert XcodecFeatureExtractor().hop_length == transformers.DacFeatureExtractor().hop_length
