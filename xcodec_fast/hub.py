"""Finds a checkpoint's files: an embedded model, an existing folder, or the Hugging Face hub, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
EMBEDDED = ("xcodec-tiny",)


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from; the fields are those of `huggingface_hub.hf_hub_download`."""

    name_or_path: str
    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | bool | None = None
    subfolder: str = ""
    local_files_only: bool = False

    def folder(self) -> Path | None:
        """The folder on this machine; None for a hub id."""
        if self.name_or_path in EMBEDDED:
            return ASSETS / self.name_or_path
        path = Path(self.name_or_path).expanduser()
        if path.is_file():
            raise NotADirectoryError(f"{path} is a file; a checkpoint is a folder with config.json and its weights")
        return path / self.subfolder if path.is_dir() else None

    def file(self, filename: str) -> Path:
        """The path of a file, downloaded if need be. Raises FileNotFoundError that says where it was looked for."""
        folder = self.folder()
        if folder is None:
            return self._download(filename)
        if not (folder / filename).is_file():
            raise FileNotFoundError(f"{folder} has no {filename}")
        return folder / filename

    def _download(self, filename: str) -> Path:
        # Imported where it is used: it takes a third of a second.
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )

        name = self.name_or_path
        known = f"{name!r} is neither an embedded model ({', '.join(EMBEDDED)}) nor an existing folder"
        try:
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
