"""The log-mel distance against the formula, band by band, and as a distance."""

import math

import numpy as np
import pytest
import torch

from xcodec_fast.mel import BANDS, log_mel, log_mel_distance

RATE = 16000


def _by_the_formula(samples):
    """Written out with loops, in float64."""
    padded = np.pad(samples.double().numpy(), 512)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    corners = [700 * (10 ** (at * math.log10(1 + RATE / 1400) / (BANDS + 1)) - 1) for at in range(BANDS + 2)]
    frames = []
    for start in range(0, len(padded) - 1023, 256):
        magnitudes = np.abs(np.fft.rfft(padded[start : start + 1024] * window))
        bands = []
        for low, peak, high in zip(corners, corners[1:], corners[2:], strict=False):
            weights = [np.interp(at * RATE / 1024, [low, peak, high], [0, 1, 0]) for at in range(513)]
            bands.append(20 * math.log10(max(1e-5, float(magnitudes @ weights))))
        frames.append(bands)
    return torch.tensor(frames).t()


def test_bands_are_the_formulas(speech):
    samples = speech[8000:10500]
    expected = _by_the_formula(samples)
    assert expected.shape == (BANDS, 2500 // 256 + 1)
    assert torch.allclose(log_mel(samples, RATE).double(), expected.double(), atol=0.05)


def test_it_is_a_distance(speech):
    a, b = speech[8000:16000], speech[16000:24000]
    assert log_mel_distance(a, a, RATE) == 0
    assert log_mel_distance(a, b, RATE) == log_mel_distance(b, a, RATE) > 1
    assert log_mel_distance(a, a / 2, RATE) == pytest.approx(20 * math.log10(2), abs=0.05)
    assert log_mel_distance(a, a + 0.001 * torch.randn(8000), RATE) < log_mel_distance(a, b, RATE)


def test_a_tone_is_in_its_band():
    tone = torch.sin(torch.arange(16000) * 2 * math.pi * 1000 / RATE)
    corner = 2595 * math.log10(1 + 1000 / 700) / (2595 * math.log10(1 + RATE / 1400)) * (BANDS + 1)
    assert abs(int(log_mel(tone, RATE)[:, 30].argmax()) + 1 - corner) < 1


def test_short_clips_and_silence():
    assert log_mel(torch.zeros(1), RATE).tolist() == [[-100.0]] * BANDS
    with pytest.raises(ValueError, match=r"these are \[3\] and \[4\]"):
        log_mel_distance(torch.zeros(3), torch.zeros(4), RATE)
