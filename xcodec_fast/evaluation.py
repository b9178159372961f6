"""What a model makes of clips, bandwidth by bandwidth: distances of the decoded audio, and how its codes are used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.metrics import distances
from xcodec_fast.model import XcodecModel


@dataclass(frozen=True)
class BandwidthReport:
    """kbps; means: metric -> its mean over the clips that it could judge; clips: metric -> its value of each clip."""

    bandwidth: float
    means: dict[str, float]
    clips: dict[str, list[float]]


@dataclass(frozen=True)
class StageReport:
    """usage: share of the codebook's entries that occur; entropy_bits: of how often they do.

    `highest_usage` is what as many frames would use on average if each entry were as likely as another.
    """

    usage: float
    highest_usage: float
    entropy_bits: float


@dataclass(frozen=True)
class Evaluation:
    """frames: of all clips together."""

    seconds: float
    frames: int
    bandwidths: tuple[BandwidthReport, ...]
    stages: tuple[StageReport, ...]


@torch.inference_mode()
def evaluate(
    model: XcodecModel,
    clips: Sequence[Tensor],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Encodes each clip `[T]` at the model's rate at once, and decodes it at each of the model's bandwidths.

    progress(done, total) counts decoded clips. Raises ValueError without clips, or as `encode` does.
    """
    if not clips:
        raise ValueError("no clips to evaluate")
    config = model.config
    bandwidths = config.target_bandwidths
    found: list[dict[str, list[float]]] = [{} for _ in bandwidths]
    codes = []
    for index, clip in enumerate(clips):
        whole = F.pad(clip, (0, -len(clip) % config.hop_length)).to(model.device, model.dtype)
        encoded = model.encode(whole[None, None]).audio_codes
        codes.append(encoded[0].cpu())
        for at, bandwidth in enumerate(bandwidths):
            stages = model.quantizer.stages(bandwidth)
            made = model.decode(encoded[:, :stages]).audio_values[0, 0, : len(clip)]
            for name, value in distances(clip, made.float(), config.sample_rate).items():
                found[at].setdefault(name, []).append(value)
            progress(index * len(bandwidths) + at + 1, len(clips) * len(bandwidths))
    together = torch.cat(codes, 1)
    return Evaluation(
        seconds=sum(map(len, clips)) / config.sample_rate,
        frames=together.shape[1],
        bandwidths=tuple(
            BandwidthReport(float(kbps), {name: _mean(values) for name, values in metrics.items()}, metrics)
            for kbps, metrics in zip(bandwidths, found, strict=True)
        ),
        stages=tuple(_stage(stage, config.codebook_size) for stage in together),
    )


def _mean(values: Sequence[float]) -> float:
    judged = [value for value in values if not math.isnan(value)]
    return sum(judged) / len(judged) if judged else math.nan


def _stage(codes: Tensor, size: int) -> StageReport:
    counts = torch.bincount(codes, minlength=size).double()
    shares = counts[counts > 0] / counts.sum()
    highest = 1 - (1 - 1 / size) ** len(codes)
    return StageReport(float((counts > 0).double().mean()), highest, float((shares * shares.log2()).sum().abs()))
