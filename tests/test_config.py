"""XcodecConfig reads and writes the reference's config.json without loss, and refuses what cannot be built."""

import json
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from xcodec_fast import AcousticConfig, HubertConfig, WavLMConfig, XcodecConfig, XcodecModel

from .pairs import CONFIGS

DERIVED = ("frame_rate", "hop_length", "codebook_nbits", "hidden_size", "num_quantizers", "semantic_hidden_size")


@pytest.mark.parametrize("name", [None, *CONFIGS])
def test_config_json_of_the_reference_survives(tmp_path, name):
    reference = transformers.XcodecConfig(**(CONFIGS[name] if name else {}))
    reference.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["of_a_later_version"] = {"kept": [1, None]}
    (tmp_path / "config.json").write_text(json.dumps(stored))

    config = XcodecConfig.from_json_file(tmp_path / "config.json")
    assert config.to_dict() == stored
    for key in (*DERIVED, "codebook_dim", "sample_rate"):
        assert getattr(config, key) == getattr(reference, key), key

    config.save_pretrained(tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text()) == stored
    back = transformers.XcodecConfig.from_pretrained(tmp_path / "ours")
    assert {**back.to_dict(), "of_a_later_version": None} == {**reference.to_dict(), "of_a_later_version": None}


def test_defaults_are_the_references():
    ours, reference = XcodecConfig(), transformers.XcodecConfig()
    assert ours.acoustic_model_config.hop_length == reference.acoustic_model_config.hop_length
    for key, value in ours.to_dict().items():
        expected = reference.to_dict()[key]
        if isinstance(value, dict):
            expected = {part: expected[part] for part in value}
        assert value == (list(expected) if isinstance(expected, tuple) else expected), key


def test_sub_configs_may_be_dicts_dataclasses_or_objects_of_the_reference():
    acoustic = transformers.DacConfig(downsampling_ratios=[8, 5, 4, 2], hidden_size=96)
    semantic = transformers.WavLMConfig(num_buckets=64)
    config = XcodecConfig(acoustic_model_config=acoustic, semantic_model_config=semantic)
    reference = transformers.XcodecConfig(acoustic_model_config=acoustic, semantic_model_config=semantic)
    assert list(config.acoustic_model_config.upsampling_ratios) == [2, 4, 5, 8]  # a DacConfig reverses them
    assert config.acoustic_model_config.decoder_hidden_size == 1536
    assert isinstance(config.semantic_model_config, WavLMConfig)
    assert config.semantic_model_config.num_buckets == 64
    assert config.hidden_size == reference.hidden_size

    parts = XcodecConfig(
        acoustic_model_config=AcousticConfig(hidden_size=96), semantic_model_config=HubertConfig(hidden_size=384)
    )
    assert parts.hidden_size == parts.codebook_dim == 480
    assert XcodecConfig(acoustic_model_config={"hidden_size": 96}).acoustic_model_config == AcousticConfig(
        hidden_size=96
    )


