"""A new model's weights, drawn as the reference draws them."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def initialize(model: nn.Module, initializer_range: float) -> None:
    """Draws linear weights from N(0, initializer_range), acoustic convolutions from N(0, 0.02), others by He.

    Norms are the identity, alphas 1. Codebooks stay zero: a checkpoint, or `seeding.seeded_model`, gives them values.
    The semantic model is meant to be pre-trained, so some of its biases are drawn otherwise. On the meta device nothing
    is drawn.
    """
    if next(model.parameters()).is_meta:
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=initializer_range)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d) and name.startswith("acoustic_"):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d) and not hasattr(module, "parametrizations"):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=initializer_range)
