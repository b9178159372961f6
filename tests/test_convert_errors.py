"""Checkpoints and yamls that cannot be converted, hostile ones among them: one error, and nothing written."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
import torch

from xcodec_fast.convert import convert_checkpoint

from .original import OLDER, YAML, original_state


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("generator:", "generator: [", "config.yaml is not valid YAML: "),
        (YAML, "- 1\n", "config.yaml has no mapping 'config' in a mapping 'generator'"),
        ("  config:\n    n_filters", "  configuration:\n    n_filters", "config.yaml has no mapping 'config'"),
        ("    bins: 1024\n", "", "config.yaml has no 'bins' in generator.config"),
        ("ratios: {ratios}", "ratios: 320", "config.yaml: ratios is 320, but must be of type list"),
        ("D: {D}", "D: true", "config.yaml: D is True, but must be of type int"),
        ("sample_rate: 16000", "sample_rate: 16k", "config.yaml: sample_rate is '16k', but must be of type int"),
        ("ratios: {ratios}", "ratios: [8, 5, four, 2]", "config.yaml: .*ratios is .*'four'"),
        ("ratios: {ratios}", "ratios: [8, 5, 4]", "config.yaml: .* acoustic one every 160"),
        (
            "semantic_techer: {teacher}",
            "semantic_techer: mert",
            "config.yaml: semantic_techer is 'mert', but must be one of .*hubert_base.*wavlm_base_plus",
        ),
    ],
)
def test_yaml_that_describes_no_model(tmp_path, old, new, words):
    assert old in YAML
    text = YAML.replace(old, new).replace("{{", "{").replace("}}", "}")
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("{D}", "24").replace("{ratios}", "[8, 5, 4, 2]").replace("{teacher}", "hubert_base"))
    torch.save({}, tmp_path / "original.pth")
    with pytest.raises(ValueError, match=words) as caught:
        convert_checkpoint(tmp_path / "original.pth", path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


class _Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("run",)


def test_files_that_are_missing_damaged_or_hold_code(pair, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config_yaml, checkpoint = source(pair("hubert").ours), tmp_path / "original.pth"
    with pytest.raises(FileNotFoundError, match=r"original\.pth"):
        convert_checkpoint(checkpoint, config_yaml, "out")

    torch.save({"fc_prior.bias": torch.zeros(2000), "code": _Code()}, checkpoint)
    code = checkpoint.read_bytes()
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        convert_checkpoint(checkpoint, tmp_path / "none.yaml", "out")
    torch.save({"fc_prior.bias": torch.zeros(2000)}, checkpoint)
    whole = checkpoint.read_bytes()
    for content in (code, whole[:-3000], b"", b"<html>"):
        checkpoint.write_bytes(content)
        with pytest.raises(ValueError, match=r"original\.pth was not loaded: it is damaged, or holds more") as caught:
            convert_checkpoint(checkpoint, config_yaml, "out")
        assert "\n" not in str(caught.value)
    for no_state in ([torch.zeros(1)], {"codec_model": torch.zeros(1)}):
        torch.save(no_state, checkpoint)
        with pytest.raises(ValueError, match=r"original\.pth must hold tensors by name, but holds a (list|Tensor)"):
            convert_checkpoint(checkpoint, config_yaml, "out")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fc_prior.bias": None}, r"lacks 1 .*: fc\.bias"),
        ({"decoder_2.model.2.block.3.block.1.weight_v": None}, r"lacks 1 .*block\.1\.res_unit2\.conv1\.weight"),
        ({"quantizer.vq.layers.7._codebook.embed": None}, r"lacks 1 .*quantizers\.7\.codebook\.embed"),
        ({"fc_prior.bias": torch.zeros(3)}, r"fc\.bias is \[3\], but the config makes it \[72\]"),
        (
            {"quantizer.vq.layers.8._codebook.embed": torch.zeros(1)},
            "has 1 tensors .*: quantizer.vq.layers.8._codebook",
        ),
        (
            {"decoder.layers.0.weight": torch.zeros(1), "step": torch.zeros(1)},
            "has 2 .*: decoder.layers.0.weight, step",
        ),
        ({"encoder.block.7.bias": torch.zeros(1)}, r"has 1 tensors .*: encoder\.block\.7\.bias"),
        (
            {"encoder.block.1.block.0.block.4.alpha": torch.zeros(1)},
            "has 1 tensors .*: encoder.block.1.block.0.block.4",
        ),
        ({"fc.bias": torch.zeros(1)}, r"has 1 tensors .*: fc\.bias"),
    ],
)
def test_tensors_of_another_model(pair, source, tmp_path, changes, words):
    ours = copy.deepcopy(pair("hubert").ours)
    state = original_state(ours, OLDER)
    assert all(name in state for name, tensor in changes.items() if tensor is None)
    changed = {name: tensor for name, tensor in {**state, **changes}.items() if tensor is not None}
    torch.save(changed, tmp_path / "original.pth")
    with pytest.raises(ValueError, match=words):
        convert_checkpoint(tmp_path / "original.pth", source(ours), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _hostile_yaml(what, path):
    text = YAML.format(D=24, ratios=[8, 5, 4, 2], teacher="hubert_base")
    if what == "aliases":
        bomb = "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 12))
        text = "b0: &b0 [x]\n" + bomb + text.replace("bins: 1024", "bins: *b11")
    elif what == "deep":
        text = "[" * 3000
    elif what == "date":
        text = text.replace("bins: 1024", "bins: 2001-99-99")
    elif what == "nan":
        text = text.replace("[0.5, 1, 1.5, 2, 4]", "[.nan]")
    elif what == "long":
        text += "#" * (1 << 20)
    else:
        os.mkfifo(path)
        return
    path.write_text(text)


@pytest.mark.parametrize("what", ["aliases", "deep", "date", "nan", "long", "pipe"])
def test_a_hostile_yaml_is_one_error_at_once(tmp_path, what):
    torch.save({}, tmp_path / "original.pth")
    _hostile_yaml(what, tmp_path / "config.yaml")
    with pytest.raises((ValueError, FileNotFoundError), match=r"config\.yaml") as caught:
        convert_checkpoint(tmp_path / "original.pth", tmp_path / "config.yaml", tmp_path / "out")
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("fc_prior.bias", lambda tensor: torch.zeros(1).expand(10**13), "of which the file holds a part alone"),
        ("fc_prior.bias", lambda tensor: tensor.long(), "must be strided and floating-point"),
        ("fc_prior.bias", lambda tensor: tensor.to_sparse(), "must be strided and floating-point"),
        ("fc_prior.bias", lambda tensor: tensor * torch.nan, "NaN or infinite"),
        ("encoder.block.1.block.0.block.0.block.0.alpha", lambda tensor: torch.ones(1, 8, 1), "not of this model"),
        ("encoder.1.block.0.block.0.alpha", lambda tensor: torch.ones(1, 8, 1), "not of this model"),
        ("quantizer.quantizers.0.codebook.embed", lambda tensor: torch.ones(1), "two tensors for each of quantizer"),
    ],
)
def test_hostile_tensors(pair, source, tmp_path, name, change, words):
    ours = copy.deepcopy(pair("hubert").ours)
    config_yaml = source(ours)
    state = original_state(ours, OLDER)
    torch.save({**state, name: change(state.get(name))}, tmp_path / "original.pth")
    with pytest.raises(ValueError, match=words):
        convert_checkpoint(tmp_path / "original.pth", config_yaml, tmp_path / "out")
    assert not (tmp_path / "out").exists()
