"""Weights as the convolution kernels read them, and the widths of whole residual units. Without Triton, for the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

UNIT_CHANNELS = (16, 32, 64, 128)  # of the residual units that one launch computes whole


def by_taps(weight: Tensor) -> Tensor:
    """A convolution's weight `[CO, CI, KW]` -> `[CO, KW, CI]`."""
    return weight.transpose(1, 2).contiguous()


def two_taps(weight: Tensor) -> Tensor:
    """A transposed convolution's weight `[CI, CO, 2 S]` -> `[S CO, 2, CI]`: frame f - 1, then frame f."""
    stride = weight.shape[2] // 2
    before, own = weight[..., stride:], weight[..., :stride]
    return torch.stack([before, own]).permute(3, 2, 0, 1).flatten(0, 1).contiguous()


def to_tf32(tensor: Tensor) -> Tensor:
    """float32 rounded to the nearest TF32; NaN stays NaN."""
    rounded = ((tensor.contiguous().view(torch.int32) + 0x1000) & -8192).view(torch.float32)
    return torch.where(tensor.isnan(), tensor, rounded)


def by_taps_tf32(weight: Tensor) -> Tensor:
    """`by_taps`, rounded."""
    return to_tf32(by_taps(weight))


def two_taps_tf32(weight: Tensor) -> Tensor:
    """`two_taps`, rounded."""
    return to_tf32(two_taps(weight))
