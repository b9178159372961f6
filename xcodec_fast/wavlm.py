"""WavLM (arXiv 2110.13900): HuBERT whose attention adds a gated bias of relative position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xcodec_fast.config import WavLMConfig
from xcodec_fast.hubert import Attention, PositionalConv, SemanticModel, Transformer
from xcodec_fast.semantic_functional import relative_position_buckets


class GatedAttention(Attention):
    """Attention whose scores gain g_i * bias(j - i), the gate g_i read from query frame i.

    g = a (b c - 1) + 2 with (a, b) = sigmoid(two sums of four of the eight values that `gru_rel_pos_linear` gives
    for the head's slice of the input), c = `gru_rel_pos_const` of the head.
    """

    def __init__(self, config: WavLMConfig, holds_positions: bool) -> None:
        super().__init__(config)
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, self.num_heads, 1, 1))
        self.gru_rel_pos_linear = nn.Linear(config.hidden_size // self.num_heads, 8)
        if holds_positions:
            self.rel_attn_embed = nn.Embedding(config.num_buckets, self.num_heads)

    def score_bias(self, x: Tensor, position_bias: Tensor | None) -> Tensor | None:
        gates = torch.sigmoid(self.gru_rel_pos_linear(self.heads(x)).unflatten(-1, (2, 4)).sum(-1))
        a, b = gates.split(1, dim=-1)
        return (a * (b * self.gru_rel_pos_const - 1) + 2) * position_bias


class WavLMTransformer(Transformer):
    """The transformer whose first layer holds the embedding of relative positions for all."""

    def __init__(self, config: WavLMConfig) -> None:
        attentions = [GatedAttention(config, index == 0) for index in range(config.num_hidden_layers)]
        super().__init__(config, PositionalConv(config, batch_norm=False), attentions)
        self._buckets = (config.num_buckets, config.max_bucket_distance)

    def position_bias(self, frames: int) -> Tensor | None:
        # bias[i, j] depends on j - i alone: embed 2F - 1 distances, then view them as a Toeplitz matrix.
        embedding = self.layers[0].attention.rel_attn_embed
        buckets = relative_position_buckets(frames, *self._buckets, device=embedding.weight.device)
        by_distance = embedding(buckets).t()  # [H, 2F - 1]
        return by_distance.unfold(1, frames, 1).flip(1)[None]


class WavLMModel(SemanticModel):
    """WavLM, with all that its config can vary but adapters."""

    def __init__(self, config: WavLMConfig) -> None:
        super().__init__(config, feature_layer_norm=True, encoder=WavLMTransformer(config))
