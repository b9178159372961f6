"""Recordings to train on: a folder's clips in memory, random crops of them, and those held out."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xcodec_fast.audio import audio_files, load_audio
from xcodec_fast.training.recipe import Recipe

MANIFEST = "MANIFEST.csv"
_LOUDNESS_DB, _LOUDEST = -22.0, 0.95  # of a crop before its random gain: RMS; and the peak after it


@dataclass(frozen=True, eq=False)
class Clip:
    """samples: int16 `[T]`, which takes half of float32's memory."""

    name: str
    kind: str
    samples: np.ndarray


class Recordings:
    """The clips of a recipe's folder.

    unread: of a folder without a manifest, what is no audio after all, and why; too_short: clips no longer than a crop.
    has_kinds: whether there is a manifest that tells them; without one, the recipe's kinds are not asked for.
    What is held out is chosen by the clips' names, so that other clips do not change it.

    Raises FileNotFoundError without any, ValueError where a kind of the recipe has none or all would be held out, and
    as `load_audio` does for a file of a manifest.
    """

    def __init__(
        self,
        recipe: Recipe,
        rate: int,
        hop: int,
        progress: Callable[[list[tuple[str, str]]], Iterable[tuple[str, str]]] = lambda files: files,
    ) -> None:
        self._recipe, self._rate, self._crop = recipe, rate, recipe.crop_frames * hop
        folder = Path(recipe.audio)
        self.has_kinds = _source(folder) != folder
        self.unread: list[str] = []
        clips = []
        for name, kind in progress(_files(folder)):
            try:
                clips.append(_loaded(folder, name, kind, rate))
            except (OSError, ValueError) as error:
                if self.has_kinds:
                    raise
                self.unread.append(str(error))
        long_enough = [clip for clip in clips if len(clip.samples) > self._crop * (1 + recipe.speed) + 1]
        self.too_short = len(clips) - len(long_enough)
        held_out = sorted(long_enough, key=lambda clip: _drawn(recipe.seed, clip.name))[: recipe.held_out]
        self.held_out = held_out
        self.clips = [clip for clip in long_enough if clip not in held_out]
        if not self.clips:
            raise ValueError(
                f"{_source(folder)} has {len(long_enough)} recordings longer than a crop of "
                f"{self._crop / rate:.2f} s; held_out is {recipe.held_out}, and none is left to train on"
            )
        self._chances = self._shares(folder, recipe.kinds if self.has_kinds else {})

    @property
    def seconds(self) -> float:
        """What is trained on."""
        return sum(len(clip.samples) for clip in self.clips) / self._rate

    def _shares(self, folder: Path, kinds: dict[str, float]) -> np.ndarray:
        """Of each clip: its chance to be cropped."""
        lengths = np.array([len(clip.samples) for clip in self.clips], dtype=np.float64)
        if kinds:
            known = np.array([clip.kind for clip in self.clips])
            for kind, share in kinds.items():
                if not (known == kind).any():
                    raise ValueError(
                        f"kinds has {kind!r}, but no recording of {folder / MANIFEST} that is longer than a crop "
                        "and not held out is of it"
                    )
                lengths[known == kind] *= share / lengths[known == kind].sum()
            lengths[~np.isin(known, list(kinds))] = 0
        return lengths / lengths.sum()

    def crops(self, draw: np.random.Generator) -> Tensor:
        """A batch of augmented crops, `[B, 1, T]`, float32."""
        return torch.from_numpy(np.stack([self._augmented(draw) for _ in range(self._recipe.batch)]))[:, None]

    def _augmented(self, draw: np.random.Generator) -> np.ndarray:
        crop = self._loud(draw)
        if draw.random() < self._recipe.mix:
            crop += self._loud(draw) * 10 ** (draw.uniform(-20, -3) / 20)
        crop *= 10 ** (draw.uniform(-self._recipe.gain_db, self._recipe.gain_db) / 20)
        return crop * min(1.0, _LOUDEST / max(float(np.abs(crop).max()), 1e-9))

    def _loud(self, draw: np.random.Generator) -> np.ndarray:
        """A crop of one clip at a random speed, brought to one loudness; silence is raised by 40 dB at most."""
        import soxr

        clip = self.clips[draw.choice(len(self.clips), p=self._chances)].samples
        speed = 1 + draw.uniform(-self._recipe.speed, self._recipe.speed)
        length = int(np.ceil(self._crop * speed)) + 1
        start = draw.integers(len(clip) - length + 1)
        crop = clip[start : start + length].astype(np.float32) / 32768
        crop = soxr.resample(crop, self._rate * speed, self._rate, quality="MQ")
        crop = np.pad(crop, (0, max(0, self._crop - len(crop))))[: self._crop]
        loudness = 20 * np.log10(max(float(np.sqrt(np.square(crop).mean())), 1e-9))
        return crop * np.float32(10 ** (min(40.0, _LOUDNESS_DB - loudness) / 20))


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _source(folder: Path) -> Path:
    """What names the recordings: the folder's manifest, if it has one."""
    return manifest if (manifest := folder / MANIFEST).is_file() else folder


def _files(folder: Path) -> list[tuple[str, str]]:
    """Name and kind of each recording."""
    manifest = _source(folder)
    if manifest != folder:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        if not rows or not {"file", "kind"} <= set(rows[0]):
            raise ValueError(f"{manifest} must have rows with the columns file and kind")
        return [(row["file"], row["kind"]) for row in rows]
    return [(str(path.relative_to(folder)), "") for path in audio_files(folder)]


def _loaded(folder: Path, name: str, kind: str, rate: int) -> Clip:
    samples = load_audio(folder / name, rate).samples
    return Clip(name, kind, np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16))
