"""The semantic branch after its model: convolutions that refine its features, and the decoder that training uses."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from xcodec_fast.config import HubertConfig, WavLMConfig, XcodecConfig
from xcodec_fast.functional import conv1d
from xcodec_fast.hubert import HubertModel, SemanticModel
from xcodec_fast.intervals import Interval, conv_length, inputs_of, through
from xcodec_fast.wavlm import WavLMModel


def semantic_model(config: HubertConfig | WavLMConfig) -> SemanticModel:
    """The model that a semantic config describes."""
    return WavLMModel(config) if isinstance(config, WavLMConfig) else HubertModel(config)


class SemanticResidualUnit(nn.Module):
    """x + conv2(elu(conv1(elu(x)))), without biases.

    x and its elu, `[B, C, F]` -> y, and its elu unless it is the last.
    """

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.conv1 = nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation, bias=False)
        self.conv2 = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, s: Tensor, last: bool, interval: Interval | None) -> tuple[Any, Any]:
        _, h = conv1d(s, self.conv1, interval, then="elu", keep_y=False)
        return conv1d(h, self.conv2, skip=x, then=None if last else "elu")


def _refined(units: nn.ModuleList, x: Tensor, s: Tensor, interval: Interval | None = None) -> Tensor:
    for index, unit in enumerate(units):
        x, s = unit(x, s, index + 1 == len(units), interval)
    return x


def _residual_units(config: XcodecConfig, channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        SemanticResidualUnit(channels, config.unit_kernel_size, dilation) for dilation in config.block_dilations
    )


def _channels(config: XcodecConfig) -> list[int]:
    return [int(config.semantic_hidden_size * ratio) for ratio in config.channel_ratios]


class SemanticEncoderBlock(nn.Module):
    """Residual units and a convolution, strided or of kernel 3.

    x and its elu, `[B, C, F]` -> y, `[B, C', about F / stride]`, and its elu unless it is the last.
    """

    def __init__(self, config: XcodecConfig, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.res_units = _residual_units(config, in_channels)
        kernel = 3 if stride == 1 else 2 * stride
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, padding=(kernel - 1) // 2)

    def forward(self, x: Tensor, s: Tensor, last: bool, interval: Interval | None) -> tuple[Any, Any]:
        x = _refined(self.res_units, x, s, interval)
        return conv1d(x, self.conv, interval, then=None if last else "elu")


class SemanticEncoder(nn.Module):
    """Semantic features `[B, C, F]` -> `[B, C, output_length(F)]`, row by row where an interval a row is given."""

    def __init__(self, config: XcodecConfig) -> None:
        super().__init__()
        channels, kernel = config.semantic_hidden_size, config.kernel_size
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, bias=False)
        blocks = []
        for out_channels, stride in zip(_channels(config), config.strides, strict=True):
            blocks.append(SemanticEncoderBlock(config, channels, out_channels, stride))
            channels = out_channels
        self.conv_blocks: Any = nn.ModuleList(blocks)

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        x, s = conv1d(x, self.conv, interval, then="elu")
        interval = through(interval, self.conv)
        for index, block in enumerate(self.conv_blocks):
            x, s = block(x, s, index + 1 == len(self.conv_blocks), interval)
            interval = through(interval, block.conv)
        return x

    def output_length(self, frames: int) -> int:
        """Frames that `frames` semantic frames give."""
        for conv in (self.conv, *(block.conv for block in self.conv_blocks)):
            frames = conv_length(frames, conv)
        return frames

    @property
    def stride(self) -> int:
        """Semantic frames for each frame."""
        return math.prod(block.conv.stride[0] for block in self.conv_blocks)

    def inputs_of(self, low: int, high: int) -> tuple[int, int]:
        """The first and the last semantic frame on which the frames low ... high depend."""
        for block in reversed(self.conv_blocks):
            for conv in (block.conv, *(unit.conv1 for unit in reversed(block.res_units))):
                low, high = inputs_of(low, high, conv)
        return inputs_of(low, high, self.conv)


class SemanticDecoderBlock(nn.Module):
    """A convolution, transposed where strided, and residual units. `[B, C, F]` -> `[B, C', F * stride]`."""

    def __init__(self, config: XcodecConfig, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if stride == 1:
            self.conv: nn.Conv1d | nn.ConvTranspose1d = nn.Conv1d(in_channels, out_channels, 3, padding=1)
        else:
            padding, output_padding = (stride + 1) // 2, stride % 2
            self.conv = nn.ConvTranspose1d(
                in_channels, out_channels, 2 * stride, stride, padding, output_padding, bias=False
            )
        self.res_units = _residual_units(config, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x, s = conv1d(x, self.conv, then="elu")
        return _refined(self.res_units, x, s)


class SemanticDecoder(nn.Module):
    """Rebuilds the semantic features from what was quantized; only the training loss reads it.

    `[B, C, F]` -> `[B, C, F * product of strides]`.
    """

    def __init__(self, config: XcodecConfig) -> None:
        super().__init__()
        width, kernel = config.semantic_hidden_size, config.kernel_size
        channels = [*_channels(config), width]
        self.conv1 = nn.Conv1d(width, channels[0], kernel, padding=kernel // 2, bias=False)
        self.conv_blocks = nn.ModuleList(
            SemanticDecoderBlock(config, channels[i], channels[i + 1], stride)
            for i, stride in enumerate(config.strides)
        )
        self.conv2 = nn.Conv1d(width, width, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for block in self.conv_blocks:
            x = block(x)
        return self.conv2(x)
