"""A new model's weights, drawn as the reference draws them."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def initialize(model: nn.Module, initializer_range: float) -> None:
    """Draws a new model's weights: linear N(0, initializer_range), convolutions by He, norms the identity.

    Codebooks stay zero, as in the reference: a checkpoint, or `seeding.seeded_model`, gives them values.
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
