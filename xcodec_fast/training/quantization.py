"""Residual vector quantization that learns: straight-through, codebooks as moving averages (arXiv 1711.00937, A.1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.quantizer import ResidualVectorQuantizer
from xcodec_fast.search import nearest_codes

_REVIVED_BELOW = 0.05  # of an entry's even share of the vectors
_KMEANS_ROUNDS = 12


class LearningQuantizer:
    """Trains the codebooks of a model's quantizer in place; they are no parameters, so no optimizer touches them.

    decay: of the moving averages; seed: of the draws of revived entries.
    """

    def __init__(self, quantizer: ResidualVectorQuantizer, decay: float, seed: int) -> None:
        self._quantizer, self._decay = quantizer, decay
        self._draw = torch.Generator().manual_seed(seed)
        for stage in quantizer.quantizers:
            book = stage.codebook
            if book.embed.any() and not book.cluster_size.any():  # a checkpoint without what only training reads
                self._begin(book)

    @torch.no_grad()
    def fill(self, embeddings: Tensor) -> None:
        """K-means, stage by stage on what the ones before leave. Embeddings `[N, D]`, N at least the codebook's size.

        Raises ValueError for fewer.
        """
        residual = embeddings
        for stage in self._quantizer.quantizers:
            book = stage.codebook
            size = len(book.embed)
            if len(residual) < size:
                raise ValueError(f"{len(residual)} embeddings cannot fill a codebook of {size} entries")
            book.embed.copy_(residual[self._chosen(len(residual), size)])
            for _ in range(_KMEANS_ROUNDS):
                codes = nearest_codes(residual, book.embed)
                counts, sums = _statistics(codes, residual, size)
                used = counts > 0
                book.embed[used] = sums[used] / counts[used, None]
                unused = int((~used).sum())
                book.embed[~used] = residual[self._chosen(len(residual), unused)]
            self._begin(book)
            residual = residual - F.embedding(nearest_codes(residual, book.embed), book.embed)

    @staticmethod
    @torch.no_grad()
    def _begin(book: Any) -> None:
        """Averages as if every batch had had one vector for each entry, at the entry."""
        book.cluster_size.fill_(1)
        book.embed_avg.copy_(book.embed)

    def __call__(self, x: Tensor, stages: Tensor) -> tuple[Tensor, Tensor]:
        """Quantizes and, in passing, moves the codebooks.

        x: `[B, D, F]`; stages: int64 `[B]`, how many each row is quantized by -> the sum of the entries `[B, D, F]`,
        with x's gradient; the commitment loss, |r - E|^2 / D, its mean over rows and stages, 0 where a row does not use
        one.
        """
        residual = x.transpose(1, 2)
        total = torch.zeros_like(residual)
        losses = []
        for index, stage in enumerate(self._quantizer.quantizers):
            used = (stages > index)[:, None, None]
            flat = residual.detach().flatten(0, 1)
            chosen = nearest_codes(flat, stage.codebook.embed)
            entry = F.embedding(chosen, stage.codebook.embed).view_as(residual)
            losses.append(((residual - entry).square() * used).mean())
            self._update(stage.codebook, chosen, flat)
            total = total + torch.where(used, entry, 0)
            residual = residual - entry
        quantized = x.transpose(1, 2) + (total - x.transpose(1, 2)).detach()
        return quantized.transpose(1, 2), torch.stack(losses).mean()

    @torch.no_grad()
    def _update(self, book: Any, codes: Tensor, vectors: Tensor) -> None:
        """Every entry towards the mean of its vectors; one that has hardly any becomes one of the vectors."""
        counts, sums = _statistics(codes, vectors, len(book.embed))
        book.cluster_size.lerp_(counts, 1 - self._decay)
        book.embed_avg.lerp_(sums, 1 - self._decay)
        share = book.cluster_size.mean()
        dead = (book.cluster_size < _REVIVED_BELOW * share).nonzero()[:, 0][: len(vectors)]
        book.cluster_size[dead] = share
        book.embed_avg[dead] = share * vectors[self._chosen(len(vectors), len(dead))]
        met = book.cluster_size > 0
        book.embed[met] = book.embed_avg[met] / book.cluster_size[met, None]

    def _chosen(self, among: int, count: int) -> Tensor:
        """Different indices below `among`."""
        return torch.randperm(among, generator=self._draw)[:count]

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run needs besides the model's own tensors."""
        return {"draw": self._draw.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._draw.set_state(state["draw"])


def _statistics(codes: Tensor, vectors: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many vectors chose each entry, and their sum. `[N]`, `[N, D]` -> `[K]`, `[K, D]`."""
    counts = torch.bincount(codes, minlength=size).to(vectors.dtype)
    return counts, torch.zeros(size, vectors.shape[1], device=vectors.device).index_add_(0, codes, vectors)
