"""Compiles the kernels ahead of time, for every target, without a GPU. `python -m bench.aot [--quick]`

All shapes of the default model for sm_90, and a shape of every tile for the others, go to bench/results/; `--quick`
prints one launch of every kernel for every target but sm_89. Exit code 1 where one spills, or needs more shared memory
than the chip has.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import triton

from bench.compiled import SHARED_LIMIT, TARGETS, Launch, compile_for, launches_of_the_model

_MODES = {
    "float32 as three TF32": (torch.float32, "tf32x3"),
    "float32 as TF32": (torch.float32, "tf32"),
    "bfloat16": (torch.bfloat16, "ieee"),
}
_ROCM_MODES = {"float32": (torch.float32, "ieee"), "bfloat16": (torch.bfloat16, "ieee")}
_SIZES = ((1, 1), (1, 8), (1, 50), (8, 500))  # clips x frames


def _modes(target: str) -> dict[str, tuple[torch.dtype, str]]:
    return _ROCM_MODES if target == "gfx942" else _MODES


def _key(launch: Launch) -> tuple[Any, ...]:
    """Launches of one key are one compiled kernel."""
    constants = tuple(launch.arguments[parameter.name] for parameter in launch.kernel.params if parameter.is_constexpr)
    kinds = tuple(getattr(value, "dtype", value is None) for value in launch.arguments.values())
    return (launch.kernel.__name__, constants, kinds, tuple(launch.options.items()))


def _describe(launch: Launch) -> str:
    """The shape and the tile, for a reader."""
    a = launch.arguments
    name = launch.kernel.__name__.strip("_")
    if name == "conv1d":
        kind = f"x{a['UP']} transposed" if a["UP"] > 1 else f"k{a['KW']} s{a['STRIDE']} d{a['DIL']}"
        return f"conv1d {a['CI']} -> {a['CO'] // a['UP']} {kind} {a['S'] or ''}"
    if name == "residual_unit":
        return f"residual_unit {a['C']} d{a['DIL']}"
    return f"rvq {name}" if "C" not in a or name == "decode" else f"{name} {a['C']}"


def _tile(launch: Launch) -> str:
    names = ("BT", "BN", "BK", "ROWS", "ENTRIES", "DEPTH", "CHANNELS")
    return " x ".join(str(launch.arguments[name]) for name in names if name in launch.arguments)


def _row(target: str, mode: str, launch: Launch) -> tuple[str, bool]:
    """A line of the table, and whether all is well."""
    figures = compile_for(target, launch)
    fits = figures.shared <= SHARED_LIMIT[target]
    cells = (
        _describe(launch),
        mode,
        target,
        _tile(launch),
        launch.options.get("num_warps", 4),
        launch.arguments.get("BUFFERS", ""),
        figures.registers,
        figures.spills,
        f"{figures.shared / 1024:.1f}" + ("" if fits else " too much"),
    )
    return "| " + " | ".join(map(str, cells)) + " |", fits and not figures.spills


HEADER = """| kernel | mode | target | tile | warps | buffers | registers | spills | shared KB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def _demand(launch: Launch) -> tuple[int, ...]:
    """Outputs of a tile; of equal ones those that take more of the chip; then those of whole blocks and more to do."""
    a = launch.arguments
    tile = a.get("BT", a.get("ROWS", 1)) * a.get("BN", a.get("ENTRIES", 1)) * a.get("BK", 1)
    parts = sum(bool(a.get(part)) for part in ("SKIP", "Y", "BIAS")) + (a.get("S") == "snake")
    return tile * a.get("C", 1) * (2 - a.get("FIRST", 0)), a.get("CI", 0) % a.get("BK", 1) == 0, parts, -a.get("KW", 0)


def _quick() -> Iterator[tuple[str, str, Launch]]:
    """The widest tile of every kernel for every target, in the most demanding mode; for gfx942 in both.

    sm_89 has the tiles and the compiler of sm_80, and the shared memory of sm_120.
    """
    for target in [target for target in TARGETS if target != "sm_89"]:
        for mode in list(_modes(target))[: 2 if target == "gfx942" else 1]:
            yield from _most_demanding(target, mode, _SIZES[-1:], lambda launch: launch.kernel.__name__)


def _full() -> Iterator[tuple[str, str, Launch]]:
    """Every kernel that the default model launches on sm_90, and every tile of every kernel on the others."""
    for target in sorted(TARGETS, key=lambda target: target != "sm_90"):
        for mode in _modes(target):
            yield from _most_demanding(target, mode, _SIZES, _key if target == "sm_90" else _block)


def _most_demanding(
    target: str, mode: str, sizes: tuple[tuple[int, int], ...], by: Callable[[Launch], Any]
) -> Iterator[tuple[str, str, Launch]]:
    """Of the model's launches that are alike `by` a key, one."""
    found: dict[Any, Launch] = {}
    for batch, frames in sizes:
        for launch in launches_of_the_model(target, *_modes(target)[mode], batch, frames):
            found[by(launch)] = max(found.get(by(launch), launch), launch, key=_demand)
    yield from ((target, mode, launch) for launch in found.values())


def _block(launch: Launch) -> tuple[Any, ...]:
    """Launches of one block have a kernel, a tile and a width of the residual unit in common."""
    width = launch.arguments["C"] if launch.kernel.__name__ == "_residual_unit" else None
    return launch.kernel.__name__, _tile(launch), width, tuple(launch.options.items())


def _commit() -> str:
    """The commit of the kernels, and whether they have changed since."""
    folder = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=folder)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "kernels", "xcodec_fast")
    return git("log", "-1", "--format=%h", "--", "kernels", "xcodec_fast") + (" and changes since" if changed else "")


def main() -> None:
    """Prints the table, and writes it unless `--quick`."""
    quick = "--quick" in sys.argv[1:]
    lines, well = [HEADER], True
    print(HEADER)
    for target, mode, launch in _quick() if quick else _full():
        line, fine = _row(target, mode, launch)
        well &= fine
        lines.append(line)
        print(line, flush=True)
    if not quick:
        results = Path(__file__).with_name("results")
        results.mkdir(exist_ok=True)
        made = f"`make aot` with Triton {triton.__version__}, on the kernels of commit {_commit()}."
        title = f"# Kernels compiled ahead of time\n\n{made}\n\n"
        (results / f"aot-triton-{triton.__version__}.md").write_text(title + "\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(not well)


if __name__ == "__main__":
    main()
