"""Configurations, and the reference and our model holding the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor

from xcodec_fast import XcodecConfig, XcodecModel
from xcodec_fast.seeding import seeded_model

_SEMANTIC = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "conv_dim": [24] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_ACOUSTIC = {"encoder_hidden_size": 8, "decoder_hidden_size": 64, "hidden_size": 24}


def _config(model_type: str, more: dict[str, Any] | None = None, **codec: Any) -> dict[str, Any]:
    semantic = {"model_type": model_type, **_SEMANTIC, **(more or {})}
    return {"acoustic_model_config": _ACOUSTIC, "semantic_model_config": semantic, **codec}


_STABLE = {"do_stable_layer_norm": True}
_LAYER = {"feat_extract_norm": "layer"}
CONFIGS = {
    "hubert": _config("hubert"),
    "hubert-layer": _config("hubert", {**_LAYER, "conv_bias": True}),
    "hubert-stable": _config("hubert", {**_LAYER, **_STABLE, "feat_extract_activation": "relu", "hidden_act": "relu"}),
    "hubert-batch-norm": _config(
        "hubert", {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False, "num_conv_pos_embeddings": 15}
    ),
    "wavlm": _config("wavlm"),
    "wavlm-stable": _config("wavlm", {**_LAYER, **_STABLE, "num_buckets": 32, "max_bucket_distance": 60}),
    "codebook-300": _config("hubert", codebook_size=300, target_bandwidths=[0.5, 1, 4]),
    "wide-blocks": _config("hubert", channel_ratios=[2, 1], block_dilations=[1, 3], kernel_size=5),
    "hop-640": {
        **_config("hubert", strides=[1, 2], target_bandwidths=[0.5, 1, 2]),
        "acoustic_model_config": {
            **_ACOUSTIC,
            "downsampling_ratios": [8, 5, 8, 2],
            "upsampling_ratios": [2, 8, 5, 8],
        },
    },
    "ratio-3": {  # an odd stride besides 5, and a stride in the semantic decoder
        **_config("wavlm", {"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, strides=[3, 1]),
        "acoustic_model_config": {
            **_ACOUSTIC,
            "downsampling_ratios": [8, 5, 4, 3],
            "upsampling_ratios": [3, 4, 5, 8],
        },
    },
}


@dataclass(frozen=True)
class Pair:
    """Two models in eval mode with equal weights: biases and alphas spread, every codebook filled."""

    reference: Any
    ours: XcodecModel


def make_pair(name: str, audio: Tensor) -> Pair:
    """Both models of a config, the codebooks filled with residuals of `audio` `[T]`."""
    config = CONFIGS[name]
    ours = seeded_model(XcodecConfig(**config), audio[None, None], seed=sorted(CONFIGS).index(name))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for parameter in (*ours.semantic_model.parameters(), *ours.encoder_semantic.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        for norm in ours.semantic_model.modules():
            if (
                isinstance(norm, torch.nn.BatchNorm1d)
                and norm.running_mean is not None
                and norm.running_var is not None
            ):
                norm.running_mean.uniform_(-0.5, 0.5, generator=generator)
                norm.running_var.uniform_(0.5, 2.0, generator=generator)
    reference = transformers.XcodecModel(transformers.XcodecConfig(**config)).eval()
    reference.load_state_dict(ours.state_dict())
    return Pair(reference, ours)
