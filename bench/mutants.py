"""Whether the tests bite: mutants of the code that they let live. `python -m bench.mutants [FILE ...]`

cosmic-ray (pip install cosmic-ray) changes one operator, number, condition or decorator of a file at a time, in a clone
of the last commit, and runs the fastest of the tests that are named here for the file, so many seconds of them. A
mutant lives where they pass.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from .machine import header

ROOT = Path(__file__).parent.parent
_FILES = ("test_container", "test_container_damage")
_UNEQUAL = ("test_unequal", "test_tiles", "test_errors")
_STREAM = ("test_soak", "test_streaming_batch", "test_streaming_faults", "test_twin")
_STATE = ("test_streaming_damage", "test_soak", "test_streaming_state")
# The first file is run first: the one that notices most.
TARGETS = {
    "windows": (
        "test_windows",
        "test_soak",
        "test_streaming_encode",
        "test_streaming_faults",
        "test_transcode",
        "test_usage",
    ),
    "container_xcodec": _FILES,
    "bits": _FILES,
    "codes_info": ("test_codes_info", *_FILES),
    "quantizer": (
        "test_quantizer",
        "test_search",
        "test_plain",
        "test_clients",
        "test_errors",
        "test_config",
        "test_outputs",
    ),
    "intervals": ("test_intervals", *_UNEQUAL),
    "rows": ("test_rows", *_UNEQUAL),
    "frames": ("test_frames", *_UNEQUAL),
    "lines": _STREAM,
    "steps": _STREAM,
    "stream_rows": _STREAM,
    "state_checks": _STATE,
    "stream_states": _STATE,
    "stream_side": _STREAM,
}
_PYTEST = ("pytest", "-x", "-q", "-p", "no:cacheprovider")
# `|` stands in annotations, which are never evaluated, and nowhere else in these files.
_NEVER_RUN = re.compile(r"ReplaceBinaryOperator_BitOr_")


class Tally(NamedTuple):
    """Of one file."""

    name: str
    made: int
    tried: int
    survivors: list[str]
    seconds: float


class Test(NamedTuple):
    """One test, by the name that pytest takes, and how long it runs without mutants."""

    seconds: float
    name: str


class Clone:
    """The last commit in a folder of its own, where commands run on one core."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        # Without files of bytecode: they are told apart by whole seconds and sizes, which a mutant may share.
        self._environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}

    def run(self, *words: str) -> None:
        """`python -m` with these words. Raises RuntimeError where it fails."""
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def timed(file: str) -> list[Test]:
    """The tests of one file. Raises RuntimeError where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(Path(folder) / "clone")
        clone.run(*_PYTEST, "--junitxml=times.xml", f"tests/{file}.py")
        cases = ElementTree.parse(clone.folder / "times.xml").iter("testcase")
        return [Test(float(case.attrib["time"]), f"tests/{file}.py::{case.attrib['name']}") for case in cases]


def fastest(tests: list[Test], seconds: float) -> list[str]:
    """The names of the fastest tests that together take no longer, in their order: a file is kept together."""
    chosen = []
    for test in sorted(tests):
        seconds -= test.seconds
        if seconds < 0:
            break
        chosen.append(test)
    return [test.name for test in tests if test in chosen]


def mutated(name: str, tests: list[str], most: int) -> Tally:
    """At most so many mutants of a file, drawn at random. Raises RuntimeError where the tests fail without one."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(Path(folder) / "clone")
        (clone.folder / "tests.txt").write_text("\n".join(tests))
        clone.run(*_PYTEST, "@tests.txt")
        command = " ".join([sys.executable, "-m", *_PYTEST, "@tests.txt"])
        (clone.folder / "mutants.toml").write_text(
            f'[cosmic-ray]\nmodule-path = "xcodec_fast/{name}.py"\ntimeout = 300.0\nexcluded-modules = []\n'
            f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
        )
        database_file = clone.folder / "mutants.sqlite"
        clone.run("cosmic_ray.cli", "init", "mutants.toml", "mutants.sqlite")
        with use_db(database_file, WorkDB.Mode.open) as database:
            items = sorted(database.work_items, key=lambda item: str(item.mutations))
            of_use = [item.job_id for item in items if not _NEVER_RUN.search(item.mutations[0].operator_name)]
            chosen = set(random.Random(0).sample(of_use, min(most, len(of_use))))
            left_out = [item.job_id for item in items if item.job_id not in chosen]
            database.set_multiple_results(left_out, WorkResult(WorkerOutcome.SKIPPED))
        clone.run("cosmic_ray.cli", "exec", "mutants.toml", "mutants.sqlite")
        with use_db(database_file, WorkDB.Mode.open) as database:
            done = [result for item, result in database.completed_work_items if item.job_id in chosen]
        survivors = [_changed_lines(name, result.diff or "") for result in done if not result.is_killed]
    return Tally(name, len(of_use), len(done), sorted(survivors), time.perf_counter() - started)


def _changed_lines(name: str, diff: str) -> str:
    """`file:line: before -> after`."""
    at = re.search(r"^@@ -(\d+)", diff, re.MULTILINE)
    line = int(at[1]) if at else 0
    before, after = [], []
    for text in diff.splitlines():
        if text.startswith("-") and not text.startswith("---"):
            before.append(text[1:].strip())
        elif text.startswith("+") and not text.startswith("+++"):
            after.append(text[1:].strip())
        elif text.startswith(" ") and not before:
            line += 1
    return f"`{name}.py:{line}`: `{' '.join(before)}` -> `{' '.join(after)}`"


def main(names: list[str], most: int, seconds: float, workers: int) -> None:
    """Prints the table, then every survivor."""
    print(*header(), "", sep="\n")
    print("| file | mutants | tried | killed | tests | takes (s) |", "| --- | --- | --- | --- | --- | --- |", sep="\n")
    survivors: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        files = sorted({file for name in names for file in TARGETS[name]})
        times = dict(zip(files, pool.map(timed, files), strict=True))
        tests = [fastest([test for file in TARGETS[name] for test in times[file]], seconds) for name in names]
        for tally, run in zip(pool.map(mutated, names, tests, repeat(most)), tests, strict=True):
            killed = tally.tried - len(tally.survivors)
            cells = (f"`{tally.name}.py`", tally.made, tally.tried, killed, len(run), f"{tally.seconds:.0f}")
            print("|", " | ".join(map(str, cells)), "|", flush=True)
            survivors += tally.survivors
    print("", *(f"- {survivor}" for survivor in survivors), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(TARGETS)}; all if left out")
    parser.add_argument("--most", type=int, default=40, help="mutants of a file")
    parser.add_argument("--seconds", type=float, default=60, help="of tests that a mutant must outlive")
    parser.add_argument("--workers", type=int, default=2, help="files at a time, a core each")
    given = parser.parse_args()
    main(given.files or list(TARGETS), given.most, given.seconds, given.workers)
