"""What training minimizes: one pass of a batch through the codec, and its losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast.frames import whole_frames_pad
from xcodec_fast.model import XcodecModel
from xcodec_fast.training.intelligibility import IntelligibilityLoss
from xcodec_fast.training.quantization import LearningQuantizer
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.spectral import MelLoss

LOSSES = ("mel", "intelligibility", "waveform", "commitment", "semantic")


class Objective:
    """The losses of a model on a batch, and their weighted sum.

    mel: `MelLoss`; intelligibility: `IntelligibilityLoss`, where its weight is not 0; waveform: |x - y|, mean;
    commitment: of the quantizer; semantic: the semantic features rebuilt from what was quantized, mean square over
    their own (X-Codec, arXiv 2408.17175, section 3.2, but for the division, which makes it 1 for a silent decoder).
    The semantic model is frozen.
    """

    def __init__(self, model: XcodecModel, recipe: Recipe) -> None:
        self.model, self._recipe = model, recipe
        self.quantizer = LearningQuantizer(model.quantizer, recipe.decay, recipe.seed)
        rate, crop = model.config.sample_rate, recipe.crop_frames * model.config.hop_length
        self._mel = MelLoss(recipe.windows, rate).to(model.device)
        self._intelligibility = IntelligibilityLoss(rate).to(model.device) if recipe.intelligibility else None
        if crop <= max(recipe.windows) // 2:
            raise ValueError(
                f"crop_frames is {recipe.crop_frames}, {crop} samples, but the longest of the windows, "
                f"{max(recipe.windows)}, needs more than half of its own"
            )
        if self._intelligibility is not None and crop < self._intelligibility.shortest:
            raise ValueError(
                f"crop_frames is {recipe.crop_frames}, {crop} samples, but the intelligibility loss needs "
                f"{self._intelligibility.shortest} samples"
            )
        self._draw = torch.Generator().manual_seed(recipe.seed)
        model.semantic_model.requires_grad_(False)
        self._encode: Callable[..., Any] = model.acoustic_encoder
        self._decode: Callable[..., Any] = model.acoustic_decoder
        if recipe.compile:
            self._encode = torch.compile(self._encode, dynamic=False)
            self._decode = torch.compile(self._decode, dynamic=False)

    def __call__(self, audio: Tensor, quantized: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Audio `[B, 1, T]`, T whole frames -> the sum, and each loss by name, scalars."""
        model = self.model
        features, embedding = self._embed(audio, self._encode)
        commitment = none = torch.zeros((), device=audio.device)
        if quantized:
            embedding, commitment = self.quantizer(embedding, self._stages(len(audio)).to(audio.device))
        rows = embedding.transpose(1, 2)
        made = self._decode(model.fc2(rows).transpose(1, 2))
        rebuilt = model.decoder_semantic(model.fc1(rows).transpose(1, 2))
        losses = {
            "mel": self._mel(made, audio),
            "intelligibility": none if self._intelligibility is None else self._intelligibility(made, audio),
            "waveform": F.l1_loss(made, audio),
            "commitment": commitment,
            "semantic": F.mse_loss(rebuilt, features) / features.square().mean(),
        }
        total = sum((getattr(self._recipe, name) * losses[name] for name in LOSSES), torch.zeros(()))
        return total, losses

    @torch.no_grad()
    def embeddings(self, audio: Tensor) -> Tensor:
        """What would be quantized, one frame a row. `[B, 1, T]` -> `[B * F, D]`."""
        # Not compiled: clips of any length come here.
        return self._embed(audio, self.model.acoustic_encoder)[1].transpose(1, 2).flatten(0, 1)

    def _embed(self, audio: Tensor, encode: Callable[..., Any]) -> tuple[Tensor, Tensor]:
        """Audio -> semantic features `[B, C, F]`, and embeddings `[B, D, F]`."""
        model = self.model
        features = model._extract_semantic_features(audio).transpose(1, 2)
        pad = whole_frames_pad(model)
        return features, model.fuse(encode(F.pad(audio, (pad, pad))), model.encoder_semantic(features))

    def _stages(self, rows: int) -> Tensor:
        """All of them, or for a share of the rows those of a random target bandwidth."""
        every = torch.tensor([self.model.quantizer.stages(kbps) for kbps in self.model.config.target_bandwidths])
        drawn = every[torch.randint(len(every), (rows,), generator=self._draw)]
        dropped = torch.rand(rows, generator=self._draw) < self._recipe.dropout
        return torch.where(dropped, drawn, every[-1])

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs besides the model's own tensors."""
        return {"draw": self._draw.get_state(), "quantizer": self.quantizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._draw.set_state(state["draw"])
        self.quantizer.load_state_dict(state["quantizer"])
