"""A training recipe: what is trained, on what, how long, and by which losses; read from a YAML file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Recipe:
    """One run of training.

    model: a checkpoint's name or folder to start from, or the dict of a new model's `XcodecConfig`.
    audio: a folder of recordings, mixed down to mono; with a MANIFEST.csv that has the columns file and kind, its clips
        alone.
    kinds: share of the crops by kind; by seconds if empty, and where there is no manifest.
    held_out: clips that are never trained on, but evaluated.
    crop_frames, batch: a step's crops, in frames of the model, and how many.
    gain_db, speed, mix: augmentation: gain within +- dB, speed within +- a share up to 0.5, share of the crops with
        another in the background.
    learning_rate: of AdamW, risen over `warmup` steps, then falling along a cosine to a hundredth at the end. The
        default is a new model's: it spoils a checkpoint, which takes a tenth of it.
    quantize_from: the step before which embeddings go to the decoder as they are; there k-means fills the codebooks.
        It must be 0 for a checkpoint.
    dropout: share of the crops that are quantized by the stages of a random target bandwidth, not by all.
    decay: of the codebooks' moving averages.
    mel, intelligibility, waveform, commitment, semantic: weights of the losses, 0 or more.
    windows: samples of the log-mel loss's windows.
    seed: of everything that is drawn.
    evaluate_every, save_every: steps.
    compile: the acoustic branch by torch.compile.
    """

    model: str | dict[str, Any]
    audio: str
    steps: int
    kinds: dict[str, float] = field(default_factory=dict)
    held_out: int = 4
    crop_frames: int = 30
    batch: int = 8
    gain_db: float = 6.0
    speed: float = 0.1
    mix: float = 0.1
    learning_rate: float = 1e-3
    warmup: int = 200
    quantize_from: int = 0
    dropout: float = 0.5
    decay: float = 0.998
    mel: float = 1.0
    intelligibility: float = 0.0
    waveform: float = 0.3
    commitment: float = 0.25
    semantic: float = 0.1
    windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    seed: int = 0
    evaluate_every: int = 500
    save_every: int = 500
    compile: bool = False

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.type == "float":
                object.__setattr__(self, item.name, _as_number(getattr(self, item.name)))
        for name in ("steps", "crop_frames", "batch", "warmup", "evaluate_every", "save_every"):
            _require(self, name, int, 1)
        for name in ("held_out", "quantize_from", "seed"):
            _require(self, name, int, 0)
        highest = {"speed": 0.5, "mix": 1, "dropout": 1, "decay": 1}
        for name in ("gain_db", "speed", "mix", "learning_rate", "dropout", "decay"):
            _require(self, name, float, 0, highest.get(name, math.inf))
        for name in ("mel", "intelligibility", "waveform", "commitment", "semantic"):
            _require(self, name, float, 0)
        if self.quantize_from >= self.steps:
            raise ValueError(f"quantize_from is {self.quantize_from}, but must be less than steps, {self.steps}")
        if not isinstance(self.model, str | dict):
            raise ValueError(f"model is {self.model!r}, but must be a checkpoint's name or a config")
        if not isinstance(self.audio, str):
            raise ValueError(f"audio is {self.audio!r}, but must be a folder")
        if type(self.compile) is not bool:
            raise ValueError(f"compile is {self.compile!r}, but must be true or false")
        windows = tuple(self.windows) if isinstance(self.windows, list | tuple) else (self.windows,)
        if not windows or any(type(window) is not int or window < 16 for window in windows):
            raise ValueError(f"windows is {list(windows)}, but must be whole numbers of samples, 16 or more")
        shares = self.kinds.values() if isinstance(self.kinds, dict) else [None]
        if any(type(share) not in (int, float) or share <= 0 for share in shares):
            raise ValueError(f"kinds is {self.kinds}, but must give each kind a share above 0")
        object.__setattr__(self, "windows", windows)

    @classmethod
    def from_yaml(cls, name_or_path: str | Path) -> Recipe:
        """A recipe that the package holds ("xcodec-tiny"), or a file.

        Raises FileNotFoundError where there is none, IsADirectoryError for a folder, and ValueError, naming the key,
        where it is none.
        """
        import yaml  # where used: it takes 20 ms

        embedded = RECIPES / f"{name_or_path}.yaml"
        path = embedded if embedded.is_file() else Path(name_or_path)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; a recipe is a YAML file")
        if not path.is_file():
            held = ", ".join(sorted(file.stem for file in RECIPES.glob("*.yaml")))
            raise FileNotFoundError(f"no recipe {name_or_path}: give a YAML file, or one of those embedded: {held}")
        try:
            text = path.read_text(encoding="utf-8")
            _require_unique_keys(yaml.compose(text, yaml.SafeLoader))
            return cls.from_dict(yaml.safe_load(text))
        except yaml.MarkedYAMLError as error:
            line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
            raise ValueError(f"{path}: {line}{error.problem}") from error
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, values: Any) -> Recipe:
        """Raises ValueError on keys that a recipe has not, or lacks."""
        if not isinstance(values, dict):
            raise ValueError("a recipe is a mapping of keys to values")
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown keys {', '.join(unknown)}; a recipe has {', '.join(sorted(known))}")
        if missing := [name for name in ("model", "audio", "steps") if name not in values]:
            raise ValueError(f"lacks {', '.join(missing)}")
        return cls(**values)

    def but(self, **values: Any) -> Recipe:
        """The same with other values of some keys. Raises ValueError as `from_dict` does."""
        return self.from_dict({**self.to_dict(), **values})

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "windows": list(self.windows)}


def _as_number(value: Any) -> Any:
    """YAML reads 1e-4 as a text: a number there has a dot."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _require_unique_keys(node: Any) -> None:
    """Of a key that a YAML mapping, or one within it, gives twice, YAML's reader would take the last."""
    seen: set[str] = set()
    for key, value in node.value if node is not None and node.id == "mapping" else []:
        if str(key.value) in seen:
            raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value} is given a second time")
        seen.add(str(key.value))
        _require_unique_keys(value)


def _require(recipe: Recipe, name: str, kind: type, lowest: float, highest: float = math.inf) -> None:
    value = getattr(recipe, name)
    right = type(value) is int if kind is int else type(value) in (int, float)
    if not right or not lowest <= value <= highest:
        what = "a whole number" if kind is int else "a number"
        limits = f"{lowest} or more" if highest == math.inf else f"{lowest} to {highest}"
        raise ValueError(f"{name} is {value!r}, but must be {what}, {limits}")
