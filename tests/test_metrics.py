"""Metrics of reconstructions where their values are known."""

import math

import pytest
import torch

from xcodec_fast.metrics import distances, hearing_metrics, si_sdr, stft_distance


def _tone(amplitude=0.5, hertz=440.0):
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(16000) / 16000)


def test_equal_clips_are_nothing_apart(speech):
    found = distances(speech[:32000], speech[:32000], 16000)
    assert found["log_mel_db"] == 0
    assert found["stft"] == 0
    assert found["si_sdr_db"] > 100
    assert found["stoi"] == pytest.approx(1, abs=1e-6)


def test_si_sdr_of_a_known_mixture():
    """A cosine of a tenth beside a sine is 20 dB below it, however loud both are."""
    t = 2 * math.pi * 440 * torch.arange(16000) / 16000
    mixture = torch.sin(t) + 0.1 * torch.cos(t)
    assert si_sdr(torch.sin(t), mixture) == pytest.approx(20, abs=1e-3)
    assert si_sdr(torch.sin(t), 7 * mixture) == pytest.approx(20, abs=1e-3)


def test_silence_has_no_si_sdr():
    silence = torch.zeros(16000)
    assert math.isnan(si_sdr(silence, _tone()))
    assert math.isnan(si_sdr(_tone(), silence))
    assert math.isnan(stft_distance(silence, _tone()))
    assert math.isnan(hearing_metrics()["stoi"](silence.numpy(), silence.numpy(), 16000))


def test_one_sample_has_no_si_sdr():
    """Any other is a multiple of it: there would be no distortion at all."""
    assert math.isnan(si_sdr(torch.tensor([0.5]), torch.tensor([0.1])))
    assert math.isfinite(si_sdr(torch.tensor([0.5, 0.1]), torch.tensor([0.1, 0.5])))


def test_half_as_loud_is_a_half_and_its_logarithm_apart():
    """|A - A/2| / |A| = 1/2, and ln 2 wherever the magnitudes are above the floor."""
    noise = torch.randn(16000)
    assert stft_distance(noise, noise / 2) == pytest.approx(0.5 + math.log(2), abs=1e-3)


def test_more_noise_is_less_intelligible(speech):
    clip = speech[:48000]
    stoi = hearing_metrics()["stoi"]
    scores = [stoi(clip.numpy(), (clip + noise * torch.randn(48000)).numpy(), 16000) for noise in (0.01, 0.1, 1)]
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("samples", [1, 200, 500, 2000])
def test_what_is_too_short_is_not_judged(samples):
    assert math.isnan(hearing_metrics()["stoi"](_tone()[:samples].numpy(), _tone()[:samples].numpy(), 16000))


def test_packages_that_are_missing_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert hearing_metrics() == {}
