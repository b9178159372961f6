"""The authors' own checkpoints (zhenye234/xcodec: a .pth of tensors and a training yaml) as checkpoint folders."""

from __future__ import annotations

import io
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.checkpoint import load_state_dict
from xcodec_fast.config import XcodecConfig
from xcodec_fast.features import XcodecFeatureExtractor
from xcodec_fast.model import XcodecModel
from xcodec_fast.whole import check_readable
from xcodec_fast.words import kind_of

# The yaml's names of semantic teachers. All three have the base shape, which is what the config classes default to.
# transformers 4.56 finds out by `_name_or_path` that a teacher is no HuBERT.
TEACHERS = {
    "hubert_base": {"model_type": "hubert", "_name_or_path": "facebook/hubert-base-ls960"},
    "hubert_base_general": {"model_type": "hubert", "_name_or_path": "ZhenYe234/hubert_base_general_audio"},
    "wavlm_base_plus": {"model_type": "wavlm", "_name_or_path": "microsoft/wavlm-base-plus"},
}
# Not in the yaml: the authors' code has these widths built in.
ACOUSTIC_WIDTHS = {"encoder_hidden_size": 64, "decoder_hidden_size": 1024}

_KINDS = {"ratios": list, "D": int, "target_bandwidths": list, "sample_rate": int, "bins": int, "semantic_techer": str}
_MODULES = {
    "encoder": "acoustic_encoder",
    "decoder_2": "acoustic_decoder",
    "encoder_semantic": "encoder_semantic",
    "decoder_semantic": "decoder_semantic",
    "semantic_model": "semantic_model",
    "quantizer": "quantizer",
    "fc_prior": "fc",
    "fc_post1": "fc1",
    "fc_post2": "fc2",
}
_LONGEST_YAML = 1 << 20
_UNIT = ("snake1", "conv1", "snake2", "conv2")
_UNITS = ("res_unit1", "res_unit2", "res_unit3")
_BLOCKS = {"encoder": (*_UNITS, "snake1", "conv1"), "decoder_2": ("snake1", "conv_t1", *_UNITS)}
_WEIGHT_NORM = re.compile(r"\.(weight_[gv]|parametrizations\.weight\.original[01])$")


def convert_checkpoint(checkpoint: str | Path, config_yaml: str | Path, output_dir: str | Path) -> XcodecModel:
    """Writes config.json, model.safetensors and preprocessor_config.json, which the reference loads too.

    Args:
        checkpoint: a published .pth, or a training checkpoint, of which `codec_model` is taken; no code in it is run.
        config_yaml: the yaml that it was trained with.
        output_dir: created if need be; the files of an earlier checkpoint in it are replaced, config.json last.

    Returns:
        The model, in eval mode, in float32, on the CPU.

    Raises:
        FileNotFoundError: no such checkpoint or yaml.
        ValueError: a damaged file or one that holds more than data, a yaml that describes no model, tensors that are
            missing, of another shape, or unknown.
    """
    check_readable(checkpoint)
    config = _read_config(config_yaml)
    try:
        with torch.device("meta"):
            model = XcodecModel(config)
    except ValueError as error:
        raise ValueError(f"{config_yaml}: {error}") from error

    state = _read_tensors(checkpoint)
    depth = len(config.acoustic_model_config.downsampling_ratios)
    renamed = {name: _our_name(name, depth) for name in state}
    known = {_WEIGHT_NORM.sub(".weight", name) for name in model.state_dict()}
    names = list(renamed.values())
    if twice := sorted({ours for ours in names if names.count(ours) > 1}):
        raise ValueError(f"{checkpoint} has two tensors for each of {', '.join(twice[:5])}")
    unknown = [name for name, ours in renamed.items() if _WEIGHT_NORM.sub(".weight", ours) not in known]
    if unknown:
        raise ValueError(
            f"{checkpoint} has {len(unknown)} tensors that are not of this model: {', '.join(unknown[:5])}"
        )
    state = {ours: state[name] for name, ours in renamed.items()}
    load_state_dict(model, state, torch.float32, torch.device("cpu"))

    extractor = XcodecFeatureExtractor(sampling_rate=config.sample_rate, hop_length=config.hop_length)
    extractor.save_pretrained(output_dir)
    model.save_pretrained(output_dir)
    return model.eval()


