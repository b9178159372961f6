"""The authors' checkpoints become folders that both we and the reference load, with the same codes and audio."""

from __future__ import annotations

import copy
import io
import json
import os
from typing import Any

import pytest
import torch
import transformers

from xcodec_fast import XcodecConfig, XcodecFeatureExtractor, XcodecModel
from xcodec_fast.convert import ACOUSTIC_WIDTHS, TEACHERS, convert_checkpoint

from .commands import ok, refused
from .equality import assert_same_audio
from .original import OLDER, PARAMETRIZED, original_state
from .pairs import CONFIGS


def _published(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "stream": io.BytesIO(b"found in published files")}


def _training(state: dict[str, Any]) -> dict[str, Any]:
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 2e-4, "betas": (0.8, 0.99)}]}
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    return {"codec_model": wrapped, "optimizer_g": optimizer, "mfd": {"a.weight": torch.zeros(1)}, "epoch": 1}


@pytest.mark.parametrize("name", ["hubert", "wavlm"])
@pytest.mark.parametrize(("nest", "weight_norm"), [(_published, OLDER), (_training, PARAMETRIZED)])
def test_codes_and_audio_stay_the_same(pair, speech, source, tmp_path, name, nest, weight_norm):
    ours, audio = copy.deepcopy(pair(name).ours), speech[None, None, :16000]
    config_yaml = source(ours)
    torch.save(nest(original_state(ours, weight_norm)), tmp_path / "original.pth")
    returned = convert_checkpoint(str(tmp_path / "original.pth"), config_yaml, tmp_path / "new" / "folder")

    folder = tmp_path / "new" / "folder"
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    loaded = XcodecModel.from_pretrained(folder)
    reference = transformers.XcodecModel.from_pretrained(folder).eval()
    codes = ours.encode(audio).audio_codes
    for model in (returned, loaded, reference):
        assert not model.training
        assert model.dtype == torch.float32
        assert torch.equal(model.encode(audio).audio_codes, codes)
        assert model.state_dict().keys() == ours.state_dict().keys()
        for key, tensor in ours.state_dict().items():
            assert torch.equal(model.state_dict()[key], tensor), key
    for model in (returned, loaded):
        assert torch.equal(model.decode(codes).audio_values, ours.decode(codes).audio_values)
    assert_same_audio(ours.decode(codes).audio_values, reference.decode(codes).audio_values)
    stored = json.loads((folder / "config.json").read_text())
    assert stored["semantic_model_config"]["_name_or_path"].startswith(("facebook/", "microsoft/"))
    extractor = XcodecFeatureExtractor.from_pretrained(folder)
    theirs = transformers.AutoFeatureExtractor.from_pretrained(folder)
    assert extractor.hop_length == theirs.hop_length == 320
    assert extractor.sampling_rate == theirs.sampling_rate == 16000


def test_parts_of_training_may_be_missing_and_tensors_be_views(pair, speech, source, tmp_path):
    ours, audio = copy.deepcopy(pair("hubert").ours), speech[None, None, :8000]
    optional = ("decoder_semantic.", "fc_post1.", "embed_avg", "cluster_size", "inited", "masked_spec_embed")
    state = original_state(ours, OLDER)
    left = {name: tensor for name, tensor in state.items() if not any(word in name for word in optional)}
    assert len(left) < len(state) - 30
    storage = torch.cat([left["fc_prior.bias"], left["fc_post2.bias"]])
    left["fc_prior.bias"], left["fc_post2.bias"] = storage[:72], storage[72:]
    torch.save(left, tmp_path / "original.pth")
    converted = convert_checkpoint(tmp_path / "original.pth", source(ours), tmp_path / "out")
    assert torch.equal(converted.encode(audio).audio_codes, ours.encode(audio).audio_codes)
    assert converted.state_dict().keys() == ours.state_dict().keys()


def test_any_number_of_ratios_and_half_precision(source, tmp_path):
    config = copy.deepcopy(CONFIGS["hubert"])
    config["acoustic_model_config"].update(downsampling_ratios=[8, 8, 5], upsampling_ratios=[8, 8, 5])
    ours = XcodecModel(XcodecConfig(**config)).half()
    torch.save(original_state(ours, OLDER), tmp_path / "original.pth")
    converted = convert_checkpoint(tmp_path / "original.pth", source(ours), tmp_path / "out")
    assert converted.dtype == torch.float32
    assert list(converted.config.acoustic_model_config.upsampling_ratios) == [8, 8, 5]
    for key, tensor in ours.state_dict().items():
        torch.testing.assert_close(converted.state_dict()[key], tensor.float(), rtol=2e-3, atol=1e-6, msg=key)


BASE = {  # of each teacher's own config.json
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": [512] * 7,
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": False,
    "mask_time_prob": 0.05,
    "mask_feature_prob": 0.0,
}
HUBERT = {**BASE, "model_type": "hubert", "conv_pos_batch_norm": False, "feat_proj_layer_norm": True}
WAVLM = {**BASE, "model_type": "wavlm", "num_buckets": 320, "max_bucket_distance": 800}


@pytest.mark.parametrize(
    ("teacher", "hub_id", "facts"),
    [
        ("hubert_base", "facebook/hubert-base-ls960", HUBERT),
        ("hubert_base_general", "ZhenYe234/hubert_base_general_audio", HUBERT),
        ("wavlm_base_plus", "microsoft/wavlm-base-plus", WAVLM),
    ],
)
def test_teachers_are_the_published_ones(teacher, hub_id, facts):
    config = XcodecConfig(acoustic_model_config=ACOUSTIC_WIDTHS, semantic_model_config=TEACHERS[teacher])
    assert config.semantic_model_config.to_dict() == {**facts, "_name_or_path": hub_id}
    with torch.device("meta"):
        ours, reference = XcodecModel(config), transformers.XcodecModel(transformers.XcodecConfig(**config.to_dict()))
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in (ours, reference)]
    assert shapes[0] == shapes[1]
    assert ours.acoustic_encoder.conv1.out_channels == 64
    assert ours.acoustic_decoder.conv1.out_channels == 1024


def test_as_a_command(pair, speech, source, run, tmp_path):
    ours = copy.deepcopy(pair("hubert").ours)
    config_yaml = source(ours)
    torch.save(original_state(ours, OLDER), tmp_path / "original.pth")
    refused(run("convert", "absent.pth", config_yaml, "out/deep"), "absent.pth does not exist")
    refused(run("convert", "original.pth", "absent.yaml", "out/deep"), "absent.yaml does not exist")
    refused(run("convert", config_yaml, config_yaml, "out/deep"), "config.yaml was not loaded")
    assert not (tmp_path / "out").exists()
    assert "original.pth -> out/deep" in ok(run("convert", "original.pth", config_yaml, "out/deep"))
    refused(run("convert", "original.pth", config_yaml, "out/deep"), "holds a checkpoint already: --force replaces it")
    ok(run("convert", "original.pth", config_yaml, "out/deep", "--force"))
    audio = speech[None, None, :8000]
    codes = XcodecModel.from_pretrained(tmp_path / "out" / "deep").encode(audio).audio_codes
    assert torch.equal(codes, ours.encode(audio).audio_codes)
