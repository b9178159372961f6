"""The acoustic branch: DAC's encoder and decoder (arXiv 2306.06546) as X-Codec adjusts them.

X-Codec's decoder has no final tanh, and its transposed convolutions an `output_padding` of stride % 2, so that
F frames give exactly F * hop samples.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from xcodec_fast.config import AcousticConfig
from xcodec_fast.intervals import Interval, conv_length, inputs_of, keep
from xcodec_fast.plain import is_unseen
from xcodec_fast.residual_units import ResidualUnit, Snake1d, through_units
from xcodec_fast.ways import Way, Whole

DILATIONS = (1, 3, 9)


class EncoderBlock(nn.Module):
    """Three residual units, Snake and a strided convolution.

    x and its Snake, `[B, C, T]` -> y and the one that follows, `[B, 2C, about T / stride]`.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(channels, d) for d in DILATIONS)
        self.snake1 = Snake1d(channels)
        self.conv1 = nn.Conv1d(channels, 2 * channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2))

    @property
    def units(self) -> tuple[ResidualUnit, ...]:
        return self.res_unit1, self.res_unit2, self.res_unit3

    def forward(self, x: Tensor, s: Tensor, then: Snake1d, way: Way, keep_y: bool, consumes: bool) -> tuple[Any, Any]:
        """consumes: whether s may be overwritten."""
        s = through_units(self.units, x, s, self.snake1, way, consumes)
        return way.conv(s, self.conv1, then=then.alpha, keep_y=keep_y)


class DecoderBlock(nn.Module):
    """Snake, a transposed convolution and three residual units.

    The Snake of x, `[B, C, T]` -> that of y, `[B, C / 2, T * stride]`.
    """

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

    @property
    def units(self) -> tuple[ResidualUnit, ...]:
        return self.res_unit1, self.res_unit2, self.res_unit3

    def forward(self, s: Tensor, then: Snake1d, way: Way) -> Tensor:
        x, s = way.transposed(s, self.conv_t1, then=self.res_unit1.snake1.alpha)
        return through_units(self.units, x, s, then, way, consumes=True)


class AcousticEncoder(nn.Module):
    """Audio `[B, 1, T]` -> acoustic features `[B, hidden_size, F]`, F = `output_length(T)`.

    With an interval a row, the rows' own features are those of each row alone.
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
        return self.along(Whole(interval), audio)

    def along(self, way: Way, audio: Tensor) -> Tensor:
        """Audio or a step of it -> its features."""
        x, s = way.conv(audio, self.conv1, then=self.block[0].res_unit1.snake1.alpha)
        last, unseen = len(self.block) - 1, is_unseen(self)
        for index, block in enumerate(self.block):
            then = self.snake1 if index == last else self.block[index + 1].res_unit1.snake1
            x, s = block(x, s, then, way, keep_y=index < last, consumes=unseen)
        return way.conv(s, self.conv2)[0]

    @property
    def wide_convs(self) -> list[nn.Conv1d]:
        """Every convolution of more than one tap, in the order in which they act."""
        blocks = (conv for block in self.block for conv in (*(unit.conv1 for unit in block.units), block.conv1))
        return [self.conv1, *blocks, self.conv2]

    def context(self) -> tuple[int, int]:
        """Frames before and after one on whose audio its features depend: 28 and 28 at the default config."""
        low = high = 0
        for conv in reversed(self.wide_convs):
            low, high = inputs_of(low, high, conv)
        hop = math.prod(block.conv1.stride[0] for block in self.block)
        return -(low // hop), high // hop

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
        whole = Whole(interval)
        return keep(self.along(whole, x), whole.interval)

    def along(self, way: Way, x: Tensor) -> Tensor:
        """Quantized features or a step of them -> audio."""
        _, s = way.conv(x, self.conv1, then=self.block[0].snake1.alpha, keep_y=False)
        for index, block in enumerate(self.block):
            then = self.block[index + 1].snake1 if index + 1 < len(self.block) else self.snake1
            s = block(s, then, way)
        return way.conv(s, self.conv2)[0]

    @property
    def convs(self) -> list[nn.Module]:
        """Every convolution."""
        units = (unit for block in self.block for unit in block.units)
        within = (conv for unit in units for conv in (unit.conv1, unit.conv2))
        return [self.conv1, *(block.conv_t1 for block in self.block), *within, self.conv2]

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
