"""How close a reconstruction is to its clip: spectra, waveform, and what models of hearing say."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from xcodec_fast.mel import log_mel_distance, magnitudes

_WINDOWS = (512, 1024, 2048)
_FLOOR = 1e-5
_SHORTEST_STOI = 0.1  # s; it compares 384 ms of what is not silent


def stft_distance(a: Tensor, b: Tensor) -> float:
    """The mean over windows of |A - B| / |A| (Frobenius) + mean |ln A - ln B| of magnitudes. `[T]` twice.

    Multi-resolution STFT distance (Parallel WaveGAN, arXiv 1910.11480, section 2.2), a quarter of a window a hop. NaN
    where a is silent: everything is infinitely far from it.
    """
    if not a.any():
        return float("nan")
    total = 0.0
    for window in _WINDOWS:
        magnitude = [magnitudes(samples, window, window // 4) for samples in (a, b)]
        convergence = (magnitude[0] - magnitude[1]).norm() / magnitude[0].norm().clamp(min=_FLOOR)
        logarithms = [spectrum.clamp(min=_FLOOR).log() for spectrum in magnitude]
        total += float(convergence + (logarithms[0] - logarithms[1]).abs().mean())
    return total / len(_WINDOWS)


def si_sdr(reference: Tensor, estimate: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (arXiv 1811.02508). `[T]` twice.

    NaN where either is silent, and of clips of one sample, which are all alike but for their scale.
    """
    reference, estimate = reference.double().cpu(), estimate.double().cpu()
    energy = reference.square().sum()
    if energy == 0 or not estimate.any() or len(reference) < 2:
        return float("nan")
    target = (estimate @ reference / energy) * reference
    return float(10 * torch.log10(target.square().sum() / (estimate - target).square().sum()))


def hearing_metrics() -> dict[str, Callable[[np.ndarray, np.ndarray, int], float]]:
    """Name -> metric(reference, estimate, rate) of those whose packages are installed: stoi (pystoi), pesq_wb (pesq).

    A metric gives NaN for a clip that it cannot judge: one that is silent, or too short for it.
    """
    found: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {}
    if importlib.util.find_spec("pystoi"):
        found["stoi"] = _stoi
    if importlib.util.find_spec("pesq"):
        found["pesq_wb"] = _pesq
    return found


def _stoi(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    import warnings

    from pystoi import stoi

    if not reference.any() or len(reference) < _SHORTEST_STOI * rate:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it warns, and gives 1e-5, where there are too few frames
        try:
            return float(stoi(reference, estimate, rate))
        except RuntimeWarning:
            return float("nan")


def _pesq(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    from pesq import PesqError, pesq

    if rate != 16000 or not reference.any():
        return float("nan")
    score = pesq(rate, reference, estimate, "wb", on_error=PesqError.RETURN_VALUES)
    return float(score) if score > 0 else float("nan")


def distances(reference: Tensor, estimate: Tensor, rate: int) -> dict[str, float]:
    """Every metric of two clips `[T]` at `rate` Hz: log_mel_db, stft, si_sdr_db, and those of `hearing_metrics`.

    NaN for a metric that cannot judge them; none can where the reference is silent.
    """
    arrays = reference.cpu().numpy(), estimate.cpu().numpy()
    return {
        "log_mel_db": log_mel_distance(reference, estimate, rate) if reference.any() else float("nan"),
        "stft": stft_distance(reference, estimate),
        "si_sdr_db": si_sdr(reference, estimate),
        **{name: metric(*arrays, rate) for name, metric in hearing_metrics().items()},
    }
