"""Checkpoints go both ways between us and the reference, in every layout, and never lose a tensor in silence."""

import copy
import json
import shutil
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from xcodec_fast import XcodecConfig, XcodecModel

from .equality import assert_same_audio
from .pairs import CONFIGS

NAMES = ("hubert", "hubert-stable", "hubert-batch-norm", "wavlm", "ratio-3")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("max_shard_size", ["5GB", "300KB"])
def test_what_the_reference_saves_we_load(pair, speech, tmp_path, name, max_shard_size):
    both, audio = pair(name), speech[None, None, :16000]
    both.reference.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (max_shard_size == "300KB")
    ours = XcodecModel.from_pretrained(tmp_path)
    assert not ours.training
    assert torch.equal(ours.encode(audio).audio_codes, both.ours.encode(audio).audio_codes)
    assert ours.state_dict().keys() == both.reference.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("max_shard_size", ["5GB", "300KB"])
def test_what_we_save_the_reference_loads(pair, speech, tmp_path, name, max_shard_size):
    both, audio = pair(name), speech[None, None, :16000]
    both.ours.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    reference = transformers.XcodecModel.from_pretrained(tmp_path).eval()
    assert torch.equal(reference.encode(audio).audio_codes, both.reference.encode(audio).audio_codes)
    for key, tensor in both.reference.state_dict().items():
        assert torch.equal(tensor, reference.state_dict()[key]), key
    again = XcodecModel.from_pretrained(tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), both.ours.state_dict().values(), strict=True)
    )
    stored = json.loads((tmp_path / "config.json").read_text())
    assert (stored["dtype"], stored["architectures"]) == ("float32", ["XcodecModel"])


def test_a_save_replaces_an_earlier_one_even_in_the_folder_it_was_loaded_from(tiny, tmp_path):
    tiny.save_pretrained(tmp_path, max_shard_size="300KB")
    model = XcodecModel.from_pretrained(tmp_path)
    with torch.no_grad():
        model.fc.bias.add_(1)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = XcodecModel.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path)
    assert torch.equal(XcodecModel.from_pretrained(tmp_path).fc.bias, tiny.fc.bias + 1)


def test_a_save_leaves_other_files_alone_and_a_failed_one_the_old(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    for name in ("model_best.safetensors", "model-ema.safetensors"):
        (tmp_path / name).write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="5XB"):
        tiny.save_pretrained(tmp_path, max_shard_size="5XB")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    tiny.save_pretrained(tmp_path)
    assert (tmp_path / "model_best.safetensors").read_bytes() == b"mine"


def _weight_normed(state: dict[str, torch.Tensor], names: tuple[str, str]) -> dict[str, torch.Tensor]:
    """Every acoustic weight as magnitude and direction, the direction of arbitrary length."""
    layout = {}
    for name, tensor in state.items():
        if name.startswith("acoustic_") and name.endswith(".weight"):
            stem = name.removesuffix(".weight")
            layout[stem + names[0]] = tensor.norm(dim=(1, 2), keepdim=True)
            layout[stem + names[1]] = 3 * tensor
        else:
            layout[name] = tensor
    return layout


PARAMETRIZED = (".parametrizations.weight.original0", ".parametrizations.weight.original1")


@pytest.mark.parametrize("acoustic", [None, PARAMETRIZED, (".weight_g", ".weight_v")])
@pytest.mark.parametrize("positional", [PARAMETRIZED, (".weight_g", ".weight_v"), None])
def test_every_weight_norm_layout(pair, speech, tmp_path, acoustic, positional):
    ours = pair("wavlm").ours
    state = dict(ours.state_dict())
    if acoustic:
        state = _weight_normed(state, acoustic)
    conv = "semantic_model.encoder.pos_conv_embed.conv"
    g, v = (state.pop(conv + name) for name in PARAMETRIZED)
    if positional:
        state.update({conv + positional[0]: g, conv + positional[1]: v})
    else:
        state[conv + ".weight"] = g * v / v.norm(dim=(0, 1), keepdim=True)
    ours.config.save_pretrained(tmp_path)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    loaded = XcodecModel.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == ours.state_dict().keys()
    audio = speech[None, None, :8000]
    assert torch.equal(loaded.encode(audio).audio_codes, ours.encode(audio).audio_codes)
    codes = torch.arange(80).view(1, 8, 10)
    torch.testing.assert_close(loaded.decode(codes).audio_values, ours.decode(codes).audio_values, rtol=1e-4, atol=1e-5)


