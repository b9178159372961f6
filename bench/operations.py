"""The default model's operations for the kernel bench: as the reference writes each in PyTorch, and ours.

`forward` is the reference's formula, `ours` the function of the package; `products` counts multiplications.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec_fast import XcodecConfig, XcodecModel, functional, search
from xcodec_fast.residual_units import ResidualUnit, Snake1d


class Snake(Snake1d):
    """As the reference writes it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * x).pow(2)

    def ours(self, x: Tensor) -> Tensor:
        return functional.snake(x, self.alpha)


class ConvThen(nn.Module):
    """A layer of the model and what follows it -> (y and) then(y)."""

    def __init__(self, conv: nn.Conv1d | nn.ConvTranspose1d, then: nn.Module | None, keep_y: bool) -> None:
        super().__init__()
        self.conv, self.then, self.keep_y = conv, then, keep_y

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        if self.then is None:
            return (y,)
        return (y, self.then(y)) if self.keep_y else (self.then(y),)

    def ours(self, x: Tensor) -> tuple[Tensor, ...]:
        then: Any = self.then.alpha if isinstance(self.then, Snake) else None if self.then is None else "gelu"
        outputs = functional.conv1d(x, self.conv, then=then, keep_y=self.keep_y)
        return tuple(output for output in outputs if output is not None)

    def products(self, x: Tensor) -> int:
        """Of a transposed convolution each input meets each tap, of another each output does."""
        conv = self.conv
        positions = x.shape[2] if isinstance(conv, nn.ConvTranspose1d) else conv(x[:1]).shape[2]
        return x.shape[0] * positions * conv.weight.numel()


class Unit(nn.Module):
    """The third residual unit of a block, and the Snake that follows: x and its first Snake s -> that Snake alone."""

    def __init__(self, unit: ResidualUnit) -> None:
        super().__init__()
        channels = unit.conv1.in_channels
        self.conv1, self.conv2 = copy.deepcopy(unit.conv1), copy.deepcopy(unit.conv2)
        self.snake2, self.then = Snake(channels), Snake(channels)

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor]:
        return (self.then(x + self.conv2(self.snake2(self.conv1(s)))),)

    def ours(self, x: Tensor, s: Tensor) -> tuple[Tensor]:
        alphas = self.snake2.alpha, self.then.alpha
        return (functional.residual_unit(x, s, self.conv1, alphas[0], self.conv2, alphas[1], keep_y=False)[1],)

    def products(self, x: Tensor, s: Tensor) -> int:
        return x.shape[0] * x.shape[2] * (self.conv1.weight.numel() + self.conv2.weight.numel())


class Search(nn.Module):
    """The reference's quantizer on rows: `[N, D]` -> codes `[N, Q]`."""

    def __init__(self, codebooks: list[Tensor]) -> None:
        super().__init__()
        self.codebooks = nn.ParameterList(nn.Parameter(entries) for entries in codebooks)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        codes = []
        for entries in self.codebooks:
            scaled = x.pow(2).sum(1, keepdim=True)
            stage = (-(scaled - 2 * x @ entries.t() + entries.t().pow(2).sum(0, keepdim=True))).max(dim=-1).indices
            codes.append(stage)
            x = x - F.embedding(stage, entries)
        return (torch.stack(codes, 1),)

    def ours(self, x: Tensor) -> tuple[Tensor]:
        return (search.residual_codes(x, list(self.codebooks)),)


class Decode(nn.Module):
    """The sum of the codes' entries through the layer that follows: `[N, Q]` -> `[N, C]`."""

    def __init__(self, codebooks: list[Tensor], projection: nn.Linear) -> None:
        super().__init__()
        self.codebooks, self.projection = nn.ParameterList(nn.Parameter(entries) for entries in codebooks), projection

    def forward(self, codes: Tensor) -> tuple[Tensor]:
        total = F.embedding(codes[:, 0], self.codebooks[0])
        for stage in range(1, codes.shape[1]):
            total = total + F.embedding(codes[:, stage], self.codebooks[stage])
        return (self.projection(total),)

    def ours(self, codes: Tensor) -> tuple[Tensor]:
        return (search.projected_sum(codes, list(self.codebooks), self.projection),)


@cache
def default_model() -> XcodecModel:
    with torch.device("meta"):
        return XcodecModel(XcodecConfig())


def layers() -> dict[str, tuple[Callable[[], nn.Module], int]]:
    """Each case: what is benched, and its input's positions in a second."""
    model = default_model()
    encoder, decoder, rate = model.acoustic_encoder, model.acoustic_decoder, model.config.sample_rate
    cases: dict[str, tuple[Callable[[], nn.Module], int]] = {}

    def add(name: str, conv: Any, positions: int, then: str | None, keep_y: bool = True) -> None:
        def make() -> nn.Module:
            snake = Snake(conv.out_channels) if then == "snake" else None
            return ConvThen(copy.deepcopy(conv), nn.GELU() if then == "gelu" else snake, keep_y)

        cases[name] = make, positions

    positions = model.config.frame_rate
    for block in decoder.block:
        conv = block.conv_t1
        add(f"transposed {conv.in_channels} -> {conv.out_channels} s{conv.stride[0]}, snake", conv, positions, "snake")
        positions *= conv.stride[0]
        unit = block.res_unit3
        cases[f"unit {conv.out_channels} d{unit.conv1.dilation[0]}"] = partial(Unit, unit), positions
    add(f"last conv {decoder.conv2.in_channels} -> 1", decoder.conv2, positions, None)
    add(f"first conv 1 -> {encoder.conv1.out_channels}, snake", encoder.conv1, rate, "snake")
    positions = rate
    for block in encoder.block:
        conv = block.conv1
        last = block is encoder.block[-1]
        name = f"conv {conv.in_channels} -> {conv.out_channels} s{conv.stride[0]}, snake"
        add(name, conv, positions, "snake", keep_y=not last)
        positions //= conv.stride[0]
    conv = model.semantic_model.feature_extractor.conv_layers[1].conv
    first = model.semantic_model.feature_extractor.conv_layers[0].conv
    add(f"HuBERT {conv.in_channels} k{conv.kernel_size[0]} s2, gelu", conv, rate // first.stride[0], "gelu", False)
    return cases
