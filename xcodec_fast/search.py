"""The search for codes and the sum of their entries: formula, PyTorch branch, and where a kernel takes over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import cpu
from xcodec_fast.derived import derived
from xcodec_fast.dispatch import uses_triton, with_gradients
from xcodec_fast.linears import linear
from xcodec_fast.plain import is_plain


def nearest_codes(residual: Tensor, codebook: Tensor) -> Tensor:
    """argmin_k |r - E_k|^2, as argmin_k (|E_k|^2 / 2 - r . E_k); ties go to the lowest index.

    residual: `[N, D]`; codebook: `[K, D]` -> codes `[N]`, int64. The term |r|^2 that the reference adds is the same for
    every k and costs precision.
    """
    half_norms = codebook.square().sum(1) / 2
    return torch.addmm(half_norms, residual, codebook.t(), alpha=-1).argmin(1)


def residual_codes(x: Tensor, codebooks: Sequence[Tensor], stages: int | None = None) -> Tensor:
    """Stage after stage the nearest entry to what the stages before have left: codes of x `[N, D]`, int64 `[N, Q]`.

    Q is `stages`, or all codebooks for None and where it is more.
    """
    if uses_triton(x, *codebooks):
        from xcodec_fast.kernels import rvq

        tables = (derived(prepare, *codebooks)[:stages] for prepare in (_stacked, _half_norms))
        return rvq.search(x.float().contiguous(), *tables)
    codes = []
    for codebook in codebooks[:stages]:
        if cpu.suits([codebook], x):
            stage = cpu.linear(x, [codebook], [derived(_minus_half_norms, codebook)]).argmax(1)
        else:
            stage = nearest_codes(x, codebook)
        x = x - F.embedding(stage, codebook)
        codes.append(stage)
    return torch.stack(codes, 1)


def _minus_half_norms(codebook: Tensor) -> Tensor:
    return -_half_norms(codebook)[0].to(codebook.dtype)


def _stacked(*codebooks: Tensor) -> Tensor:
    return torch.stack(codebooks).float()


def _half_norms(*codebooks: Tensor) -> Tensor:
    # In float64: where the residual is short against the entries, float32's rounding of |E|^2 would decide. Not so in
    # `nearest_codes`, which runs on any device, and MPS has no float64.
    return (torch.stack(codebooks).double().square().sum(-1) / 2).float()


def projected_sum(codes: Tensor, codebooks: Sequence[Tensor], projection: Any) -> Tensor:
    """projection(sum over the stages of the codes' entries). Codes `[N, Q]`, Q at most the codebooks -> `[N, C]`."""
    if not is_plain(projection) or not uses_triton(codebooks[0], *codebooks[1:], codes, projection):
        return linear(summed(codes, codebooks), projection)

    def kernels(weight: Tensor, bias: Tensor | None, *codebooks: Tensor) -> Tensor:
        from xcodec_fast.kernels import rvq_decode

        tables = derived(_tables, weight, *codebooks)[: codes.shape[1]]
        return rvq_decode.decode(codes.contiguous(), tables, None if bias is None else bias.contiguous())

    def formula(weight: Tensor, bias: Tensor | None, *codebooks: Tensor) -> Tensor:
        return F.linear(summed(codes, codebooks), weight, bias)

    return with_gradients(kernels, formula, projection.weight, projection.bias, *codebooks)


def summed(codes: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """The sum over the stages of the codes' entries. Codes `[N, Q]` -> `[N, D]`."""
    total = F.embedding(codes[:, 0], codebooks[0])
    for stage in range(1, codes.shape[1]):
        total = total + F.embedding(codes[:, stage], codebooks[stage])
    return total


def _tables(weight: Tensor, *codebooks: Tensor) -> Tensor:
    """Each entry through the projection already: `[Q, K, C]`."""
    return torch.stack(codebooks) @ weight.t()
