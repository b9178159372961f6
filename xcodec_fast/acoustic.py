"""The acoustic branch: DAC's encoder and decoder (arXiv 2306.06546) as X-Codec adjusts them.

Layers hand on two tensors, x and s = snake(x) of the layer that follows: a fused kernel that writes x has it in
registers, and would read it back from memory otherwise.

X-Codec's decoder has no final tanh, and its transposed convolutions an `output_padding` of stride % 2, so that
F frames give exactly F * hop samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from xcodec_fast import onednn
from xcodec_fast.config import AcousticConfig
from xcodec_fast.functional import Then, conv1d, residual_unit, snake
from xcodec_fast.intervals import Interval, conv_length, evenly, inputs_of, keep, through, upsampled
from xcodec_fast.plain import is_unseen

_T = TypeVar("_T")
DILATIONS = (1, 3, 9)
_BLOCK = 1 << 20  # values, 4 MB in float32: a few such tensors fit into a CPU's last cache


class Snake1d(nn.Module):
    """Snake with one alpha per channel. `[B, C, T]` -> `[B, C, T]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return snake(x, self.alpha)


class ResidualUnit(nn.Module):
    """x + conv1(snake(conv7(snake1(x)))), the seven taps dilated. x and s = snake1(x), `[B, C, T]` -> the next two."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake1d(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, s: Tensor, then: Snake1d, way: Way, keep_x: bool = True) -> tuple[Any, Tensor]:
        return way.unit(x, s, self, then.alpha, keep_x)


class Way(Protocol):
    """How layers are gone through: by a whole clip, or by the next step of a stream (`lines.Walk`)."""

    def conv(self, s: Tensor, conv: nn.Conv1d, *, then: Then = None, keep_y: bool = True) -> tuple[Any, Any]:
        """As `functional.conv1d`."""

    def transposed(self, s: Tensor, conv: nn.ConvTranspose1d, *, then: Then) -> tuple[Any, Any]:
        """The same of a transposed convolution."""

    def unit(self, x: Tensor, s: Tensor, unit: ResidualUnit, alpha: Tensor, keep_x: bool) -> tuple[Any, Any]:
        """As `functional.residual_unit`."""


class Whole:
    """The way of whole clips; with an interval a row, each row's own positions, as far as the layers have been gone."""

    def __init__(self, interval: Interval | None) -> None:
        self.interval = interval

    def conv(self, s: Tensor, conv: nn.Conv1d, *, then: Then = None, keep_y: bool = True) -> tuple[Any, Any]:
        outputs = conv1d(s, conv, self.interval, then=then, keep_y=keep_y)
        if conv.stride[0] > 1:  # the others keep the length
            self.interval = through(self.interval, conv)
        return outputs

    def transposed(self, s: Tensor, conv: nn.ConvTranspose1d, *, then: Then) -> tuple[Any, Any]:
        outputs = conv1d(s, conv, self.interval, then=then)
        self.interval = upsampled(self.interval, conv)
        return outputs

    def unit(self, x: Tensor, s: Tensor, unit: ResidualUnit, alpha: Tensor, keep_x: bool) -> tuple[Any, Any]:
        return residual_unit(x, s, unit.conv1, unit.snake2.alpha, unit.conv2, alpha, self.interval, keep_x)


def _through_units(
    units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d, way: Way, consumes: bool
) -> Tensor:
    """Three units, and the Snake after them alone: nothing skips over what follows.

    consumes: whether s may be overwritten, as nobody else has it.
    """
    if isinstance(way, Whole) and way.interval is None and _suit_blocks(units, x, s, then):
        return _in_blocks(units, x, s, then, way, s if consumes else torch.empty_like(s))
    return _one_by_one(units, x, s, then, way)


def _one_by_one(units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d, way: Way) -> Tensor:
    for unit, following in pairwise(units):
        x, s = unit(x, s, following.snake1, way)
    return units[-1](x, s, then, way, keep_x=False)[1]


def _in_blocks(units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d, way: Way, made: Tensor) -> Tensor:
    """Each block of positions with as many on each side as the units reach; the results go to `made`.

    That may be s, whose memory is mapped already; to map and clear as much anew takes the system 28 ms for 20 MB, 7 %
    of decoding 5 s.
    """
    reach = sum(int(unit.conv1.padding[0]) for unit in units)

    def blocks() -> Iterator[tuple[slice, Tensor]]:
        for start, stop in evenly(x.shape[2], max(8 * reach, _BLOCK // x.shape[1])):
            first = max(0, start - reach)
            around = slice(first, stop + reach)
            y = _one_by_one(units, x[..., around], s[..., around], then, way)
            yield slice(start, stop), y[..., start - first : stop - first]

    # A block reads around its own of the one before, too.
    for own, y in _after_the_next(blocks()):
        made[..., own] = y
    return made


def _after_the_next(items: Iterator[_T]) -> Iterator[_T]:
    """Each item when the one after it is there."""
    before = next(items)
    for item in items:
        yield before
        before = item
    yield before


def _suit_blocks(units: tuple[ResidualUnit, ...], x: Tensor, s: Tensor, then: Snake1d) -> bool:
    """Where tensors are larger than a CPU's caches, and nobody sees the layers called block by block."""
    parameters = (parameter for unit in units for parameter in unit.parameters())
    return (
        x[0].numel() > 2 * _BLOCK
        and all(is_unseen(unit, unit.conv1, unit.conv2) for unit in units)
        and onednn.suits((then.alpha, *parameters), x, s)
    )


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

    def forward(
        self, x: Tensor, s: Tensor, then: Snake1d, way: Way, keep_y: bool, consumes: bool = False
    ) -> tuple[Any, Any]:
        """consumes: whether s may be overwritten."""
        s = _through_units(self.units, x, s, self.snake1, way, consumes)
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
        return _through_units(self.units, x, s, then, way, consumes=True)


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
    def convs(self) -> list[nn.Conv1d]:
        """Every convolution of more than one tap, in the order in which they act."""
        blocks = (conv for block in self.block for conv in (*(unit.conv1 for unit in block.units), block.conv1))
        return [self.conv1, *blocks, self.conv2]

    def context(self) -> tuple[int, int]:
        """Frames before and after one on whose audio its features depend: 28 and 28 at the default config."""
        low = high = 0
        for conv in reversed(self.convs):
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
