"""A codec with seeded instead of trained weights, every layer and code of which is in use: for tests and benches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xcodec_fast.config import XcodecConfig
from xcodec_fast.model import XcodecModel
from xcodec_fast.quantizer import ResidualVectorQuantizer
from xcodec_fast.residual_units import Snake1d


@torch.no_grad()
def seeded_model(config: XcodecConfig, audio: Tensor, seed: int) -> XcodecModel:
    """A model in eval mode that decodes `audio` `[B, 1, T]` to noise about as loud as it.

    The same seed gives the same weights on one machine; the global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = XcodecModel(config).eval()
        spread(model.acoustic_encoder)
        spread(model.acoustic_decoder)
        nn.init.normal_(model.fc.weight, std=1 / math.sqrt(config.hidden_size))
        nn.init.normal_(model.fc2.weight, std=1 / math.sqrt(config.hidden_size))
        fill_codebooks(model.quantizer, model._embed(audio).transpose(1, 2).flatten(0, 1))
    last = model.acoustic_decoder.conv2
    loudness = audio.std() / model.decode(model.encode(audio).audio_codes).audio_values.std()
    last.weight.mul_(loudness)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return model


def spread(layers: nn.Module) -> None:
    """Gives layers unit gain, biases, and alphas of 0.3 to 3, so that no activation is near linear."""
    for module in layers.modules():
        if isinstance(module, Snake1d):
            nn.init.uniform_(module.alpha, 0.3, 3.0)
        elif isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
            # Two taps of a transposed convolution meet in each output.
            summed = 2 * module.in_channels if isinstance(module, nn.ConvTranspose1d) else module.weight[0].numel()
            nn.init.normal_(module.weight, std=1 / math.sqrt(summed))
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.05, 0.05)


def fill_codebooks(quantizer: ResidualVectorQuantizer, embeddings: Tensor) -> None:
    """Sets each stage's entries to residuals `[N, D]` that the stage meets, blurred, so that many are used."""
    residual = embeddings
    for stage in quantizer.quantizers:
        codebook = stage.codebook
        drawn = torch.randint(len(residual), (len(codebook.embed),))
        blur = 0.7 * residual.std(0) * torch.randn(codebook.embed.shape)
        codebook.embed.copy_(residual[drawn] + blur)
        codebook.embed_avg.copy_(codebook.embed)
        residual = residual - codebook.decode(codebook.encode(residual))
