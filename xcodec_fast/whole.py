"""Files that are written whole or not at all, the folders for them, and files that are read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import FileIO
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


class Sink:
    """A file for soundfile to write, which keeps the system's first error, such as that of a full disk, for `check`.

    libsndfile has no words for it, and loses it in formats that write their end when they are closed.
    """

    def __init__(self, file: FileIO) -> None:
        self.seek, self.tell, self.read = file.seek, file.tell, file.read
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """All of it, or, from an error on, nothing; soundfile is told that all was."""
        done = 0
        try:
            while self._error is None and done < len(data):
                done += self._file.write(data[done:])
        except OSError as error:
            self._error = error
        return len(data)

    def check(self) -> None:
        """Raises the first error."""
        if self._error is not None:
            raise self._error


def check_writable(path: str | Path) -> None:
    """Raises OSError where `path` has no folder, or is something else than a file."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} cannot be written: it is no regular file")


def check_readable(path: str | Path) -> None:
    """Raises FileNotFoundError where `path` is no regular file: a pipe would be waited for without end.

    Raises the system's OSError where it cannot be opened.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not a file" if Path(path).exists() else f"{path} does not exist")
    Path(path).open("rb").close()


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; raises OSError that names what is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the folder {path} cannot be made: {error.strerror}") from error


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in a folder and those within that end in one of these suffixes, in any case; sorted.

    Raises the system's OSError where one of the folders cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = (Path(inner, name) for inner, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(path for path in found if path.suffix.lower() in suffixes and path.is_file())
