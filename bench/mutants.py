"""Whether the tests bite: mutants of the code that they let live. `python -m bench.mutants [FILE ...]`

cosmic-ray (pip install cosmic-ray) changes one operator, number, condition or decorator of a file at a time, in a clone
of the last commit, and runs the tests that are named here for the file. A mutant lives where they pass.
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
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from .machine import header

ROOT = Path(__file__).parent.parent
_FILES = ("test_codes_info.py", "test_container.py", "test_container_damage.py")
_PUSHES, _BATCH = "test_soak.py::test_random_pushes", "test_soak.py::test_a_busy_batch"
_LOW_LATENCY = "test_streaming_decode.py::test_low_latency_decoding[ratio-3-4-2]"
_STREAM = (_PUSHES, _BATCH, _LOW_LATENCY, "test_steps.py", "test_streaming_faults.py")
_STATE = ("test_streaming_damage.py", _BATCH, "test_streaming_faults.py")
# In the order in which they run, what notices most first; little enough that a mutant that lives takes half a minute.
TARGETS = {
    "windows": ("test_windows.py", _PUSHES, "test_errors.py"),
    "container_xcodec": _FILES,
    "bits": _FILES,
    "codes_info": _FILES,
    "quantizer": ("test_quantizer.py", "test_search.py", "test_clients.py::test_quantizer", "test_errors.py"),
    "intervals": ("test_intervals.py", "test_rows.py", "test_errors.py"),
    "rows": ("test_rows.py", "test_errors.py"),
    "frames": ("test_frames.py", "test_errors.py"),
    "lines": _STREAM,
    "steps": _STREAM,
    "stream_rows": _STREAM,
    "stream_side": _STREAM,
    "state_checks": _STATE,
    "stream_states": _STATE,
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


class Clone:
    """The last commit in a folder of its own, where commands run on one core."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
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
            raise RuntimeError(f"{self.name}: {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def mutated(name: str, most: int) -> Tally:
    """At most so many mutants of a file, drawn at random. Raises RuntimeError where the tests fail without one."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(name, Path(folder) / "clone")
        tests = [f"tests/{test}" for test in TARGETS[name]]
        alone = time.perf_counter()
        clone.run(*_PYTEST, *tests)
        command = " ".join([sys.executable, "-m", *_PYTEST, *tests])
        (clone.folder / "mutants.toml").write_text(
            f'[cosmic-ray]\nmodule-path = "xcodec_fast/{name}.py"\nexcluded-modules = []\n'
            f'timeout = {30 + 3 * (time.perf_counter() - alone)}\ntest-command = "{command}"\n'
            '[cosmic-ray.distributor]\nname = "local"\n'
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


def main(names: list[str], most: int, workers: int) -> None:
    """Prints the table, then every survivor."""
    print(*header(), "", sep="\n")
    print("| file | mutants | tried | killed | takes (s) |", "| --- | --- | --- | --- | --- |", sep="\n")
    survivors: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for tally in pool.map(mutated, names, repeat(most)):
            killed = tally.tried - len(tally.survivors)
            print(f"| `{tally.name}.py` | {tally.made} | {tally.tried} | {killed} | {tally.seconds:.0f} |", flush=True)
            survivors += tally.survivors
    print("", *(f"- {survivor}" for survivor in survivors), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(TARGETS)}; all if left out")
    parser.add_argument("--most", type=int, default=20, help="mutants of a file")
    parser.add_argument("--workers", type=int, default=2, help="files at a time, a core each")
    given = parser.parse_args()
    main(given.files or list(TARGETS), given.most, given.workers)
