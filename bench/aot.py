"""Compiles the kernels ahead of time, without a GPU: registers, spills, shared memory. `python -m bench.aot [--quick]`

The model itself runs on meta tensors, as if they lay on the chip, with the launches intercepted: what is compiled is
what would run. All shapes of the default model for sm_90 go to bench/results/; `--quick` prints one launch of
every kernel for every target. Exit code 1 where one spills on sm_90, or needs more shared memory than the chip has.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from xcodec_fast import XcodecConfig, XcodecModel, functional, search
from xcodec_fast.intervals import Interval
from xcodec_fast.kernels import conv1d, residual_unit
from xcodec_fast.kernels import launch as launch_tables

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_LIMIT = {"sm_80": 166_912, "sm_90": 232_448, "sm_100": 232_448, "gfx942": 65_536}
_TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.int32: "i32", torch.int64: "i64"}
_CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


@dataclass(frozen=True)
class Launch:
    """A kernel with its arguments by name, and the options of the launch such as num_warps."""

    kernel: JITFunction[Any]
    arguments: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """What the compiler made of it. registers and spills (loads and stores of local memory) of NVIDIA targets alone."""

    shared: int
    registers: int | None
    spills: int | None


@contextmanager
def intercepted(target: str, precision: str) -> Iterator[list[Launch]]:
    """Collects launches on meta tensors, as the chip and the float32 precision would make them, instead of running."""
    launches: list[Launch] = []

    def run(kernel: JITFunction[Any], *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        named = dict(zip(kernel.arg_names, args, strict=False))
        named.update({name: options.pop(name) for name in kernel.arg_names if name in options})
        launches.append(Launch(kernel, named, options))

    chip = (
        launch_tables.Chip("hip") if target == "gfx942" else launch_tables.Chip("cuda", int(target.removeprefix("sm_")))
    )
    with ExitStack() as patches:
        patches.enter_context(patch.object(JITFunction, "run", run))
        for module in (functional, search):
            patches.enter_context(patch.object(module, "uses_triton", lambda x, *others: True))
        patches.enter_context(patch.object(functional, "precision", lambda x: precision))
        for module in (launch_tables, conv1d, residual_unit):
            patches.enter_context(patch.object(module, "chip", lambda device: chip))
        patches.enter_context(patch.object(torch.cuda, "device_of", lambda x: nullcontext()))
        yield launches


def launches_of_the_model(target: str, dtype: torch.dtype, precision: str, batch: int, frames: int) -> list[Launch]:
    """Every launch of an encode and a decode with the default config, and of Snake alone."""
    with torch.device("meta"):
        model = XcodecModel(XcodecConfig()).to(dtype)
        samples, width = frames * model.config.hop_length, model.config.hidden_size
        interval = Interval(torch.zeros(batch, dtype=torch.long), torch.zeros(batch, dtype=torch.long))
        audio, rows = torch.empty(batch, 1, samples, dtype=dtype), torch.empty(batch * frames, width, dtype=dtype)
        codes = torch.empty(batch * frames, 8, dtype=torch.long)
        semantic = torch.empty(batch, model.config.semantic_hidden_size, frames, dtype=dtype)
        latent = torch.empty(batch, model.config.acoustic_model_config.hidden_size, frames, dtype=dtype)
        with torch.inference_mode(), intercepted(target, precision) as launches:
            model.acoustic_encoder(audio, interval)
            model.encoder_semantic(semantic, interval)
            model.semantic_model.feature_extractor(audio[:, 0])
            search.residual_codes(rows, model.quantizer.codebooks, 8)
            search.projected_sum(codes, model.quantizer.codebooks, model.fc2)
            model.acoustic_decoder(latent, interval)
            functional.snake(torch.empty(batch, 64, samples, dtype=dtype), torch.empty(1, 64, 1, dtype=dtype))
    return launches


def compile_for(target: str, launch: Launch) -> Figures:
    """Compiles one launch. Raises what Triton raises where it cannot."""
    kernel = launch.kernel
    constants: dict[str, Any] = {}
    signature: dict[str, str] = {}
    aligned: dict[tuple[int, ...], Any] = {}
    for index, parameter in enumerate(kernel.params):
        value = launch.arguments[parameter.name]
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = f"*{_TYPES[value.dtype]}"
            aligned[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32" if isinstance(value, int) else "fp32"
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    options = {**launch.options, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=TARGETS[target], options=options)
    registers = spills = None
    if target.startswith("sm_"):
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(compiled.asm["cubin"])
            file.flush()
            usage, code = (_dump(option, file.name) for option in ("-res-usage", "-sass"))
        registers = int(re.findall(r"REG:(\d+)", usage)[0])
        spills = len(re.findall(r"\b(?:LDL|STL)\b", code))
    return Figures(compiled.metadata.shared, registers, spills)


def _dump(option: str, file: str) -> str:
    done = subprocess.run([_CUOBJDUMP, option, file], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


_MODES = {
    "float32 as TF32": (torch.float32, "tf32"),
    "float32 as three TF32": (torch.float32, "tf32x3"),
    "bfloat16": (torch.bfloat16, "ieee"),
}
_SIZES = {"1 x 8 frames": (1, 8), "1 x 50 frames": (1, 50), "8 x 500 frames": (8, 500)}


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
    sizes = [
        str(launch.arguments[key]) for key in ("BT", "BN", "BK", "ROWS", "ENTRIES", "DEPTH") if key in launch.arguments
    ]
    return " x ".join(sizes)


def _row(target: str, mode: str, launch: Launch) -> tuple[str, bool]:
    """A line of the table, and whether all is well."""
    figures = compile_for(target, launch)
    fits = figures.shared <= SHARED_LIMIT[target]
    spills = target == "sm_90" and bool(figures.spills)
    cells = (
        _describe(launch),
        mode,
        target,
        _tile(launch),
        launch.options.get("num_warps", 4),
        launch.arguments.get("STAGES", ""),
        figures.registers if figures.registers is not None else "",
        figures.spills if figures.spills is not None else "",
        f"{figures.shared / 1024:.1f}" + ("" if fits else " too much"),
    )
    return "| " + " | ".join(map(str, cells)) + " |", fits and not spills


HEADER = """| kernel | mode | target | tile | warps | stages | registers | spills | shared KB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def _outputs(launch: Launch) -> int:
    """Outputs of a tile, and of equal ones those that take more of the chip."""
    a = launch.arguments
    tile = a.get("BT", a.get("ROWS", 1)) * a.get("BN", a.get("ENTRIES", 1)) * a.get("BK", 1)
    return tile * a.get("C", 1) * (2 - a.get("FIRST", 0))


