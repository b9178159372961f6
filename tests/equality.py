"""When two float32 implementations are said to give the same codes and the same audio.

Rounding alone lets a right implementation decide a near-tie differently, after which the later stages follow another
residual. So: (a) embeddings lie within 1e-4 of the reference run in float64; (b) from one given embedding, each code
is optimal in float64 for the residual of its own prefix, up to 1e-6 (|r|^2 + |E|^2); (c) end to end, in each frame the
first stage that differs from the float32 reference is judged: its excess in float64 is at most 1e-4 (|r|^2 + |E|^2),
and at most one decision in 1,000 begins such a difference.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .pairs import Pair

AUDIO_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}


def assert_same_audio(expected: Tensor, actual: Tensor) -> None:
    """Equal shapes, and values within the dtype's tolerance times max(peak, 1)."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    limit = AUDIO_TOLERANCE[expected.dtype] * expected.abs().max().clamp(min=1)
    assert (actual - expected).abs().max() <= limit


def first_differences(expected: Tensor, actual: Tensor) -> Tensor:
    """Of codes `[B, Q, F]`, where each frame's first stage that differs is: bool, on the CPU."""
    different = (actual != expected).cpu()
    return different & (different.cumsum(1) == 1)


def embeddings(model: Any, audio: Tensor) -> Tensor:
    """What the quantizer is given, `[B, D, F]`, read off either implementation."""
    caught: list[Tensor] = []
    hook = model.fc.register_forward_hook(lambda *args: caught.append(args[2].transpose(1, 2)))
    try:
        model.encode(audio)
    finally:
        hook.remove()
    return caught[0].detach()


def excess(books: Tensor, embedding: Tensor, codes: Tensor) -> Tensor:
    """By how much each code misses the nearest entry, in float64, over |r|^2 + |E|^2, its own prefix subtracted.

    books: `[Q, K, D]`; embedding: `[B, D, F]`; codes: `[B, Q, F]` -> `[B, Q, F]`.
    """
    residual = embedding.double().transpose(1, 2)
    gaps = []
    for book, chosen in zip(books.double(), codes.transpose(0, 1), strict=False):
        distance = torch.cdist(residual, book[None].expand(len(residual), -1, -1)).square()
        picked = distance.gather(2, chosen[..., None])[..., 0]
        entry = book[chosen]
        scale = residual.square().sum(-1) + entry.square().sum(-1)
        gaps.append((picked - distance.min(-1).values) / scale)
        residual = residual - entry
    return torch.stack(gaps, 1)


@dataclass
class CodeEquality:
    """Judges clips one by one and counts; `assert_holds` closes the account and prints it."""

    pair: Pair
    decisions: int = 0
    first_differences: int = 0
    worst_embedding: float = 0.0
    worst_excess: float = 0.0
    worst_gap: float = 0.0
    exact: Any = field(init=False)

    def __post_init__(self) -> None:
        self.exact = copy.deepcopy(self.pair.reference).double()

    def add(self, audio: Tensor, bandwidth: float | None = None) -> None:
        """Compares the codes of float32 audio `[B, 1, T]`."""
        reference, ours = self.pair.reference, self.pair.ours
        books = torch.stack([stage.codebook.embed for stage in ours.quantizer.quantizers])
        expected = reference.encode(audio, bandwidth).audio_codes
        actual = ours.encode(audio, bandwidth).audio_codes
        assert actual.shape == expected.shape
        assert actual.dtype == torch.int64

        truth, own = embeddings(self.exact, audio.double()), embeddings(ours, audio)
        self.worst_embedding = max(self.worst_embedding, float((own - truth).norm() / truth.norm()))
        self.worst_excess = max(self.worst_excess, float(excess(books, own, actual).max()))

        first = first_differences(expected, actual)
        gaps = excess(books, truth, actual)[first]
        self.worst_gap = max(self.worst_gap, float(gaps.max()) if len(gaps) else 0.0)
        self.first_differences += int(first.sum())
        self.decisions += actual.numel()

    def assert_holds(self) -> None:
        """(a), (b) and (c) over all clips."""
        print(
            f"{self.first_differences} first differences in {self.decisions} decisions (gap {self.worst_gap:.1e}); "
            f"embeddings within {self.worst_embedding:.1e}, codes optimal within {self.worst_excess:.1e}"
        )
        assert self.worst_embedding <= 1e-4
        assert self.worst_excess <= 1e-6
        assert self.worst_gap <= 1e-4
        assert self.first_differences <= self.decisions / 1000
