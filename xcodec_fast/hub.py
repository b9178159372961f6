"""Finds a checkpoint's files: an embedded model, an existing folder, or the Hugging Face hub, in this order."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from xcodec_fast.whole import written_whole
from xcodec_fast.words import kind_of

ASSETS = Path(__file__).parent / "assets"
EMBEDDED = ("xcodec-tiny",)
PUBLISHED = tuple(
    f"hf-audio/xcodec-{name}"
    for name in ("hubert-librispeech", "wavlm-mls", "wavlm-more-data", "hubert-general", "hubert-general-balanced")
)


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from; the fields are those of `huggingface_hub.hf_hub_download`.

    They are the options of every `from_pretrained`; `trust_remote_code` is accepted, never acted on.
    """

    name_or_path: str | Path
    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | bool | None = None
    subfolder: str = ""
    local_files_only: bool = False
    trust_remote_code: InitVar[bool] = False

    def __post_init__(self, trust_remote_code: bool) -> None:
        if not isinstance(self.name_or_path, str | Path):
            raise TypeError(f"a checkpoint is named by a str or a Path, but is {kind_of(self.name_or_path)}")
        if not str(self.name_or_path):
            raise ValueError("a checkpoint's name is empty; it must be an embedded model, a folder or a hub id")

    def folder(self) -> Path | None:
        """The folder on this machine; None for a hub id."""
        if self.name_or_path in EMBEDDED:
            return ASSETS / self.name_or_path / self.subfolder
        path = Path(self.name_or_path).expanduser()
        if path.is_file():
            raise NotADirectoryError(f"{path} is a file; a checkpoint is a folder with config.json and its weights")
        return path / self.subfolder if path.is_dir() else None

    def model_id(self) -> str:
        """The name under which others can find the model; of a folder, its own name without where it lies."""
        folder = self.folder()
        if folder is None or self.name_or_path in EMBEDDED:
            return str(self.name_or_path)
        name = folder.resolve().name
        return "" if name in EMBEDDED else name

    def file(self, filename: str) -> Path:
        """The path of a file, downloaded if need be. Raises FileNotFoundError that says where it was looked for."""
        folder = self.folder()
        if folder is None:
            return self._download(filename)
        if not (folder / filename).is_file():
            raise FileNotFoundError(f"{folder} has no {filename}")
        return folder / filename

    def json(self, filename: str) -> dict[str, Any]:
        """The object that a JSON file holds. Raises FileNotFoundError, or ValueError where it is not one."""
        return read_json(self.file(filename))

    def _download(self, filename: str) -> Path:
        name = str(self.name_or_path)
        known = f"{name!r} is neither an embedded model ({', '.join(EMBEDDED)}) nor an existing folder"
        if "/" not in name:
            alike = get_close_matches(name, (*EMBEDDED, *PUBLISHED), n=1)
            raise FileNotFoundError(
                f"{known}, nor a hub id (owner/name)" + (f"; did you mean {alike[0]!r}?" if alike else "")
            )
        # Imported where it is used: it takes a quarter of a second.
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )

        try:
            with _no_word_of_retries():
                path = hf_hub_download(
                    name,
                    filename,
                    subfolder=self.subfolder or None,
                    revision=self.revision,
                    cache_dir=self.cache_dir,
                    token=self.token,
                    local_files_only=self.local_files_only,
                )
        except LocalEntryNotFoundError as error:
            reason = "downloads are off (local_files_only)" if self.local_files_only else "the hub was not reached"
            raise FileNotFoundError(f"{known}; {filename} of it is not in the hub's cache, and {reason}") from error
        except EntryNotFoundError as error:
            raise FileNotFoundError(f"{name!r} on the hub has no {filename}") from error
        except HFValidationError as error:
            raise FileNotFoundError(f"{known}, and not a valid hub id either") from error
        except HfHubHTTPError as error:
            raise FileNotFoundError(f"{known}, and the hub answered: {str(error).splitlines()[0]}") from error
        return Path(path)


@contextmanager
def _no_word_of_retries() -> Iterator[None]:
    """Without a network, huggingface_hub warns of every one; that the hub was not reached is said at the end."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def read_json(path: str | Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises ValueError naming the file where it is not one."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, but holds {kind_of(values)}")
    return values


def write_json(folder: str | Path, filename: str, values: dict[str, Any]) -> None:
    """Writes an object as JSON, keys sorted, into a folder, created if need be."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with written_whole(Path(folder) / filename) as temporary:
        temporary.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
