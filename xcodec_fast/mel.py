"""How far two clips are apart to the ear, roughly: by their log-mel spectrograms.

A frame is the magnitude spectrum of 1024 samples under a Hann window, every 256 samples. 80 triangles, whose corners
lie evenly on the mel scale from 0 Hz to half the rate, sum it up to a band each, which is taken in dB, from 1e-5 on.
mel(f) = 2595 log10(1 + f / 700): O'Shaughnessy, Speech Communication: Human and Machine, 1987; so in HTK.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

BANDS = 80
_WINDOW, _HOP, _FLOOR = 1024, 256, 1e-5


def log_mel(samples: Tensor, rate: int) -> Tensor:
    """Samples `[T]` at `rate` Hz -> dB, `[BANDS, T // 256 + 1]`; the clip counts as zero around its ends."""
    return 20 * (triangles(rate, _WINDOW, BANDS) @ magnitudes(samples, _WINDOW, _HOP)).clamp(min=_FLOOR).log10()


def magnitudes(samples: Tensor, window: int, hop: int) -> Tensor:
    """The spectra under a Hann window, `[window / 2 + 1, T // hop + 1]`; the clip counts as zero around its ends."""
    padded = F.pad(samples.float().cpu(), (window // 2, window // 2))
    return torch.stft(padded, window, hop, window=torch.hann_window(window), center=False, return_complex=True).abs()


def log_mel_distance(a: Tensor, b: Tensor, rate: int) -> float:
    """The mean of |log_mel(a) - log_mel(b)| over bands and frames, in dB, of two clips of one length `[T]`.

    Raises ValueError where their lengths differ.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two clips of one length [T] are compared, but these are {list(a.shape)} and {list(b.shape)}")
    return float((log_mel(a, rate) - log_mel(b, rate)).abs().mean())


@cache
def triangles(rate: int, window: int, bands: int) -> Tensor:
    """The weight of every bin of a window's spectrum in every band, `[bands, window / 2 + 1]`."""
    bins = torch.arange(window // 2 + 1) * rate / window
    highest = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700))
    corners = 700 * (10 ** (torch.linspace(0, float(highest), bands + 2) / 2595) - 1)
    low, peak, high = (corners[at : at + bands, None] for at in range(3))
    return torch.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)).clamp(min=0)
