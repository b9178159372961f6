"""Outputs behave as the reference's ModelOutput; return_dict and config.return_dict decide their form."""

import copy
import pickle

import pytest
import torch
import transformers
from torch.utils._pytree import tree_map

from xcodec_fast import XcodecDecoderOutput, XcodecEncoderOutput, XcodecModel, XcodecOutput


@pytest.fixture
def outputs():
    from transformers.models.xcodec.modeling_xcodec import XcodecOutput as ReferenceOutput

    tensors = torch.zeros(1, 8, 3, dtype=torch.long), torch.ones(1, 1, 960)
    return ReferenceOutput(*tensors), XcodecOutput(*tensors)


def test_attribute_tuple_and_mapping_like_the_reference(outputs):
    for output in outputs:
        codes, values = output.to_tuple()
        assert output.audio_codes is output["audio_codes"] is output[0] is codes
        assert output.audio_values is output[-1] is output[:2][1] is values
        assert list(output) == list(output.keys()) == ["audio_codes", "audio_values"]
        assert len(output) == 2
        assert "audio_codes" in output
        assert "logits" not in output
        assert dict(**output)["audio_values"] is values
        assert [name for name, _ in output.items()] == ["audio_codes", "audio_values"]
        with pytest.raises(KeyError):
            output["logits"]
        with pytest.raises(IndexError):
            output[2]
        output["audio_codes"] = values
        assert output.audio_codes is output[0] is values


def test_wrappers_can_take_them_apart_and_rebuild_them(outputs):
    for output in outputs:
        doubled = tree_map(lambda tensor: tensor * 2, output)
        assert type(doubled) is type(output)
        assert torch.equal(doubled.audio_values, 2 * output.audio_values)
        rebuilt = type(output)(dict(output.items()))
        assert rebuilt.audio_values is output.audio_values
        assert 0 not in output
        assert len(type(output)()) == 0


def test_outputs_can_be_copied_and_pickled(outputs):
    for output in outputs:
        for twin in (copy.deepcopy(output), pickle.loads(pickle.dumps(output))):
            assert torch.equal(twin.audio_values, output.audio_values)


@pytest.mark.parametrize("call", ["encode", "decode", "forward"])
def test_return_dict(tiny: XcodecModel, call):
    kind = {"encode": XcodecEncoderOutput, "decode": XcodecDecoderOutput, "forward": XcodecOutput}[call]
    audio, codes = torch.zeros(1, 1, 3200), torch.zeros(1, 8, 10, dtype=torch.long)
    given = codes if call == "decode" else audio
    model = copy.deepcopy(tiny)
    full = getattr(model, call)(given)
    assert isinstance(full, kind)
    bare = getattr(model, call)(given, return_dict=False)
    expected = full.to_tuple() if call == "forward" else full[0]
    assert type(bare) is type(expected)
    assert all(torch.equal(a, b) for a, b in zip(bare, expected, strict=True))
    model.config.return_dict = False
    assert type(getattr(model, call)(given)) is type(bare)
    assert isinstance(getattr(model, call)(given, return_dict=True), kind)


def test_return_dict_false_is_kept_in_config_json(tiny: XcodecModel):
    config = copy.deepcopy(tiny.config)
    config.return_dict = False
    assert transformers.XcodecConfig(**config.to_dict()).return_dict is False
