"""From samples to frames: how many a clip gives, and the padding by which both branches give as many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def frame_counts(model: Any, lengths: Sequence[int]) -> list[int]:
    """Frames of clips of so many samples each. Raises ValueError naming a row that is too short for one."""
    counts = [_semantic_frames(model, samples) for samples in lengths]
    for row, (samples, count) in enumerate(zip(lengths, counts, strict=True)):
        if count < 1:
            raise ValueError(
                f"row {row} of input_values has {samples} samples, but a frame needs at least {_fewest_samples(model)}"
            )
    return counts


def acoustic_pad(model: Any, samples: int, frames: int) -> int:
    """Padding on each side that makes the acoustic branch as long as the semantic one.

    At the default config 0, but hop / 2 where T mod hop is in 80..311. Raises ValueError where neither does.
    """
    output_length = model.acoustic_encoder.output_length
    for pad in (0, model.pad):
        if output_length(samples + 2 * pad) == frames:
            return pad
    raise ValueError(
        f"{samples} samples give {frames} semantic frames, but {output_length(samples)} acoustic ones: the config's "
        "strides and kernels do not fit"
    )


def whole_frames_pad(model: Any) -> int:
    """`acoustic_pad` of clips of whole frames, which depends on T mod hop alone."""
    hop = model.config.hop_length
    return acoustic_pad(model, hop, _semantic_frames(model, hop))


def _semantic_frames(model: Any, samples: int) -> int:
    front_end = model.semantic_model.feature_extractor
    return model.encoder_semantic.output_length(front_end.output_length(samples + 2 * model.pad))


def _fewest_samples(model: Any) -> int:
    """80 at the default config."""
    samples = 1
    while _semantic_frames(model, samples) < 1:
        samples += 1
    return samples
