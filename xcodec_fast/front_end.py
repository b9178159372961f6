"""HuBERT's front end: strided convolutions from audio to local features, on a CPU a tile at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec_fast import cpu
from xcodec_fast.config import SemanticConfig
from xcodec_fast.functional import conv1d
from xcodec_fast.intervals import Interval, conv_length, evenly, through
from xcodec_fast.plain import is_unseen
from xcodec_fast.semantic_functional import ACTIVATIONS, Affine, group_affine, own_group_norm

_TILE = 50  # frames: of HuBERT's widest layer 6.5 MB, instead of 33 MB for 5 s, mapped and cleared for each operation
_NORM_TILE = 3200  # positions of the first layer, whose norm looks at all of them before


class FrontEndLayer(nn.Module):
    """Unpadded strided convolution, norm (none, "group": over time, "layer": over channels), activation.

    `[B, C, T]` -> `[B, C', floor((T - kernel) / stride) + 1]`.
    """

    def __init__(self, config: SemanticConfig, index: int, in_channels: int) -> None:
        super().__init__()
        channels = config.conv_dim[index]
        self.conv = nn.Conv1d(
            in_channels, channels, config.conv_kernel[index], config.conv_stride[index], bias=config.conv_bias
        )
        self.norm = config.feat_extract_norm if config.feat_extract_norm == "layer" or index == 0 else None
        if self.norm == "group":
            self.layer_norm: Any = nn.GroupNorm(channels, channels)
        elif self.norm == "layer":
            self.layer_norm = nn.LayerNorm(channels)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def forward(self, x: Tensor, interval: Interval | None = None, affine: Affine | None = None) -> Tensor:
        """With an interval of outputs a row, the group norm counts those alone; an unpadded layer needs no more.

        affine: what the group norm is, where the whole clip was looked at before.
        """
        if self.norm is None and self.activation is F.gelu:
            return conv1d(x, self.conv, then="gelu", keep_y=False)[1]
        x, _ = conv1d(x, self.conv)
        if affine is not None:
            x = torch.addcmul(affine.shift, x, affine.scale).to(x.dtype)
        elif self.norm == "group" and interval is not None:
            norm = self.layer_norm
            x = own_group_norm(x, interval.own(x.shape[-1]), norm.weight, norm.bias, norm.eps)
        elif self.norm == "group":
            x = self.layer_norm(x)
        elif self.norm == "layer":
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        return self.activation(x)

    def whole_clips_norm(self, x: Tensor) -> Affine | None:
        """The group norm over the convolution of clips `[B, C, T]`; None where the layer has none."""
        if self.norm != "group":
            return None
        tiles = _tiles(conv_length(x.shape[-1], self.conv), _NORM_TILE, self.conv.stride[0], self.conv.kernel_size[0])
        return group_affine((conv1d(x[..., tile], self.conv)[0] for tile in tiles), self.layer_norm)


class FrontEnd(nn.Module):
    """Audio `[B, T]` -> local features `[B, C, F]`, F = `output_length(T)`."""

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        in_channels = (1, *config.conv_dim[:-1])
        self.conv_layers: Any = nn.ModuleList(FrontEndLayer(config, i, c) for i, c in enumerate(in_channels))

    def forward(self, audio: Tensor, interval: Interval | None = None) -> Tensor:
        x = audio[:, None]
        frames = self.output_length(x.shape[-1])
        if interval is None and frames > 0 and self._suits_tiles(x):
            return torch.cat([self._in_tiles(rows) for rows in x.split(max(1, _TILE // frames))])
        return self._along(x, interval, None)

    def _along(self, x: Tensor, interval: Interval | None, affine: Affine | None) -> Tensor:
        first, *others = self.conv_layers
        interval = through(interval, first.conv)
        x = first(x, interval, affine)
        for layer in others:
            interval = through(interval, layer.conv)
            x = layer(x, interval)
        return x

    def _in_tiles(self, x: Tensor) -> Tensor:
        """Clips `[B, 1, T]` as in `_along`; a tile's audio is what its frames read."""
        affine = self.conv_layers[0].whole_clips_norm(x)
        hop, reach = 1, 1
        for layer in reversed(self.conv_layers):
            stride, kernel = layer.conv.stride[0], layer.conv.kernel_size[0]
            hop, reach = hop * stride, (reach - 1) * stride + kernel
        tiles = _tiles(self.output_length(x.shape[-1]), _TILE, hop, reach)
        # Joined in the order in which the tiles lie in memory, which the projection reads.
        return torch.cat([self._along(x[..., tile], None, affine).mT for tile in tiles], 1).mT

    def _suits_tiles(self, x: Tensor) -> bool:
        """On a CPU, without gradients, where nobody sees the layers called tile by tile."""
        convs = (layer.conv for layer in self.conv_layers)
        return is_unseen(self, *convs) and cpu.suits(self.parameters(), x)

    def through(self, interval: Interval | None) -> Interval | None:
        """The frames that an interval of samples becomes."""
        for layer in self.conv_layers:
            interval = through(interval, layer.conv)
        return interval

    def output_length(self, samples: int) -> int:
        """Frames that `samples` give; 0 or less where they are too few."""
        for layer in self.conv_layers:
            samples = conv_length(samples, layer.conv)
        return samples


def _tiles(outputs: int, size: int, stride: int, reach: int) -> Iterator[slice]:
    """The inputs of every `size` outputs, of which each reads `reach`, `stride` after those of the one before."""
    for start, stop in evenly(outputs, size):
        yield slice(start * stride, (stop - 1) * stride + reach)
