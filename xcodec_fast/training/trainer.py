"""The loop: steps, learning rate, evaluation of held-out clips, and a checkpoint from which a run goes on."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xcodec_fast.derived import forget_derived
from xcodec_fast.mel import log_mel_distance
from xcodec_fast.model import XcodecModel
from xcodec_fast.training.objective import LOSSES, Objective
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.recordings import Recordings
from xcodec_fast.whole import written_whole

CHECKPOINT, CURVES = "checkpoint.pt", "curves.csv"
# Losses are averages that forget by `_SMOOTHED` a step.
COLUMNS = ("step", "minutes", "learning_rate", "total", *LOSSES, "held_out_mel_db")
_MAY_CHANGE = {"steps", "audio", "learning_rate", "compile", "evaluate_every", "save_every"}
_FILLED_FROM = 24  # vectors for each codebook entry of k-means
_SMOOTHED = 0.98
_CLIPPED = 1.0  # norm of a step's gradient


class Trainer:
    """A run in a folder: `run` makes the steps, and `save` writes what `resume` reads."""

    def __init__(self, model: XcodecModel, recipe: Recipe, recordings: Recordings, folder: Path) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self._recordings = recordings
        self.objective = Objective(model, recipe)
        self._optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad], recipe.learning_rate, betas=(0.8, 0.99)
        )
        self._draw = np.random.default_rng(recipe.seed)
        self.step = 0
        self._seconds = 0.0
        self._smoothed: dict[str, float] = {}

    def run(
        self,
        on_step: Callable[[dict[str, float]], None] = lambda _: None,
        on_row: Callable[[dict[str, float]], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Steps to the recipe's end, or until it is `stopped`, asked between steps; saves on the way and at the end.

        on_step gets the losses, smoothed, by name; on_row each row of the curves, by `COLUMNS`.
        """
        self._keep_rows()
        while self.step < self.recipe.steps and not stopped():
            started = time.monotonic()
            if self.step == self.recipe.quantize_from and not self.model.quantizer.is_filled():
                self._fill()
            losses = self._advance()
            self._seconds += time.monotonic() - started
            self._note(losses)
            on_step(self._smoothed)
            row = None
            if self.step % self.recipe.evaluate_every == 0 or self.step == self.recipe.steps:
                row = self._add_row()
            if self.step % self.recipe.save_every == 0:
                self.save()
            if row is not None:
                on_row(row)
        self.save()

    def _fill(self) -> None:
        needed = _FILLED_FROM * self.model.config.codebook_size
        per_batch = self.recipe.batch * self.recipe.crop_frames
        batches = [self.objective.embeddings(self._batch()) for _ in range(math.ceil(needed / per_batch))]
        self.objective.quantizer.fill(torch.cat(batches))

    def _batch(self) -> Tensor:
        return self._recordings.crops(self._draw).to(self.model.device)

    def learning_rate(self) -> float:
        """Risen along a line, then falling along half a cosine to a hundredth."""
        recipe, step = self.recipe, self.step
        if step < recipe.warmup:
            return recipe.learning_rate * (step + 1) / recipe.warmup
        done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)

    def _advance(self) -> dict[str, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate()
        total, losses = self.objective(self._batch(), quantized=self.step >= self.recipe.quantize_from)
        if not total.isfinite():
            raise FloatingPointError(f"the loss is {total.item()} at step {self.step}: lower the learning_rate")
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), _CLIPPED)
        if not norm.isfinite():
            raise FloatingPointError(f"the gradient is {norm.item()} at step {self.step}: lower the learning_rate")
        self._optimizer.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in {"total": total, **losses}.items()}

    def _note(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            before = self._smoothed.get(name, value)
            self._smoothed[name] = _SMOOTHED * before + (1 - _SMOOTHED) * value

    @torch.inference_mode()
    def held_out_distance(self) -> float:
        """The mean log-mel distance in dB of the held-out clips at the highest bandwidth, or before quantization."""
        distances = []
        for audio in self._held_out():
            if not audio.any():  # from silence every clip is as far
                continue
            if not self.model.quantizer.is_filled():
                rows = self.objective.embeddings(audio)
                made = self.model.acoustic_decoder(self.model.fc2(rows).t()[None])
            else:
                made = self.model.decode(self.model.encode(audio).audio_codes).audio_values
            distances.append(log_mel_distance(made[0, 0], audio[0, 0], self.model.config.sample_rate))
        return sum(distances) / len(distances) if distances else math.nan

    def _held_out_names(self) -> list[str]:
        return sorted(clip.name for clip in self._recordings.held_out)

    def _held_out(self) -> Iterator[Tensor]:
        """At most ten seconds each, whole frames."""
        hop = self.model.config.hop_length
        for clip in self._recordings.held_out:
            frames = min(len(clip.samples), 10 * self.model.config.sample_rate) // hop
            samples = torch.from_numpy(clip.samples[: frames * hop].astype(np.float32) / 32768)
            yield samples[None, None].to(self.model.device)

    def _add_row(self) -> dict[str, float]:
        path = self.folder / CURVES
        new = not path.exists()
        rate = self._optimizer.param_groups[0]["lr"]
        numbers = [rate, *(self._smoothed[name] for name in COLUMNS[3:-1]), self.held_out_distance()]
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(COLUMNS)
            writer.writerow([self.step, f"{self._seconds / 60:.1f}", *(f"{number:.5g}" for number in numbers)])
        return dict(zip(COLUMNS, [self.step, self._seconds / 60, *numbers], strict=True))

    def save(self) -> None:
        """The checkpoint, whole or not at all, and the model as a folder that `from_pretrained` reads."""
        state = {
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "seconds": self._seconds,
            "smoothed": self._smoothed,
            "held_out": self._held_out_names(),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "objective": self.objective.state_dict(),
            "draw": self._draw.bit_generator.state,
        }
        with written_whole(self.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)
        self.model.save_pretrained(self.folder / "model")

    def resume(self) -> dict[str, tuple[Any, Any]]:
        """Goes on from the folder's checkpoint. Returns what is another than in it, of the recipe and "held-out clips":
        key -> (then, now).

        Raises ValueError where the recipe differs in more than `_MAY_CHANGE`, or the checkpoint has more steps than it.
        """
        # On the CPU, where the states of what draws must be; the others are copied to their device.
        state: dict[str, Any] = torch.load(self.folder / CHECKPOINT, map_location="cpu", weights_only=True)
        before, now = Recipe.from_dict(state["recipe"]).to_dict(), self.recipe.to_dict()
        changed = {key: (before[key], value) for key, value in now.items() if before[key] != value}
        if others := sorted(changed.keys() - _MAY_CHANGE):
            told = ", ".join(f"{key} ({before[key]!r}, now {now[key]!r})" for key in others)
            raise ValueError(f"the checkpoint in {self.folder} is of a recipe with another {told}")
        if state["step"] > self.recipe.steps:
            raise ValueError(
                f"the checkpoint in {self.folder} has made {state['step']} steps, but the recipe's end is "
                f"{self.recipe.steps}"
            )
        self.model.load_state_dict(state["model"])
        forget_derived()
        self._optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["objective"])
        self._draw.bit_generator.state = state["draw"]
        held_out = self._held_out_names()
        if state["held_out"] != held_out:
            changed["held-out clips"] = state["held_out"], held_out
        self.step, self._seconds, self._smoothed = state["step"], state["seconds"], state["smoothed"]
        return changed

    def _keep_rows(self) -> None:
        """Drops the curves of steps that are yet to be made: a run that was broken off may have left them."""
        path = self.folder / CURVES
        if not path.exists():
            return
        heading, *rows = path.read_text().splitlines(keepends=True) or [""]
        kept = [row for row in rows if int(row.split(",")[0]) <= self.step]
        if not kept:
            path.unlink()
            return
        with written_whole(path) as temporary:
            temporary.write_text("".join([heading, *kept]))
