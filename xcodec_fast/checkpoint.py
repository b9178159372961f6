"""A checkpoint's weights: safetensors, single or sharded, with and without weight norm, read and written."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from xcodec_fast.config import CONFIG_FILE, XcodecConfig
from xcodec_fast.hub import Source

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_OURS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
# Used in training only, so that a checkpoint may leave them out.
OPTIONAL_MODULES = ("fc1", "decoder_semantic")
_OPTIONAL_TENSORS = ("embed_avg", "cluster_size", "inited", "masked_spec_embed")
_ORIGINAL0, _ORIGINAL1 = ".parametrizations.weight.original0", ".parametrizations.weight.original1"


def read_state_dict(source: Source) -> dict[str, Tensor]:
    """All tensors of a checkpoint. Raises FileNotFoundError without weights, ValueError where they are damaged."""
    files = _files(source)
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state.update(load_file(file))
        except SafetensorError as error:
            raise ValueError(f"{file} is not a whole safetensors file: {error}") from error
    if not any(tensor.is_floating_point() for tensor in state.values()):
        raise ValueError(f"{', '.join(map(str, files))} holds no floating-point tensors")
    return state


def tensor_names(source: Source) -> set[str]:
    """The names of a checkpoint's tensors, which are not read. Raises as `read_state_dict` does without weights."""
    names: set[str] = set()
    for path in _files(source):
        with safe_open(path, "pt") as file:
            names.update(file.keys())
    return names


def _files(source: Source) -> list[Path]:
    try:
        return [source.file(SINGLE)]
    except FileNotFoundError as single_missing:
        try:
            index = source.json(INDEX)
        except FileNotFoundError:
            raise FileNotFoundError(f"{single_missing}, and no {INDEX} either") from single_missing
        return [source.file(name) for name in _shards(index)]


def _shards(index: dict[str, Any]) -> list[str]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{INDEX} has no weight_map of tensors to files")
    names = sorted(set(map(str, weight_map.values())))
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{INDEX} names {name!r}; a shard must lie in the checkpoint's own folder")
    return names


def load_state_dict(model: nn.Module, state: dict[str, Tensor], dtype: torch.dtype, device: torch.device) -> None:
    """Gives the tensors of `state` to a model built on the meta device, in any of the weight-norm layouts.

    Raises ValueError naming each required tensor that is missing, and each of another shape; warns of unknown ones.
    """
    expected = model.state_dict()
    state = _in_layout_of(state, expected)
    missing = [name for name in expected if name not in state]
    required = [name for name in missing if not is_optional(name)]
    if required:
        raise ValueError(f"the checkpoint lacks {len(required)} of the model's tensors: {_some(required)}")
    wrong = [
        f"{name} is {list(state[name].shape)}, but the config makes it {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if wrong:
        raise ValueError(f"{len(wrong)} tensors of the checkpoint have another shape: {_some(wrong)}")
    unknown = [name for name in state if name not in expected]
    if unknown:
        warnings.warn(f"the checkpoint's tensors {_some(unknown)} are not used", stacklevel=3)
    for name in missing:
        state[name] = _default(name, expected[name].shape, state)
    converted = {name: _converted(state[name], dtype, device) for name in expected}
    model.load_state_dict(converted, assign=True)


def write_checkpoint(
    state: Mapping[str, Tensor],
    config: XcodecConfig,
    dtype: torch.dtype,
    folder: str | Path,
    max_shard_size: int | str = "5GB",
) -> None:
    """Writes config.json and model.safetensors, or shards with their index, into a folder, created if need be.

    dtype: what the model loads as, whatever the tensors of `state` are.
    Files of an earlier save are replaced when all new ones are whole, the config last; other files are left alone.
    """
    from huggingface_hub import save_torch_state_dict  # where used: it takes a quarter of a second to import

    config = copy(config)
    vars(config).pop("torch_dtype", None)
    vars(config).update(architectures=["XcodecModel"], dtype=dtype)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, then renamed: the tensors may still be mapped from the file that is replaced.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        save_torch_state_dict(dict(state), temporary, max_shard_size=max_shard_size)
        written = [path.name for path in Path(temporary).iterdir()]
        config.save_pretrained(temporary)
        for name in (*written, CONFIG_FILE):
            os.replace(Path(temporary) / name, folder / name)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in written:
            path.unlink()


def _converted(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def is_optional(name: str) -> bool:
    """Whether a checkpoint may leave this tensor out: only training reads it."""
    return name.partition(".")[0] in OPTIONAL_MODULES or name.rpartition(".")[2] in _OPTIONAL_TENSORS


def _default(name: str, shape: torch.Size, state: Mapping[str, Tensor]) -> Tensor:
    """A start value for what a checkpoint may leave out."""
    leaf = name.rpartition(".")[2]
    if leaf == "inited":
        return torch.ones(shape)
    if leaf in ("cluster_size", "bias"):
        return torch.zeros(shape)
    if leaf == "embed_avg":
        return state[name.removesuffix("_avg")].clone()
    if leaf == "masked_spec_embed":
        return torch.rand(shape)
    return nn.init.kaiming_normal_(torch.empty(shape))


def _in_layout_of(state: Mapping[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """Renames, folds or splits weight-normed tensors, so that the names are those of `expected`."""
    state = dict(state)
    for name in expected:
        if name in state:
            continue
        if name.endswith(_ORIGINAL0):
            _parametrize(state, name.removesuffix(_ORIGINAL0), expected[name].shape)
        elif name.endswith(".weight"):
            _fold(state, name.removesuffix(".weight"))
    return state


def _factors(state: dict[str, Tensor], stem: str) -> tuple[Tensor, Tensor] | None:
    for magnitude, direction in ((_ORIGINAL0, _ORIGINAL1), (".weight_g", ".weight_v")):
        if stem + magnitude in state and stem + direction in state:
            return state.pop(stem + magnitude), state.pop(stem + direction)
    return None


def _fold(state: dict[str, Tensor], stem: str) -> None:
    """weight = g v / |v|, the norm over every dimension but the one along which g varies."""
    factors = _factors(state, stem)
    if factors is not None:
        g, v = map(_at_least_single, factors)
        dim = next((i for i, size in enumerate(g.shape) if size > 1), 0)
        state[stem + ".weight"] = torch._weight_norm(v, g, dim).to(factors[1].dtype)


def _parametrize(state: dict[str, Tensor], stem: str, shape_of_g: torch.Size) -> None:
    """The inverse: v = weight, g = |weight|; older names are changed to today's."""
    factors = _factors(state, stem)
    if factors is None and stem + ".weight" in state:
        weight = state.pop(stem + ".weight")
        dims = [i for i, size in enumerate(shape_of_g) if size == 1]
        factors = _at_least_single(weight).norm(dim=dims, keepdim=True).to(weight.dtype), weight
    if factors is not None:
        state[stem + _ORIGINAL0], state[stem + _ORIGINAL1] = factors


def _at_least_single(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