def _read_config(path: str | Path) -> XcodecConfig:
    import yaml  # where used: nothing else needs it

    check_readable(path)
    if Path(path).stat().st_size > _LONGEST_YAML:
        raise ValueError(
            f"{path} has {Path(path).stat().st_size} bytes, but a training yaml has {_LONGEST_YAML} at most"
        )
    text = Path(path).read_bytes()
    try:
        # An alias of an alias, ten times over, is a gigabyte when it is written out.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("aliases are not supported")
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    for key in ("generator", "config"):
        content = content.get(key) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        raise ValueError(f"{path} has no mapping 'config' in a mapping 'generator'")
    for key, kind in _KINDS.items():
        if key not in content:
            raise ValueError(f"{path} has no {key!r} in generator.config")
        if type(content[key]) is not kind:  # a bool is no int here
            raise ValueError(f"{path}: {key} is {reprlib.repr(content[key])}, but must be of type {kind.__name__}")
    if content["semantic_techer"] not in TEACHERS:
        raise ValueError(
            f"{path}: semantic_techer is {reprlib.repr(content['semantic_techer'])}, but must be one of {[*TEACHERS]}"
        )
    ratios = {"downsampling_ratios": content["ratios"], "upsampling_ratios": content["ratios"]}
    return XcodecConfig(
        target_bandwidths=content["target_bandwidths"],
        sample_rate=content["sample_rate"],
        codebook_size=content["bins"],
        acoustic_model_config={**ACOUSTIC_WIDTHS, **ratios, "hidden_size": content["D"]},
        semantic_model_config=TEACHERS[content["semantic_techer"]],
    )


def _read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .pth by their original names; what else lies beside them, such as an io.BytesIO, is left out."""
    with open(path, "rb") as file:
        try:
            with torch.serialization.safe_globals([io.BytesIO]):
                content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged pickles raise errors of any kind
            raise ValueError(
                f"{path} was not loaded: it is damaged, or holds more than data and could run code"
            ) from error
    if isinstance(content, dict):
        content = content.get("codec_model", content)
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold tensors by name, but holds {kind_of(content)}")
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise ValueError(
                f"{path}: {name} is {tensor.layout} {tensor.dtype}, but must be strided and floating-point"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{path}: {name} is {list(tensor.shape)}, of which the file holds a part alone")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path}: {name} holds values that are NaN or infinite")
    # Distributed training over machines of one GPU each leaves the wrapper's prefix.
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    # Copies, as views of one storage cannot be written as safetensors.
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _our_name(name: str, depth: int) -> str:
    """Our name of an original tensor; for what is none, a name that no tensor of ours has. `depth` is of the ratios."""
    module, _, path = name.partition(".")
    if module in _BLOCKS:
        stack = ("conv1", *(f"block.{index}" for index in range(depth)), "snake1", "conv2")
        path = _nested(path, "block" if module == "encoder" else "model", stack, _BLOCKS[module], _UNIT)
    elif module in ("encoder_semantic", "decoder_semantic"):
        path = re.sub(r"\b(conv[12]?)\.conv\.", r"\1.", path)
    elif module == "quantizer":
        path = path.replace("vq.layers.", "quantizers.").replace("._codebook.", ".codebook.")
    return f"{_MODULES.get(module)}.{path}"


def _nested(path: str, prefix: str, *levels: Sequence[str]) -> str:
    """Names, not numbers, in nested nn.Sequential: model.3.block.0.block.1.bias -> block.2.res_unit1.conv1.bias."""
    *outer, innermost = path.removeprefix(f"{prefix}.").split(".block.")
    number, _, leaf = innermost.partition(".")
    by_number = [{str(index): name for index, name in enumerate(level)} for level in levels]
    if not path.startswith(f"{prefix}.") or len(outer) >= len(levels):
        return "?"
    names = [level.get(key, "?") for key, level in zip((*outer, number), by_number, strict=False)]
    return ".".join((*names, leaf))
