"""The full-size model, ours and transformers' with the same weights, and audio for them."""

from __future__ import annotations

import torch
import transformers
from torch import Tensor

from xcodec_fast import XcodecConfig
from xcodec_fast.seeding import seeded_model

from .speech import speech_clip
from .timing import DEVICE


class Models:
    """Both models, and audio: the bundled clip, repeated to the length asked for."""

    def __init__(self) -> None:
        clip = speech_clip()
        self.ours = seeded_model(XcodecConfig(), clip[None, None], seed=0).to(DEVICE)
        self.eager = transformers.XcodecModel(transformers.XcodecConfig()).eval()
        self.eager.load_state_dict(self.ours.state_dict())
        self.eager.to(DEVICE)
        self._clip = clip.to(DEVICE)

    def audio(self, batch: int, seconds: int) -> Tensor:
        """`[B, 1, T]`, each row another part of the clip."""
        samples = 16000 * seconds
        at = 7000 * torch.arange(batch, device=DEVICE)[:, None] + torch.arange(samples, device=DEVICE)
        return self._clip[at % len(self._clip)][:, None]
