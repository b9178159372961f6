"""The command line's paths: which input becomes which output, refused before any work is done."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from xcodec_fast.cli_usage import UsageError
from xcodec_fast.whole import check_writable, files_below
from xcodec_fast.words import counted


def pair_paths(
    paths: Sequence[Path], output_dir: Path | None, suffix: str, force: bool, suffixes: Sequence[str]
) -> list[tuple[Path, Path]]:
    """INPUT OUTPUT, or INPUT... with an output folder, as pairs of input and output.

    In the folder an output has its input's name with `suffix`. An input that is a folder stands for the files in it,
    and below, that end in one of `suffixes`; they keep their subfolders. An output folder within it is left out.

    Raises `UsageError` where the paths are neither form; FileNotFoundError, FileExistsError or ValueError where an
    output could not be written, two inputs have the same output, or an output is an input. One that exists is refused
    here if it is the only one and without `force`; of several, `require_free` refuses each in its turn.
    """
    if output_dir is None:
        pairs = [_single(paths)]
    else:
        check_output_dir(output_dir)
        pairs = [pair for path in dict.fromkeys(paths) for pair in _into(path, output_dir, suffix, suffixes)]
    for output, times in Counter(output for _, output in pairs).items():
        if times > 1:
            sources = ", ".join(str(source) for source, target in pairs if target == output)
            raise ValueError(
                f"{output} would be written {times} times, from {sources}: give each another output or --output-dir"
            )
    require_no_input([output for _, output in pairs], [source for source, _ in pairs])
    if len(pairs) == 1:
        require_free(pairs[0][1], force)
    return pairs


def check_output_dir(path: Path) -> None:
    """Raises FileExistsError where there is something else than a folder."""
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"--output-dir {path} is not a folder")


def require_no_input(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises ValueError where an output is one of the inputs."""
    read = set(map(os.path.realpath, inputs))
    for output in outputs:
        if os.path.realpath(output) in read:
            raise ValueError(f"{output} is an input itself: give another output")


def require_free(output: Path, force: bool) -> None:
    """Raises FileExistsError where there is something already, which only `force` replaces."""
    if output.exists() and not force:
        raise FileExistsError(f"{output} exists already: --force replaces it")


def _single(paths: Sequence[Path]) -> tuple[Path, Path]:
    if len(paths) != 2:
        raise UsageError(
            "give one input and one output, or --output-dir with any number of inputs, "
            f"not {counted(len(paths), 'path')}"
        )
    source, output = paths
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: folders are taken with --output-dir")
    check_writable(output)
    return source, output


def _into(path: Path, output_dir: Path, suffix: str, suffixes: Sequence[str]) -> list[tuple[Path, Path]]:
    if not os.path.isdir(path):  # Path.is_dir raises where a folder above may not be entered
        return [(path, output_dir / path.with_suffix(suffix).name)]
    made = output_dir.resolve()
    within = path.resolve() in made.parents
    found = [file for file in files_below(path, suffixes) if not (within and made in file.resolve().parents)]
    if not found:
        where = f" outside {output_dir}" if within else ""
        raise FileNotFoundError(f"{path} holds no input{where}: no file there ends in {', '.join(suffixes)}")
    return [(file, output_dir / file.relative_to(path).with_suffix(suffix)) for file in found]
