"""A model as the original authors' code stores it: a training yaml, and the state dict by its names."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from xcodec_fast import XcodecModel

YAML = """\
generator:
  name: SoundStream
  config:
    n_filters: 32
    D: {D}
    target_bandwidths: [0.5, 1, 1.5, 2, 4]
    ratios: {ratios} # downsampling by 320
    sample_rate: 16000
    bins: 1024
    semantic_techer: {teacher}
optimizer:
  g: {{name: AdamW, config: {{lr: 2e-4, betas: [0.8, 0.99]}}}}
"""
PARAMETRIZED = (".parametrizations.weight.original0", ".parametrizations.weight.original1")
OLDER = (".weight_g", ".weight_v")


@torch.no_grad()
def _normed(layer: Any) -> nn.Module:
    normed: Any = nn.utils.parametrizations.weight_norm(copy.deepcopy(layer))
    normed.parametrizations.weight.original1.mul_(3)
    layer.weight.copy_(normed.weight)
    return normed


def _unit(unit: Any) -> nn.Module:
    return nn.ModuleDict({"block": nn.Sequential(unit.snake1, _normed(unit.conv1), unit.snake2, _normed(unit.conv2))})


def _units(block: Any) -> list[nn.Module]:
    return [_unit(block.res_unit1), _unit(block.res_unit2), _unit(block.res_unit3)]


def _encoder_block(block: Any) -> nn.Module:
    return nn.ModuleDict({"block": nn.Sequential(*_units(block), block.snake1, _normed(block.conv1))})


def _decoder_block(block: Any) -> nn.Module:
    return nn.ModuleDict({"block": nn.Sequential(block.snake1, _normed(block.conv_t1), *_units(block))})


def _stack(acoustic: Any, blocks: list[nn.Module]) -> nn.Module:
    return nn.Sequential(_normed(acoustic.conv1), *blocks, acoustic.snake1, _normed(acoustic.conv2))


def _wrapped(conv: nn.Module) -> nn.Module:
    return nn.ModuleDict({"conv": conv})


def _semantic_blocks(blocks: Any) -> nn.Module:
    return nn.ModuleList(
        nn.ModuleDict(
            {
                "res_units": nn.ModuleList(
                    nn.ModuleDict({"conv1": _wrapped(unit.conv1), "conv2": unit.conv2}) for unit in block.res_units
                ),
                "conv": _wrapped(block.conv),
            }
        )
        for block in blocks
    )


def original_state(model: XcodecModel, weight_norm: tuple[str, str]) -> dict[str, Any]:
    """The model's tensors under the names that the module tree of the authors' SoundStream gives them.

    Each acoustic weight is split, the direction of another length than the weight's, and then set to what the two
    give, as that may round in the last bit.
    """
    encoder, decoder = model.acoustic_encoder, model.acoustic_decoder
    tree = nn.ModuleDict(
        {
            "encoder": nn.ModuleDict({"block": _stack(encoder, [_encoder_block(block) for block in encoder.block])}),
            "encoder_semantic": nn.ModuleDict(
                {
                    "conv": _wrapped(model.encoder_semantic.conv),
                    "conv_blocks": _semantic_blocks(model.encoder_semantic.conv_blocks),
                }
            ),
            "decoder_semantic": nn.ModuleDict(
                {
                    "conv1": _wrapped(model.decoder_semantic.conv1),
                    "conv_blocks": _semantic_blocks(model.decoder_semantic.conv_blocks),
                    "conv2": _wrapped(model.decoder_semantic.conv2),
                }
            ),
            "quantizer": nn.ModuleDict(
                {
                    "vq": nn.ModuleDict(
                        {
                            "layers": nn.ModuleList(
                                nn.ModuleDict({"_codebook": stage.codebook}) for stage in model.quantizer.quantizers
                            )
                        }
                    )
                }
            ),
            "decoder_2": nn.ModuleDict({"model": _stack(decoder, [_decoder_block(block) for block in decoder.block])}),
            "semantic_model": model.semantic_model,
            "fc_prior": model.fc,
            "fc_post1": model.fc1,
            "fc_post2": model.fc2,
        }
    )
    state = {}
    for name, tensor in tree.state_dict().items():
        for now, named in zip(PARAMETRIZED, weight_norm, strict=True):
            name = name.replace(now, named)
        state[name] = tensor
    return state
