"""Refusals of configs from which no model can be built: each names the field, its value and what is allowed."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from xcodec_fast.config import HubertConfig, WavLMConfig, XcodecConfig
from xcodec_fast.semantic_functional import ACTIVATIONS
from xcodec_fast.words import kind_of

_MOST_QUANTIZERS = 1024


def as_checked_config(config: Any) -> XcodecConfig:
    """The config, or ours for one of the reference, if a model can be built from it.

    Raises TypeError for what is no config, ValueError for one that fits no model.
    """
    if not isinstance(config, XcodecConfig):
        if not hasattr(config, "to_dict"):
            raise TypeError(f"config must be an XcodecConfig, but is {kind_of(config)}")
        config = XcodecConfig.from_dict(config.to_dict())
    _check_numbers(config)
    _check_semantic(config.semantic_model_config)
    _check_fit(config)
    return config


def _refuse(problem: str) -> None:
    raise ValueError(f"unsupported configuration: {problem}")


def _check_numbers(config: XcodecConfig) -> None:
    acoustic, semantic = config.acoustic_model_config, config.semantic_model_config
    _require_integers(config, "sample_rate", "kernel_size", "unit_kernel_size", "codebook_size")
    _require_integers(acoustic, "encoder_hidden_size", "decoder_hidden_size", "hidden_size")
    _require_integers(semantic, "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    _require_integers(semantic, "num_conv_pos_embeddings", "num_conv_pos_embedding_groups")
    _require_lists(config, "strides", "block_dilations", integers=True)
    _require_lists(config, "target_bandwidths", "channel_ratios", integers=False)
    _require_lists(acoustic, "downsampling_ratios", "upsampling_ratios", integers=True, least=2)
    _require_lists(semantic, "conv_dim", "conv_stride", "conv_kernel", integers=True)
    if config.codebook_size < 2:
        _refuse(f"codebook_size is {config.codebook_size}, but must be 2 or more")


def _require_integers(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not _is_number(value, integers=True) or value < 1:
            _refuse(f"{name} is {value!r}, but must be an integer of 1 or more")


def _require_lists(config: Any, *names: str, integers: bool, least: int = 1) -> None:
    kind = f"integers of {least} or more" if integers else "positive numbers"
    for name in names:
        values = getattr(config, name)
        if not isinstance(values, list | tuple) or not values:
            _refuse(f"{name} is {values!r}, but must be a list of {kind}")
        if any(not _is_number(value, integers) or value < (least if integers else 1e-9) for value in values):
            _refuse(f"{name} is {list(values)}, but must hold {kind}")


def _is_number(value: Any, integers: bool) -> bool:
    return isinstance(value, int if integers else Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_semantic(semantic: HubertConfig | WavLMConfig) -> None:
    lengths = [len(semantic.conv_dim), len(semantic.conv_stride), len(semantic.conv_kernel)]
    if len(set(lengths)) > 1:
        _refuse(f"conv_dim, conv_stride and conv_kernel have {lengths} entries, but must have equally many")
    if semantic.feat_extract_norm not in ("group", "layer"):
        _refuse(f"feat_extract_norm is {semantic.feat_extract_norm!r}, but must be 'group' or 'layer'")
    for name in ("hidden_act", "feat_extract_activation"):
        if not isinstance(getattr(semantic, name), str) or getattr(semantic, name) not in ACTIVATIONS:
            _refuse(f"{name} is {getattr(semantic, name)!r}, but must be one of {list(ACTIVATIONS)}")
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if semantic.hidden_size % getattr(semantic, name):
            _refuse(f"{name} is {getattr(semantic, name)}, but must divide hidden_size {semantic.hidden_size}")
    if getattr(semantic, "adapter_attn_dim", None) is not None or getattr(semantic, "add_adapter", False):
        _refuse("adapters (adapter_attn_dim, add_adapter) in the semantic model are not supported")
    if isinstance(semantic, WavLMConfig):
        _require_integers(semantic, "num_buckets", "max_bucket_distance")
        if semantic.num_buckets < 4 or semantic.max_bucket_distance <= semantic.num_buckets // 4:
            _refuse(
                f"num_buckets is {semantic.num_buckets} and max_bucket_distance {semantic.max_bucket_distance}, but "
                "there must be 4 buckets or more, and the distance be above a quarter of them"
            )


def _check_fit(config: XcodecConfig) -> None:
    acoustic, semantic, hop = config.acoustic_model_config, config.semantic_model_config, config.hop_length
    if len(config.strides) != len(config.channel_ratios):
        _refuse(
            f"strides {list(config.strides)} and channel_ratios {list(config.channel_ratios)} must have equally many"
        )
    semantic_hop = math.prod(semantic.conv_stride) * math.prod(config.strides)
    if semantic_hop != hop:
        _refuse(
            f"the semantic branch has a frame every {semantic_hop} samples (conv_stride x strides), "
            f"the acoustic one every {hop} (downsampling_ratios): they must be equal"
        )
    if math.prod(acoustic.upsampling_ratios) != hop:
        _refuse(
            f"upsampling_ratios {list(acoustic.upsampling_ratios)} multiply to "
            f"{math.prod(acoustic.upsampling_ratios)}, but must give the hop of {hop}"
        )
    if config.codebook_dim != config.hidden_size:
        _refuse(f"codebook_dim is {config.codebook_dim}, but must be acoustic + semantic width, {config.hidden_size}")
    if int(config.semantic_hidden_size * config.channel_ratios[-1]) != config.semantic_hidden_size:
        _refuse(f"the last of channel_ratios is {config.channel_ratios[-1]}, but must be 1")
    if config.num_quantizers > _MOST_QUANTIZERS:
        _refuse(
            f"target_bandwidths end at {config.target_bandwidths[-1]} kbps, which pays for {config.num_quantizers} "
            f"stages, but there may be at most {_MOST_QUANTIZERS}"
        )
    if config.num_quantizers < 1:
        _refuse(
            f"target_bandwidths end at {config.target_bandwidths[-1]} kbps, but a stage of {config.codebook_size} "
            f"codes at {config.frame_rate} frames/s needs {config.frame_rate * config.codebook_nbits / 1000} kbps"
        )
