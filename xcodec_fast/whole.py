"""Files that are written whole or not at all, and the folders for them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path`, which takes its place when the block ends without an error.

    On an error, Ctrl-C included, the temporary file is removed and `path` is as it was. Raises OSError that names
    `path` where its folder does not exist, where it is something else than a file, and where it cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} cannot be written: it is no regular file")
    try:
        # A folder of its own, so that the file keeps its name: by its suffix libraries know the format.
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-")
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error
    with folder:
        temporary = Path(folder.name) / path.name
        yield temporary
        os.replace(temporary, path)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; raises OSError that names what is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the folder {path} cannot be made: {error.strerror}") from error
