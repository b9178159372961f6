"""A trained model made small: what only training reads is left out, and values are stored in float16."""

from __future__ import annotations

from pathlib import Path

import torch

from xcodec_fast.checkpoint import is_optional, write_checkpoint
from xcodec_fast.model import XcodecModel


def write_shipped(model: XcodecModel, folder: Path) -> None:
    """Writes a checkpoint that loads as float32. Raises ValueError where a value is beyond float16's range."""
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
        if not is_optional(name)
    }
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} has values beyond float16's range")
    write_checkpoint(state, model.config, torch.float32, folder)
