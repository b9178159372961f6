"""A trained model made small: what only training reads is left out, and values are stored in float16."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import torch

from xcodec_fast.checkpoint import write_checkpoint
from xcodec_fast.model import XcodecModel

_TRAINING_ONLY = ("decoder_semantic.", "fc1.")
_STATISTICS = ("embed_avg", "cluster_size", "inited")


def write_shipped(model: XcodecModel, folder: Path) -> None:
    """Writes a checkpoint that loads as float32. Raises ValueError where a value is beyond float16's range."""
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(_TRAINING_ONLY) and name.rpartition(".")[2] not in _STATISTICS
    }
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} has values beyond float16's range")
    config = copy(model.config)
    vars(config).update(architectures=["XcodecModel"], dtype=str(torch.float32).removeprefix("torch."))
    vars(config).pop("trained", None)
    write_checkpoint(state, config, folder)
