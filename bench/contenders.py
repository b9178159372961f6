"""The full-size model, ours and transformers' with the same weights, and audio for them."""

from __future__ import annotations

import torch
import transformers
from torch import Tensor

from xcodec_fast import XcodecConfig
from xcodec_fast.audio import load_audio
from xcodec_fast.demo import SPEECH
from xcodec_fast.seeding import seeded_model

from .timing import DEVICE, GPU


class Models:
    """Both models, and audio: the bundled clip, repeated to the length asked for."""

    def __init__(self) -> None:
        clip = torch.from_numpy(load_audio(SPEECH, 16000).samples)
        self.ours = seeded_model(XcodecConfig(), clip[None, None], seed=0).to(DEVICE)
        self.eager = transformers.XcodecModel(transformers.XcodecConfig()).eval()
        self.eager.load_state_dict(self.ours.state_dict())
        self.eager.to(DEVICE)
        self._clip = clip.to(DEVICE)

    def audio(self, batch: int, seconds: int) -> Tensor:
        """`[B, 1, T]`, each row another part of the clip."""
        samples = 16000 * seconds
        looped = self._clip.repeat(-(-samples // len(self._clip)) + 1)
        return torch.stack([looped[7000 * row : 7000 * row + samples] for row in range(batch)])[:, None]


def synchronize() -> None:
    """Waits for what a GPU has been given."""
    if GPU:
        torch.cuda.synchronize()
