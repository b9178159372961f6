"""The multi-resolution log-mel loss (as in DAC, arXiv 2306.06546): what two clips' spectrograms differ by."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xcodec_fast.mel import triangles

_FLOOR = 1e-4  # of magnitudes of windows that sum to 1: about -80 dB of a full-scale sine


class MelLoss(nn.Module):
    """The mean over windows of |log10 mel(a) - log10 mel(b)|. `[B, 1, T]` twice -> scalar.

    A window of w samples has w / 12 bands, 5 to 160, and hops by a quarter.
    """

    def __init__(self, windows: tuple[int, ...], rate: int) -> None:
        super().__init__()
        self.windows = windows
        for window in windows:
            hann = torch.hann_window(window)
            self.register_buffer(f"hann{window}", hann / hann.sum())
            self.register_buffer(f"bands{window}", triangles(rate, window, min(160, max(5, window // 12))))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        distances = []
        for window in self.windows:
            mel_a, mel_b = self._log_mel(torch.cat([a, b])[:, 0], window).chunk(2)
            distances.append((mel_a - mel_b).abs().mean())
        return torch.stack(distances).mean()

    def _log_mel(self, audio: Tensor, window: int) -> Tensor:
        hann, bands = self.get_buffer(f"hann{window}"), self.get_buffer(f"bands{window}")
        spectrum = torch.stft(audio, window, window // 4, window=hann, return_complex=True)
        # The root's slope is infinite at 0.
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()
        return (bands @ magnitude).clamp(min=_FLOOR).log10()
