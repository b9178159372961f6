"""The codes of a window's chunk: what `encode` of the window gives, computed for the chunk's frames alone.

The semantic model needs the whole window: its attention and its group norm see all of it. Every convolution behind it,
the acoustic encoder and the quantizer need the chunk and what they read around it.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.frames import whole_frames_pad
from xcodec_fast.intervals import Interval


def chunk_codes(
    model: Any,
    window: Tensor,
    own: Interval | None,
    first: int,
    last: int,
    bandwidth: float,
    acoustic: Tensor | None = None,
) -> Tensor:
    """Codes `[B, Q, last - first]` of the frames first ... last - 1.

    Args:
        model: an XcodecModel.
        window: `[B, 1, W hop]`, zero outside `own`.
        own: the frames of each row that count, as if the window were those alone; None for all.
        first, last: frames that lie in every row's own, or whose codes are not looked at.
        bandwidth: kbps.
        acoustic: the acoustic features of these frames, `[B, C, last - first]`, where they are known.
    """
    if acoustic is None:
        acoustic = _acoustic(model, window, own, first, last)
    embeddings = model.fuse(acoustic, _semantic(model, window, own, first, last))
    return model.quantizer.encode(embeddings, bandwidth).transpose(0, 1)


def _acoustic(model: Any, window: Tensor, own: Interval | None, first: int, last: int) -> Tensor:
    hop, encoder, pad = model.config.hop_length, model.acoustic_encoder, whole_frames_pad(model)
    frames = window.shape[-1] // hop
    before, after = encoder.context()
    low, high = max(0, first - before), min(frames, last + after)
    if pad:  # then the whole row is shifted against its frames
        low, high = 0, frames
    audio = F.pad(window[..., low * hop : high * hop], (pad, pad))
    samples = None if own is None else Interval((own.start - low) * hop, own.length * hop + 2 * pad)
    return encoder(audio, samples)[..., first - low : last - low]


def _semantic(model: Any, window: Tensor, own: Interval | None, first: int, last: int) -> Tensor:
    hop, encoder = model.config.hop_length, model.encoder_semantic
    # The padding of hop / 2 on each side is zero before the model, but counts as a row's own in it.
    samples = None if own is None else Interval(own.start * hop, own.length * hop + 2 * model.pad)
    features = model._extract_semantic_features(window, samples).transpose(1, 2)
    of_features = model.semantic_model.feature_extractor.through(samples)
    low, high = encoder.inputs_of(first, last - 1)
    start = max(0, low // encoder.stride)
    offset = start * encoder.stride
    cut = None if of_features is None else Interval(of_features.start - offset, of_features.length)
    refined = encoder(features[..., offset : max(high + 1, offset + 1)], cut)
    return refined[..., first - start : last - start]
