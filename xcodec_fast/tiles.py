"""Long codes decoded a tile at a time, so that only codes and audio grow with their length; exact up to rounding.

    |context|          tile          |context|
....#########################################....   what is decoded; of the audio, the tile's is kept
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import cpu
from xcodec_fast.intervals import Interval, evenly
from xcodec_fast.plain import is_unseen

FRAMES = 500  # of the longest tile; on each side the default model's layers reach 10 more
_TOGETHER = 125  # frames of rows that are decoded at once; four rows of 2 s take 8 % longer all at once


def suit(model: Any) -> bool:
    """Whether `decode` itself goes through clips in tiles: on a CPU, of layers that nobody sees called."""
    decoder = model.acoustic_decoder
    return is_unseen(decoder, model.fc2, *decoder.convs) and cpu.suits(
        (model.fc2.weight, model.fc2.bias, *model.quantizer.codebooks, *decoder.parameters())
    )


def decoded(model: Any, audio_codes: Tensor, own: Interval | None) -> Tensor:
    """Codes `[B, Q, F]` -> audio `[B, 1, F hop]`, zero past a row's own frames, which begin with 0.

    Short rows a few at a time, longer ones alone.
    """
    batch, _, frames = audio_codes.shape
    rows = 1 if frames > FRAMES else max(1, _TOGETHER // frames)
    lengths = torch.full((batch,), frames) if own is None else own.length
    audio = []
    for codes, length in zip(audio_codes.split(rows), lengths.split(rows), strict=True):
        if frames > FRAMES:
            piece = torch.cat(list(decode_tiles(model, codes[..., : int(length)])), -1)
            audio.append(F.pad(piece, (0, frames * model.config.hop_length - piece.shape[-1])))
        else:
            interval = None if own is None else Interval(torch.zeros_like(length), length)
            audio.append(model.acoustic_decoder(model.latent(codes), interval))
    return torch.cat(audio)


def decode_tiles(model: Any, audio_codes: Tensor) -> Iterator[Tensor]:
    """Codes `[1, Q, F]` -> audio `[1, 1, t]` in pieces, which put together are the decoder's of all codes.

    A piece is decoded with as many frames on each side as the decoder's layers reach, so that it equals the whole's up
    to rounding.
    """
    context, hop, frames = model.acoustic_decoder.context(), model.config.hop_length, audio_codes.shape[2]
    for start, stop in evenly(frames, FRAMES):
        first = max(0, start - context)
        latent = model.latent(audio_codes[..., first : stop + context].to(model.device))
        yield model.acoustic_decoder(latent)[..., (start - first) * hop : (stop - first) * hop]