def _edit(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def test_keys_of_training_are_optional_and_all_others_required(pair, speech, tmp_path):
    ours, audio = pair("hubert").ours, speech[None, None, :8000]
    ours.save_pretrained(tmp_path)
    optional = ("fc1.", "decoder_semantic.", "embed_avg", "cluster_size", "inited", "masked_spec_embed")

    def drop(state):
        for name in [name for name in state if any(word in name for word in optional)]:
            del state[name]

    _edit(tmp_path, drop)
    loaded = XcodecModel.from_pretrained(tmp_path)
    assert torch.equal(loaded.encode(audio).audio_codes, ours.encode(audio).audio_codes)
    book = loaded.quantizer.quantizers[0].codebook
    assert torch.equal(book.embed_avg, book.embed)
    assert torch.isfinite(loaded.decoder_semantic.conv1.weight).all()

    for name in ("quantizer.quantizers.3.codebook.embed", "fc.bias", "acoustic_decoder.conv1.weight"):
        shutil.copytree(tmp_path, tmp_path / name)
        _edit(tmp_path / name, lambda state, name=name: state.pop(name))
        with pytest.raises(ValueError, match=f"lacks 1 .*{name}"):
            XcodecModel.from_pretrained(tmp_path / name)


def test_damaged_and_unfitting_files(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    _edit(tmp_path, lambda state: state.update({"fc.bias": torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"fc.bias is \[3\], but the config makes it \[96\]"):
        XcodecModel.from_pretrained(tmp_path)
    tiny.save_pretrained(tmp_path)
    _edit(tmp_path, lambda state: state.update({"lm_head.weight": torch.zeros(3)}))
    with pytest.warns(UserWarning, match="lm_head.weight"):
        XcodecModel.from_pretrained(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(ValueError, match=r"model.safetensors is not a whole safetensors file"):
        XcodecModel.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors, and no model\.safetensors\.index\.json"):
        XcodecModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", "[]", r"config\.json must hold a JSON object"),
        ("model.safetensors.index.json", "{", r"index\.json is not valid JSON"),
        ("model.safetensors.index.json", "{}", "has no weight_map"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../x.safetensors"}}', "own folder"),
    ],
)
def test_damaged_json(tiny, tmp_path, name, text, words):
    tiny.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        XcodecModel.from_pretrained(tmp_path)


def test_a_file_without_weights(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    save_file({"step": torch.zeros(1, dtype=torch.long)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="no floating-point tensors"):
        XcodecModel.from_pretrained(tmp_path)


def test_double_precision_weight_norm_stays_exact(pair, tmp_path):
    ours = copy.deepcopy(pair("hubert").ours).double()
    ours.save_pretrained(tmp_path)
    save_file(_weight_normed(dict(ours.state_dict()), PARAMETRIZED), tmp_path / "model.safetensors")
    codes = torch.arange(80).view(1, 8, 10)
    with torch.no_grad():
        assert_same_audio(
            ours.decode(codes).audio_values, XcodecModel.from_pretrained(tmp_path).decode(codes).audio_values
        )


def test_dtype_is_the_one_asked_for_else_of_the_config_else_of_the_weights(tiny, tmp_path):
    half = XcodecModel.from_pretrained("xcodec-tiny", dtype="float16")
    assert half.dtype == half.quantizer.quantizers[0].codebook.embed.dtype == torch.float16
    assert XcodecModel.from_pretrained("xcodec-tiny", torch_dtype=torch.bfloat16).dtype == torch.bfloat16
    assert XcodecModel.from_pretrained("xcodec-tiny", dtype="auto").dtype == torch.float32
    half.save_pretrained(tmp_path)
    assert XcodecModel.from_pretrained(tmp_path).dtype == torch.float16
    config = json.loads((tmp_path / "config.json").read_text())
    del config["dtype"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert XcodecModel.from_pretrained(tmp_path).dtype == torch.float16
    (tmp_path / "config.json").write_text(json.dumps({**config, "torch_dtype": "bfloat16"}))
    assert XcodecModel.from_pretrained(tmp_path).dtype == torch.bfloat16
    for wrong in ("float33", torch.int64):
        with pytest.raises(ValueError, match=r"int64|float33"):
            XcodecModel.from_pretrained("xcodec-tiny", dtype=wrong)


def test_device_options():
    expected = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    assert XcodecModel.from_pretrained("xcodec-tiny", device_map="auto").device == expected
    assert XcodecModel.from_pretrained("xcodec-tiny", device="cpu").device == torch.device("cpu")
    with pytest.raises(ValueError, match="not both"):
        XcodecModel.from_pretrained("xcodec-tiny", device="cpu", device_map="auto")
    load: Any = XcodecModel.from_pretrained
    with pytest.raises(TypeError, match="one device"):
        load("xcodec-tiny", device_map={"": 0})
    for device in ("foo", "cuda:99", "balanced"):
        with pytest.raises(ValueError, match=f"'{device}' cannot be used"):
            load("xcodec-tiny", device_map=device)
    with pytest.raises(ValueError, match="device 'gpu' cannot be used: it must be 'cpu', 'cuda', 'cuda:N', 'mps' or"):
        load("xcodec-tiny", device_map="gpu")
    if not torch.backends.mps.is_available():
        with pytest.raises(ValueError, match="cannot be used") as raised:
            load("xcodec-tiny", device="mps")
        assert len(str(raised.value)) < 150
    with pytest.raises(TypeError, match="but is None"):
        load(None)
    with pytest.raises(ValueError, match="empty"):
        load("")
    with pytest.raises(TypeError, match="attn_implementation"):
        load("xcodec-tiny", attn_implementation="sdpa")


@pytest.mark.parametrize("name", ["hubert", "wavlm"])
def test_a_new_model_draws_every_weight_as_the_reference_does(name):
    """Same spread tensor by tensor, so that training from scratch starts alike (but for the pre-trained part)."""
    ours = XcodecModel(XcodecConfig(**CONFIGS[name])).state_dict()
    reference = transformers.XcodecModel(transformers.XcodecConfig(**CONFIGS[name])).state_dict()
    assert ours.keys() == reference.keys()
    for key, expected in reference.items():
        assert ours[key].shape == expected.shape
        if expected.numel() > 500 and not key.startswith("semantic_model."):
            assert float(ours[key].std()) == pytest.approx(float(expected.std()), rel=0.15), key
