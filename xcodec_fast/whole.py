"""Files that are written whole or not at all, the folders for them, and files that are read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path`, which takes its place when the block ends without an error.

    On an error, Ctrl-C included, the temporary file is removed and `path` is as it was. Of a link the
    target is replaced; a file's mode stays. Raises OSError that names `path` where it cannot be written.
    """
    check_writable(path)
    target = Path(os.path.realpath(path))
    try:
        # In a folder of its own the file keeps its name: by its suffix libraries know the format.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as folder:
            temporary = Path(folder) / target.name
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    except OSError as error:
        if error.errno is None:  # says of itself what it is
            raise
        raise OSError(f"{path} cannot be written: {error.strerror}") from error


def check_writable(path: str | Path) -> None:
    """Raises OSError where `path` has no folder, or is something else than a file."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} cannot be written: it is no regular file")


def check_readable(path: str | Path) -> None:
    """Raises FileNotFoundError where `path` is no regular file: a pipe would be waited for without end.

    Raises PermissionError where it may not be read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not a file" if Path(path).exists() else f"{path} does not exist")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} cannot be read: permission denied")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; raises OSError that names what is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the folder {path} cannot be made: {error.strerror}") from error


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in a folder and those within that end in one of these suffixes, in any case; sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
