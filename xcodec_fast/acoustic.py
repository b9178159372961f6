"""The acoustic branch: DAC's encoder and decoder (arXiv 2306.06546) as X-Codec adjusts them.

X-Codec's decoder has no final tanh, and its transposed convolutions an `output_padding` of stride % 2, so that
F frames give exactly F * hop samples.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from xcodec_fast.config import AcousticConfig
from xcodec_fast.functional import conv_length, snake
from xcodec_fast.intervals import Interval, inputs_of, keep, through, upsampled

DILATIONS = (1, 3, 9)


class Snake1d(nn.Module):
    """Snake with one alpha per channel. `[B, C, T]` -> `[B, C, T]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return snake(x, self.alpha)


class ResidualUnit(nn.Module):
    """x + conv1(snake(conv7(snake(x)))), the seven taps dilated. `[B, C, T]` -> `[B, C, T]`."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake1d(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        return x + self.conv2(self.snake2(self.conv1(keep(self.snake1(x), interval))))


class EncoderBlock(nn.Module):
    """Three residual units, Snake and a strided convolution. `[B, C, T]` -> `[B, 2C, about T / stride]`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(channels, d) for d in DILATIONS)
        self.snake1 = Snake1d(channels)
        self.conv1 = nn.Conv1d(channels, 2 * channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2))

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        for unit in (self.res_unit1, self.res_unit2, self.res_unit3):
            x = unit(x, interval)
        return self.conv1(keep(self.snake1(x), interval))


class DecoderBlock(nn.Module):
    """Snake, a transposed convolution and three residual units. `[B, C, T]` -> `[B, C / 2, T * stride]`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.snake1 = Snake1d(in_channels)
        self.conv_t1 = nn.ConvTranspose1d(
            in_channels,
            out_channels,
            2 * stride,
            stride=stride,
            padding=math.ceil(stride / 2),
            output_padding=stride % 2,
        )
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(out_channels, d) for d in DILATIONS)

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        x = self.conv_t1(keep(self.snake1(x), interval))
        interval = upsampled(interval, self.conv_t1)
        for unit in (self.res_unit1, self.res_unit2, self.res_unit3):
            x = unit(x, interval)
        return x


class AcousticEncoder(nn.Module):
    """Audio `[B, 1, T]` -> acoustic features `[B, hidden_size, F]`, F = `output_length(T)`.

    With an interval a row, the rows' own features are those of each row alone; the audio must be zero outside.
    """

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        channels = config.encoder_hidden_size
        self.conv1 = nn.Conv1d(1, channels, 7, padding=3)
        blocks = []
        for stride in config.downsampling_ratios:
            blocks.append(EncoderBlock(channels, stride))
            channels *= 2
        self.block: Any = nn.ModuleList(blocks)
        self.snake1 = Snake1d(channels)
        self.conv2 = nn.Conv1d(channels, config.hidden_size, 3, padding=1)

    def forward(self, audio: Tensor, interval: Interval | None = None) -> Tensor:
        x = self.conv1(audio)
        for block in self.block:
            x = block(x, interval)
            interval = through(interval, block.conv1)
        return self.conv2(keep(self.snake1(x), interval))

    def output_length(self, samples: int) -> int:
        """Frames that `samples` give, from the strided convolutions; the others keep the length."""
        for block in self.block:
            samples = conv_length(samples, block.conv1)
        return samples


class AcousticDecoder(nn.Module):
    """Quantized features `[B, hidden_size, F]` -> audio `[B, 1, F * hop]`.

    With an interval of frames a row, each row's audio is that of the row alone, and zero outside.
    """

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        channels = config.decoder_hidden_size
        self.conv1 = nn.Conv1d(config.hidden_size, channels, 7, padding=3)
        blocks = []
        for level, stride in enumerate(config.upsampling_ratios):
            out_channels = config.decoder_hidden_size // 2 ** (level + 1)
            blocks.append(DecoderBlock(channels, out_channels, stride))
            channels = out_channels
        self.block: Any = nn.ModuleList(blocks)
        self.snake1 = Snake1d(channels)
        self.conv2 = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, x: Tensor, interval: Interval | None = None) -> Tensor:
        x = self.conv1(keep(x, interval))
        for block in self.block:
            x = block(x, interval)
            interval = upsampled(interval, block.conv_t1)
        return keep(self.conv2(keep(self.snake1(x), interval)), interval)

    def context(self) -> int:
        """Frames before and after one on which its audio depends: 10 at the default config."""
        low, high = 0, math.prod(block.conv_t1.stride[0] for block in self.block) - 1
        low, high = inputs_of(low, high, self.conv2)
        for block in reversed(self.block):
            for unit in (block.res_unit3, block.res_unit2, block.res_unit1):
                low, high = inputs_of(low, high, unit.conv1)
            low, high = inputs_of(low, high, block.conv_t1)
        low, high = inputs_of(low, high, self.conv1)
        return max(-low, high)
