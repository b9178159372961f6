"""The bundled speech clip, or a stand-in where no audio file can be read."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xcodec_fast.audio import load_audio
from xcodec_fast.hub import ASSETS

RATE = 16000
_SYLLABLES = 20


def speech_clip() -> Tensor:
    """`[T]` at 16 kHz: the bundled clip; without soundfile six seconds of a synthetic voice, always the same."""
    try:
        return torch.from_numpy(load_audio(ASSETS / "speech.flac", RATE).samples)
    except ImportError:
        return torch.from_numpy(_synthetic())


def _synthetic() -> np.ndarray:
    """Syllables of a hiss, a voice and a pause."""
    random = np.random.default_rng(0)
    parts = [part for _ in range(_SYLLABLES) for part in (_hiss(random), _voice(random), np.zeros(RATE // 20))]
    samples = np.concatenate(parts)
    samples += 1e-4 * random.standard_normal(len(samples))
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def _hiss(random: np.random.Generator) -> np.ndarray:
    count = RATE // 20
    return 0.3 * np.hanning(count) * np.diff(random.standard_normal(count + 1))


def _voice(random: np.random.Generator) -> np.ndarray:
    """Harmonics of a gliding pitch, louder near three formants."""
    count = RATE // 5
    pitch = np.linspace(random.uniform(90, 220), random.uniform(90, 220), count)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = random.uniform((250, 900, 2200), (800, 2100, 3200))
    harmonics = np.arange(1, 35)[:, None]
    nearness = np.exp(-(((harmonics * pitch - formants[:, None, None]) / 150) ** 2)).sum(0)
    return np.hanning(count) * ((nearness + 0.02) / harmonics**0.5 * np.sin(harmonics * phase)).sum(0)
