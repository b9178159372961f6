"""Random weights: as the reference draws them, and a seeded codec whose every stage is in use."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xcodec_fast.acoustic import Snake1d
from xcodec_fast.quantizer import ResidualVectorQuantizer


@torch.no_grad()
def initialize(model: nn.Module, initializer_range: float) -> None:
    """Draws a new model's weights: linear N(0, initializer_range), convolutions by He, norms the identity.

    Codebooks stay zero, as in the reference: `fill_codebooks` or a checkpoint gives them values.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=initializer_range)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d) and not hasattr(module, "parametrizations"):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=initializer_range)


@torch.no_grad()
def spread_acoustic_weights(acoustic: nn.Module) -> None:
    """Gives the DAC layers unit gain, biases, and alphas of 0.3 to 3, so that no activation is near linear."""
    for module in acoustic.modules():
        if isinstance(module, Snake1d):
            nn.init.uniform_(module.alpha, 0.3, 3.0)
        elif isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and module.bias is not None:
            # Two taps of a transposed convolution meet in each output.
            taps = 2 if isinstance(module, nn.ConvTranspose1d) else module.kernel_size[0]
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_channels * taps))
            nn.init.uniform_(module.bias, -0.05, 0.05)


@torch.no_grad()
def fill_codebooks(quantizer: ResidualVectorQuantizer, embeddings: Tensor, generator: torch.Generator) -> None:
    """Sets each stage's entries to residuals that stage meets, blurred, so that many different codes are used.

    embeddings: `[N, D]`, of audio that the codec is meant for.
    """
    residual = embeddings
    for stage in quantizer.quantizers:
        codebook = stage.codebook
        drawn = torch.randint(len(residual), (len(codebook.embed),), generator=generator)
        noise = torch.randn(codebook.embed.shape, generator=generator, dtype=residual.dtype)
        entries = residual[drawn] + 0.3 * residual.std(0) * noise
        codebook.embed.copy_(entries)
        codebook.embed_avg.copy_(entries)
        residual = residual - codebook.decode(codebook.encode(residual))
