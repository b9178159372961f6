"""One picture of a round trip: both spectrograms and the token grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from xcodec_fast.mel import magnitudes

_FLOOR_DB = -80


def pyplot() -> Any:
    """matplotlib's, drawing to files. Raises ImportError, in one line, where it is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError('no picture without matplotlib: pip install "xcodec-fast[plot]"') from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def plot_round_trip(path: Path, original: np.ndarray, reconstruction: np.ndarray, codes: np.ndarray, rate: int) -> None:
    """Draws audio `[T]` before and after, and codes `[Q, F]`, as a PNG.

    Raises ImportError as `pyplot` does.
    """
    plt = pyplot()
    figure, axes = plt.subplots(3, 1, figsize=(10, 8), sharex=True, layout="constrained")
    seconds = len(original) / rate
    for axis, samples, title in zip(axes, (original, reconstruction), ("original", "reconstruction"), strict=False):
        image = axis.imshow(
            _spectrogram(samples),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, rate / 2000),
            vmin=_FLOOR_DB,
            vmax=0,
        )
        axis.set(title=title, ylabel="kHz")
        figure.colorbar(image, ax=axis, label="dB")
    grid = axes[2].imshow(
        codes,
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, len(codes) + 0.5, 0.5),
        cmap="turbo",
    )
    axes[2].set(title="tokens", ylabel="stage", xlabel="seconds")
    figure.colorbar(grid, ax=axes[2], label="code")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _spectrogram(samples: np.ndarray) -> np.ndarray:
    """In dB below the loudest, `[257, T // 128 + 1]`."""
    spectra = magnitudes(torch.from_numpy(samples), window=512, hop=128)
    return 20 * (spectra / spectra.max().clamp(min=1e-9)).clamp(min=10 ** (_FLOOR_DB / 20)).log10().numpy()
