"""The intelligibility loss: how far the envelopes of speech's bands are from moving together, as STOI judges it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_BANDS, _LOWEST = 15, 150.0  # thirds of an octave, and the centre of the lowest in Hz
_WINDOW_MS, _HOP_MS, _SEGMENT = 25.6, 12.8, 30  # of a frame; frames whose envelopes are compared
_SILENT = 1e-4  # of the loudest segment's energy: 40 dB below it


class IntelligibilityLoss(nn.Module):
    """1 - the mean correlation of two clips' envelopes over bands and segments of 384 ms. `[B, 1, T]` twice -> scalar.

    The intermediate measure of STOI (Taal et al., IEEE TASLP 19(7), 2011, equation 5) without its clipping, at the
    clips' own rate; segments that are silent in b are left out. Raises ValueError for clips shorter than a segment.
    """

    hann: Tensor
    bands: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._window, self._hop = (round(rate * ms / 1000) for ms in (_WINDOW_MS, _HOP_MS))
        self._size = 2 ** math.ceil(math.log2(self._window))
        self.shortest = self._window + (_SEGMENT - 1) * self._hop
        self.register_buffer("hann", torch.hann_window(self._window))
        bins = torch.arange(self._size // 2 + 1) * rate / self._size
        centres = _LOWEST * 2 ** (torch.arange(_BANDS)[:, None] / 3)
        self.register_buffer("bands", ((bins >= centres * 2 ** (-1 / 6)) & (bins < centres * 2 ** (1 / 6))).float())

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape[-1] < self.shortest:
            raise ValueError(f"clips of {a.shape[-1]} samples are shorter than a segment of {self.shortest}")
        segments_a, segments_b = self._segments(torch.cat([a, b])[:, 0]).chunk(2)
        energy = segments_b.square().sum((1, 3), keepdim=True)
        heard = (energy > _SILENT * energy.amax(2, keepdim=True)).expand(-1, _BANDS, -1, -1)[..., 0]
        correlation = torch.cosine_similarity(_centred(segments_a), _centred(segments_b), dim=-1, eps=1e-6)
        return 1 - (correlation * heard).sum() / heard.sum().clamp(min=1)

    def _segments(self, audio: Tensor) -> Tensor:
        """`[B, T]` -> envelopes, `[B, bands, segments, 30]`, one more frame a segment."""
        frames = audio.unfold(-1, self._window, self._hop) * self.hann
        spectrum = torch.fft.rfft(frames, self._size)
        power = spectrum.real.square() + spectrum.imag.square()
        # The root's slope is infinite at 0.
        return (power @ self.bands.t() + 1e-9).sqrt().transpose(1, 2).unfold(-1, _SEGMENT, 1)


def _centred(segments: Tensor) -> Tensor:
    return segments - segments.mean(-1, keepdim=True)
