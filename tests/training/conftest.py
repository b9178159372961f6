"""Fixtures: a recipe of a model that trains in seconds, and a folder of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

SMALL: dict[str, Any] = {
    "codebook_size": 32,
    "target_bandwidths": [0.25, 0.5, 1],
    "acoustic_model_config": {
        "encoder_hidden_size": 4,
        "decoder_hidden_size": 64,
        "downsampling_ratios": [8, 8, 5],
        "upsampling_ratios": [5, 8, 8],
        "hidden_size": 16,
    },
    "semantic_model_config": {
        "model_type": "hubert",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "mask_time_prob": 0.0,
    },
}


def tone(seconds: float, hertz: float) -> np.ndarray:
    """A gliding tone with a slow tremolo, and a little noise."""
    t = np.arange(int(16000 * seconds)) / 16000
    noise = np.random.default_rng(int(hertz)).standard_normal(len(t))
    return 0.3 * np.sin(2 * np.pi * (hertz + 40 * t) * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2 + 0.003 * noise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seconds of two kinds, three clips, with a manifest that leaves one out."""
    audio = tmp_path / "audio"
    audio.mkdir()
    for name, hertz in (("a", 220), ("b", 330), ("c", 440), ("unlisted", 550)):
        soundfile.write(audio / f"{name}.wav", tone(1, hertz), 16000)
    (audio / "MANIFEST.csv").write_text("file,kind\na.wav,speech\nb.wav,speech\nc.wav,music\n")
    return audio


@pytest.fixture
def values(folder: Path) -> dict[str, Any]:
    """A recipe's values."""
    return {
        "model": SMALL,
        "audio": str(folder),
        "steps": 8,
        "held_out": 0,
        "crop_frames": 10,
        "batch": 4,
        "warmup": 2,
        "quantize_from": 4,
        "windows": [128, 512],
        "evaluate_every": 4,
        "save_every": 4,
    }