def test_unknown_keys_do_not_hide_derived_ones():
    config = XcodecConfig(hop_length=123, note="kept")
    assert config.hop_length == 320
    assert config.note == "kept"
    assert config.to_dict()["hop_length"] == 123


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"strides": [1, 2]}, ValueError, ["640", "320"]),
        ({"acoustic_model_config": {"downsampling_ratios": [8, 5, 8, 1]}}, ValueError, ["[8, 5, 8, 1]", "2 or more"]),
        ({"acoustic_model_config": {"upsampling_ratios": [8, 5, 4, 4]}}, ValueError, ["640", "320"]),
        ({"acoustic_model_config": {"upsampling_ratios": [8, 5, 8, 1]}}, ValueError, ["[8, 5, 8, 1]"]),
        ({"acoustic_model_config": {"model_type": "encodec"}}, ValueError, ["encodec", "dac"]),
        ({"acoustic_model_config": 7}, TypeError, ["acoustic_model_config", "int"]),
        ({"semantic_model_config": {"model_type": "wav2vec2"}}, ValueError, ["wav2vec2", "hubert", "wavlm"]),
        ({"semantic_model_config": {"hidden_act": "mish"}}, ValueError, ["mish", "gelu"]),
        ({"semantic_model_config": {"feat_extract_norm": "batch"}}, ValueError, ["batch", "group"]),
        ({"semantic_model_config": {"conv_dim": [32] * 6}}, ValueError, ["[6, 7, 7]"]),
        ({"semantic_model_config": {"num_conv_pos_embedding_groups": 7}}, ValueError, ["7", "768"]),
        ({"semantic_model_config": {"model_type": "wavlm", "num_buckets": 2}}, ValueError, ["num_buckets is 2"]),
        ({"acoustic_model_config": {"downsampling_ratios": [8, 5, 4, 0]}}, ValueError, ["downsampling_ratios"]),
        ({"sample_rate": 0}, ValueError, ["sample_rate is 0"]),
        ({"codebook_size": 1}, ValueError, ["codebook_size is 1"]),
        ({"codebook_size": "1024"}, ValueError, ["codebook_size is '1024'"]),
        ({"target_bandwidths": ()}, ValueError, ["target_bandwidths is ()"]),
        ({"target_bandwidths": 4}, ValueError, ["target_bandwidths is 4"]),
        ({"strides": (), "channel_ratios": ()}, ValueError, ["strides is ()"]),
        ({"semantic_model_config": {"hidden_act": ["gelu"]}}, ValueError, ["hidden_act is ['gelu']"]),
        ({"semantic_model_config": {"num_attention_heads": 7}}, ValueError, ["768", "7"]),
        ({"semantic_model_config": {"adapter_attn_dim": 16}}, ValueError, ["adapter_attn_dim"]),
        ({"codebook_dim": 8}, ValueError, ["8", "1024"]),
        ({"channel_ratios": [1, 1, 1]}, ValueError, ["[1, 1, 1]"]),
        ({"channel_ratios": [1, 2]}, ValueError, ["2", "1"]),
        ({"target_bandwidths": [0.1]}, ValueError, ["0.1", "0.5"]),
    ],
)
def test_what_no_model_can_be_built_from_is_refused(config, error, words):
    with pytest.raises(error) as raised:
        XcodecModel(XcodecConfig(**config))
    for word in words:
        assert word in str(raised.value)


def test_a_model_takes_a_config_of_the_reference_and_nothing_else():
    config = transformers.XcodecConfig(**CONFIGS["wavlm"])
    assert isinstance(XcodecModel(config).config.semantic_model_config, WavLMConfig)
    wrong: Any
    for wrong in ({}, None):
        with pytest.raises(TypeError, match="must be an XcodecConfig"):
            XcodecModel(wrong)


def test_numpy_values_are_written_as_json_numbers(tmp_path):
    values: dict[str, Any] = {"codebook_size": np.int64(512), "target_bandwidths": np.array([0.5, 4.0])}
    config = XcodecConfig(**values, dtype=torch.float16)
    config.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert (stored["codebook_size"], stored["target_bandwidths"], stored["dtype"]) == (512, [0.5, 4.0], "float16")
    assert XcodecConfig.from_pretrained(tmp_path).codebook_size == 512


def test_a_config_of_another_model_or_no_json_is_refused(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "encodec"}')
    with pytest.raises(ValueError, match="encodec"):
        XcodecConfig.from_json_file(file)
    for text, words in (("{", "config.json is not valid JSON"), ("[]", "config.json must hold a JSON object")):
        file.write_text(text)
        with pytest.raises(ValueError, match=words):
            XcodecConfig.from_json_file(file)


@pytest.mark.parametrize("kind", [XcodecConfig, transformers.XcodecConfig])
def test_a_config_file_that_cannot_be_read(tmp_path, kind):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        kind.from_json_file(tmp_path / "none.json")
    with pytest.raises(IsADirectoryError):
        kind.from_json_file(tmp_path)
    with pytest.raises(ValueError, match="Expecting property name"):
        kind.from_json_file(tmp_path / "config.json")
