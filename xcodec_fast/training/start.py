"""The model that a run starts from: a new one of the recipe's config, or a checkpoint."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from xcodec_fast.checkpoint import OPTIONAL_MODULES, tensor_names
from xcodec_fast.config import XcodecConfig
from xcodec_fast.hub import Source
from xcodec_fast.model import XcodecModel
from xcodec_fast.training.recipe import Recipe


class Start(NamedTuple):
    """drawn: the parts whose weights are new; of a checkpoint, those that it lacks."""

    model: XcodecModel
    drawn: tuple[str, ...]


def start(recipe: Recipe, device: torch.device) -> Start:
    """The model in training mode. New convolutions are drawn as PyTorch does.

    X-Codec's own draws let narrow acoustic layers fade to nothing, and the semantic decoder begin 100 times too loud.

    Raises ValueError where the recipe's config has keys that no model reads, or the recipe steps before the
    quantizer's first, but the model is quantized already; and as `XcodecModel.from_pretrained` does.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if isinstance(recipe.model, str):
            model = XcodecModel.from_pretrained(recipe.model, dtype=torch.float32)
            held = tensor_names(Source(recipe.model))
            drawn = tuple(part for part in OPTIONAL_MODULES if not any(name.startswith(f"{part}.") for name in held))
        else:
            model = XcodecModel(_config(recipe.model))
            drawn = tuple(name for name, _ in model.named_children() if name != "semantic_model")
        for part in drawn:
            _draw_weights(model.get_submodule(part))
    if recipe.quantize_from and model.quantizer.is_filled():
        raise ValueError(f"quantize_from is {recipe.quantize_from}, but must be 0: the model is quantized already")
    return Start(model.to(device).train(), drawn)


def _config(values: dict[str, Any]) -> XcodecConfig:
    """Unlike a checkpoint's config.json, which may hold keys of others, a recipe's is written by hand."""
    config = XcodecConfig.from_dict(values)
    for part, name in (
        (config, "model"),
        (config.acoustic_model_config, "acoustic_model_config"),
        (config.semantic_model_config, "semantic_model_config"),
    ):
        known = vars(type(part)()).keys() | {"model_type"}
        if unknown := sorted(vars(part).keys() - known):
            raise ValueError(f"{name} has unknown keys {', '.join(unknown)}; it may have {', '.join(sorted(known))}")
    return config


def _draw_weights(part: nn.Module) -> None:
    for layer in part.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            layer.reset_parameters()
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
