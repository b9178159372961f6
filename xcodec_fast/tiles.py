"""Long codes decoded a tile at a time, so that memory does not grow with their length; exact up to rounding.

    |context|          tile          |context|
....#########################################....   what is decoded; of the audio, the tile's is kept
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from xcodec_fast import onednn
from xcodec_fast.intervals import Interval

FRAMES = 500  # of the longest tile; on each side the default model's layers reach 10 more


def suit(model: Any) -> bool:
    """Whether `decode` itself goes through a clip in tiles: on a CPU, and without a gradient."""
    return onednn.suits(model.fc2.weight, *model.acoustic_decoder.parameters())


def decoded(model: Any, audio_codes: Tensor, own: Interval | None) -> Tensor:
    """Codes `[B, Q, F]` -> audio `[B, 1, F hop]`, row by row, zero past a row's own frames, which begin with 0."""
    frames, hop = audio_codes.shape[2], model.config.hop_length
    lengths = [frames] * len(audio_codes) if own is None else own.length.tolist()
    audio = model.fc2.weight.new_zeros(len(audio_codes), 1, frames * hop)
    for row, codes, length in zip(audio, audio_codes, lengths, strict=True):
        at = 0
        for tile in decode_tiles(model, codes[None, :, :length]):
            row[..., at : at + tile.shape[-1]] = tile[0]
            at += tile.shape[-1]
    return audio


def decode_tiles(model: Any, audio_codes: Tensor) -> Iterator[Tensor]:
    """Codes `[1, Q, F]` -> audio `[1, 1, t]` in pieces, which put together are the decoder's of all codes.

    A piece is decoded with as many frames on each side as the decoder's layers reach, so that it equals the whole's up
    to rounding (2e-5 of a peak of 0.5 in float32, 1e-14 in float64).
    """
    context, hop, frames = model.acoustic_decoder.context(), model.config.hop_length, audio_codes.shape[2]
    size = -(-frames // -(-frames // FRAMES))  # as even as they can be
    for start in range(0, frames, size):
        stop, first = min(start + size, frames), max(0, start - context)
        latent = model.latent(audio_codes[..., first : stop + context].to(model.device))
        yield model.acoustic_decoder(latent)[..., (start - first) * hop : (stop - first) * hop]