def _quick() -> Iterator[tuple[str, str, Launch]]:
    """The widest tile of every kernel for every target, in the most demanding mode."""
    for target in TARGETS:
        mode = "float32" if target == "gfx942" else "float32 as three TF32"
        precision = "ieee" if target == "gfx942" else "tf32x3"
        widest: dict[str, Launch] = {}
        for launch in launches_of_the_model(target, torch.float32, precision, 8, 500):
            name = launch.kernel.__name__
            widest[name] = max(widest.get(name, launch), launch, key=_outputs)
        for launch in widest.values():
            yield target, mode, launch


def _every() -> Iterator[tuple[str, str, Launch]]:
    """Every kernel that the default model launches on sm_90."""
    for mode, (dtype, precision) in _MODES.items():
        seen = set()
        for batch, frames in _SIZES.values():
            for launch in launches_of_the_model("sm_90", dtype, precision, batch, frames):
                if _key(launch) not in seen:
                    seen.add(_key(launch))
                    yield "sm_90", mode, launch


def main() -> None:
    """Prints the table, and writes it unless `--quick`."""
    quick = "--quick" in sys.argv[1:]
    lines, well = [HEADER], True
    print(HEADER)
    for target, mode, launch in _quick() if quick else _every():
        line, fine = _row(target, mode, launch)
        well &= fine
        lines.append(line)
        print(line, flush=True)
    if not quick:
        results = Path(__file__).with_name("results")
        results.mkdir(exist_ok=True)
        title = f"# Kernels compiled ahead of time\n\n`make aot` with Triton {triton.__version__}.\n\n"
        (results / f"aot-triton-{triton.__version__}.md").write_text(title + "\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(not well)


if __name__ == "__main__":
    main()
