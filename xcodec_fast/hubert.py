"""HuBERT (arXiv 2106.07447), as far as the codec needs it: audio to the mean of its hidden states.

Nothing here is random: the codes of a clip are the same in training mode, without dropout, layer drop and
masking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec_fast.config import HubertConfig, SemanticConfig
from xcodec_fast.derived import derived
from xcodec_fast.front_end import FrontEnd
from xcodec_fast.intervals import Interval, keep
from xcodec_fast.linears import linear, projections
from xcodec_fast.plain import is_plain
from xcodec_fast.semantic_functional import ACTIVATIONS, grouped_conv1d


class FeatureProjection(nn.Module):
    """Layer norm and a linear map to the transformer's width. `[B, F, C]` -> `[B, F, hidden_size]`."""

    def __init__(self, config: SemanticConfig, layer_norm: bool) -> None:
        super().__init__()
        width = config.conv_dim[-1]
        self.layer_norm = nn.LayerNorm(width, eps=config.layer_norm_eps) if layer_norm else None
        self.projection = nn.Linear(width, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x if self.layer_norm is None else self.layer_norm(x), self.projection)


def _folded(magnitude: Tensor, direction: Tensor) -> Tensor:
    return torch._weight_norm(direction, magnitude, 2)


def _weight_normed(conv: nn.Conv1d) -> nn.Module:
    weight_norm = nn.utils.parametrizations.weight_norm
    if not conv.weight.is_meta:
        return weight_norm(conv, dim=2)
    # PyTorch's norm of a meta tensor imports its compiler (so does empty_like): loading took 1.0 s, not 0.3.
    normed = weight_norm(_emptied(conv, "cpu"), dim=2)
    return _emptied(normed, "meta")


def _emptied(module: nn.Module, device: str) -> nn.Module:
    return module._apply(lambda tensor: torch.empty(tensor.shape, device=device))


class PositionalConv(nn.Module):
    """Position by a wide grouped convolution, weight-normed or after a batch norm. `[B, F, C]` -> same.

    An even kernel gives one position too many; the last is dropped.
    """

    def __init__(self, config: SemanticConfig, batch_norm: bool) -> None:
        super().__init__()
        kernel, groups = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
        conv = nn.Conv1d(config.hidden_size, config.hidden_size, kernel, padding=kernel // 2, groups=groups)
        self.batch_norm = nn.BatchNorm1d(config.hidden_size) if batch_norm else None
        self.conv: Any = conv if batch_norm else _weight_normed(conv)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def _weight(self) -> Tensor:
        if not nn.utils.parametrize.is_parametrized(self.conv, "weight"):
            return self.conv.weight
        factors = self.conv.parametrizations.weight
        return derived(_folded, factors.original0, factors.original1)

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        frames = x.shape[1]
        y = x.transpose(1, 2)
        if (norm := self.batch_norm) is not None:  # its running statistics in every mode
            y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        y = keep(y, interval)
        y = grouped_conv1d(y, self.conv, self._weight()) if is_plain(self.conv) else self.conv(y)
        return self.activation(y[..., :frames]).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over all frames, or those that `keys`, bool `[B, F]`, allows. `[B, F, C]` -> same."""

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def heads(self, x: Tensor) -> Tensor:
        """`[B, F, C]` -> `[B, H, F, C / H]`."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def score_bias(self, x: Tensor, position_bias: Tensor | None) -> Tensor | None:
        """What is added to the attention scores, `[B, H, F, F]`; nothing in HuBERT."""
        return position_bias

    def forward(self, x: Tensor, position_bias: Tensor | None, keys: Tensor | None) -> Tensor:
        q, k, v = map(self.heads, projections(x, self.q_proj, self.k_proj, self.v_proj))
        mask = self.score_bias(x, position_bias)
        if keys is not None:
            allowed = keys[:, None, None]
            mask = allowed if mask is None else mask.masked_fill(~allowed, -torch.inf)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return linear(y.transpose(1, 2).flatten(2), self.out_proj)


class FeedForward(nn.Module):
    """Linear, activation, linear. `[B, F, C]` -> `[B, F, C]`."""

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        return linear(self.activation(linear(x, self.intermediate_dense)), self.output_dense)


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each normed after its skip, or before ("stable"). `[B, F, C]` -> same."""

    def __init__(self, config: SemanticConfig, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.stable = config.do_stable_layer_norm

    def forward(self, x: Tensor, position_bias: Tensor | None, keys: Tensor | None) -> Tensor:
        if self.stable:
            x = x + self.attention(self.layer_norm(x), position_bias, keys)
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x, position_bias, keys))
        return self.final_layer_norm(x + self.feed_forward(x))


class Transformer(nn.Module):
    """`[B, F, C]` -> the mean of the first layer's input and every layer's output, `[B, F, C]`.

    A stable encoder's closing `layer_norm` acts after the last of these states, so it is not applied.
    """

    def __init__(self, config: SemanticConfig, pos_conv_embed: PositionalConv, attentions: Sequence[Attention]) -> None:
        super().__init__()
        self.pos_conv_embed = pos_conv_embed
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layers: Any = nn.ModuleList(TransformerLayer(config, attention) for attention in attentions)
        self.stable = config.do_stable_layer_norm

    def position_bias(self, frames: int) -> Tensor | None:
        """What all layers share for a clip of this length, `[1, H, F, F]`; nothing in HuBERT."""
        return None

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        x = x + self.pos_conv_embed(x, interval)
        if not self.stable:
            x = self.layer_norm(x)
        position_bias = self.position_bias(x.shape[1])
        keys = None if interval is None else interval.own(x.shape[1])
        total = x.clone()
        for layer in self.layers:
            x = layer(x, position_bias, keys)
            total += x
        return total / (len(self.layers) + 1)


class SemanticModel(nn.Module):
    """What the two semantic models share. Audio `[B, T]` -> mean hidden state `[B, F, hidden_size]`."""

    def __init__(self, config: SemanticConfig, feature_layer_norm: bool, encoder: Transformer) -> None:
        super().__init__()
        self.feature_extractor = FrontEnd(config)
        self.feature_projection = FeatureProjection(config, feature_layer_norm)
        self.encoder = encoder
        if config.mask_time_prob > 0 or config.mask_feature_prob > 0:
            # Used in the model's own pre-training only; held so that state dicts stay interchangeable.
            self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))

    def forward(self, audio: Tensor, interval: Interval | None = None) -> Tensor:
        """With an interval of samples a row, a row's own frames are those of the row alone."""
        features = self.feature_projection(self.feature_extractor(audio, interval).transpose(1, 2))
        return self.encoder(features, self.feature_extractor.through(interval))


class HubertModel(SemanticModel):
    """HuBERT, with all that its config can vary but adapters."""

    def __init__(self, config: HubertConfig) -> None:
        attentions = [Attention(config) for _ in range(config.num_hidden_layers)]
        pos_conv_embed = PositionalConv(config, config.conv_pos_batch_norm)
        super().__init__(config, config.feat_proj_layer_norm, Transformer(config, pos_conv_embed, attentions))
