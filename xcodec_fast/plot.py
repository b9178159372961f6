"""One picture of a round trip: both spectrograms and the token grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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


def _spectrogram(samples: np.ndarray, window: int = 512, hop: int = 128) -> np.ndarray:
    """Magnitudes in dB below the loudest, `[window / 2 + 1, frames]`."""
    padded = np.pad(samples, (window // 2, window // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    magnitude = np.abs(np.fft.rfft(frames, axis=1)).T
    return 20 * np.log10(np.maximum(magnitude / max(magnitude.max(), 1e-9), 10 ** (_FLOOR_DB / 20)))
