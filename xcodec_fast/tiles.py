"""A CPU decodes long clips and large batches a tile at a time: what the layers hand on then stays in its caches.

A tile is a step of the exact stream, so nothing is computed twice, and the memory does not grow with the length. Larger
tensors would be mapped and cleared anew for each layer: 10 s of the default model at once meet 280,000 page faults.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import onednn
from xcodec_fast.intervals import Interval
from xcodec_fast.plain import is_plain
from xcodec_fast.steps import DecodeStep
from xcodec_fast.stream_rows import StreamRows

# On 2 cores tiles of 50, 100 and 250 frames take 1.97, 1.80 and 1.83 s for 10 s of audio, one of 500 takes 2.24 s.
_FRAMES = 125
_AT_ONCE = 250


def suit(model: Any) -> bool:
    """Whether a model decodes so: on a CPU, without gradients, by layers whose call is their formula."""
    decoder = model.acoustic_decoder
    return onednn.suits(model.fc2.weight, *decoder.parameters()) and all(
        is_plain(layer, but_for_global_hooks=True) for layer in decoder.modules() if "weight" in layer._parameters
    )


def decoded(model: Any, audio_codes: Tensor, own: Interval | None) -> Tensor:
    """Codes `[B, Q, F]` -> audio `[B, 1, F hop]`, each row's own with an interval, which starts with frame 0."""
    batch, _, frames = audio_codes.shape
    rows = max(1, _AT_ONCE // frames)
    lengths = torch.full((batch,), frames) if own is None else own.length
    audio = []
    for codes, length in zip(audio_codes.split(rows), lengths.split(rows), strict=True):
        if frames > _AT_ONCE:
            audio.append(_in_tiles(model, codes[..., : int(length)], frames))
        else:
            spans = None if own is None else Interval(torch.zeros_like(length), length)
            audio.append(model.acoustic_decoder(model.latent(codes), spans))
    return torch.cat(audio)


def _in_tiles(model: Any, codes: Tensor, frames: int) -> Tensor:
    """One row's codes `[1, Q, f]` -> audio `[1, 1, frames hop]`, zero past its own."""
    hop = model.config.hop_length
    rows = StreamRows(DecodeStep(model), 1, hop, None, codes.shape[1])
    *tiles, last = codes[0].split(_FRAMES, -1)
    for tile in tiles:
        rows.arrive(0, tile)
        rows.advance()
    rows.arrive(0, last)
    rows.end(0)
    rows.advance()
    audio = rows.take(0)
    assert audio is not None  # a row has a frame
    return F.pad(audio, (0, frames * hop - audio.shape[-1]))
