"""The residual vector quantizer (SoundStream, arXiv 2107.03312, Algorithm 1)."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec_fast.config import XcodecConfig
from xcodec_fast.search import nearest_codes, residual_codes, summed


class Codebook(nn.Module):
    """K entries of D values, with the statistics by which training moves them. Zero until loaded or filled."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.inited: Tensor
        self.cluster_size: Tensor
        self.embed: Tensor
        self.embed_avg: Tensor
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("embed", torch.zeros(size, dim))
        self.register_buffer("embed_avg", torch.zeros(size, dim))

    def encode(self, residual: Tensor) -> Tensor:
        """Index of the nearest entry, ties to the lowest. `[..., D]` -> int64 `[...]`."""
        return nearest_codes(residual.flatten(0, -2), self.embed).view(residual.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        """The entries of the codes. `[...]` -> `[..., D]`."""
        return F.embedding(codes.to(self.embed.device), self.embed)


class VectorQuantizer(nn.Module):
    """One stage."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.codebook = Codebook(size, dim)

    def encode(self, residual: Tensor) -> Tensor:
        """`[B, D, F]` -> codes `[B, F]`."""
        return self.codebook.encode(residual.transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[B, F]` -> `[B, D, F]`."""
        return self.codebook.decode(codes).transpose(1, 2)


class ResidualVectorQuantizer(nn.Module):
    """Q stages, each of which quantizes what the ones before have left."""

    def __init__(self, config: XcodecConfig) -> None:
        super().__init__()
        self.num_quantizers = config.num_quantizers
        self.codebook_size = config.codebook_size
        self.frame_rate = config.frame_rate
        self.quantizers: Any = nn.ModuleList(
            VectorQuantizer(config.codebook_size, config.codebook_dim) for _ in range(config.num_quantizers)
        )

    @property
    def codebooks(self) -> list[Tensor]:
        """Every stage's entries, `[K, D]`."""
        return [quantizer.codebook.embed for quantizer in self.quantizers]

    def is_filled(self) -> bool:
        """Whether every stage has entries: those of a new model are zero."""
        return all(bool(codebook.any()) for codebook in self.codebooks)

    def get_bandwidth_per_quantizer(self) -> float:
        """log2(K) * frames per second / 1000, in kbps."""
        return math.log2(self.codebook_size) * self.frame_rate / 1000

    def get_num_quantizers_for_bandwidth(self, bandwidth: float | None = None) -> int:
        """Stages that a bandwidth in kbps pays for, at least one; all of them for None.

        As in the reference, the result is not limited to the stages that there are (K = 300 at 4 kbps gives 9 of 8).
        """
        if bandwidth is None or bandwidth <= 0:
            return self.num_quantizers
        return max(1, math.floor(bandwidth / self.get_bandwidth_per_quantizer()))

    def stages(self, bandwidth: float) -> int:
        """Stages that there are for a bandwidth in kbps."""
        return min(self.get_num_quantizers_for_bandwidth(bandwidth), self.num_quantizers)

    def codebooks_hash(self) -> bytes:
        """Which codebooks these are: BLAKE2b, 16 bytes, of all entries as little-endian bfloat16, stage after stage.

        In bfloat16, so that a model loaded in it has the hash of its checkpoint in float32.
        """
        digest = hashlib.blake2b(digest_size=16)
        for quantizer in self.quantizers:
            entries = quantizer.codebook.embed.detach().to("cpu", torch.bfloat16)
            digest.update(entries.view(torch.int16).numpy().astype("<i2").tobytes())
        return digest.digest()

    def encode(self, embeddings: Tensor, bandwidth: float | None = None) -> Tensor:
        """Embeddings `[B, D, F]` -> codes `[Q, B, F]`, int64, Q the stages that `bandwidth` (kbps) pays for."""
        stages = self.get_num_quantizers_for_bandwidth(bandwidth)
        codes = residual_codes(embeddings.transpose(1, 2).flatten(0, 1), self.codebooks, stages)
        return codes.t().contiguous().unflatten(1, (embeddings.shape[0], embeddings.shape[2]))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[Q, B, F]` -> the sum of their entries, `[B, D, F]`, for any number of the stages.

        Raises IndexError for more stages than there are.
        """
        codebooks = self.codebooks
        total = summed(codes.flatten(1).t().to(codebooks[0].device), codebooks)
        return total.unflatten(0, codes.shape[1:]).transpose(1, 2)
