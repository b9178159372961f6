"""Compiles launches of the kernels without a GPU: registers, spills, shared memory.

The model itself runs on meta tensors, as if they lay on the chip, with the launches intercepted: what is compiled is
what would run.
"""

from __future__ import annotations

import re
import subprocess
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
    "sm_89": GPUTarget("cuda", 89, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "sm_120": GPUTarget("cuda", 120, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_LIMIT = {
    "sm_80": 166_912,
    "sm_89": 101_376,
    "sm_90": 232_448,
    "sm_100": 232_448,
    "sm_120": 101_376,
    "gfx942": 65_536,
}
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
    """What the compiler made of it. spills: loads and stores of local memory, on ROCm registers that were spilled."""

    shared: int
    registers: int
    spills: int


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
        heard = torch.empty(batch, samples + model.config.hop_length, dtype=dtype)  # padded, as the model does
        codes = torch.empty(batch * frames, 8, dtype=torch.long)
        semantic = torch.empty(batch, model.config.semantic_hidden_size, frames, dtype=dtype)
        latent = torch.empty(batch, model.config.acoustic_model_config.hidden_size, frames, dtype=dtype)
        with torch.inference_mode(), intercepted(target, precision) as launches:
            model.acoustic_encoder(audio, interval)
            model.encoder_semantic(semantic, interval)
            model.semantic_model.feature_extractor(heard)
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
    if target == "gfx942":
        counts = (
            re.findall(rf"\.vgpr_{name}:\s*(\d+)", compiled.asm["amdgcn"])[0] for name in ("count", "spill_count")
        )
        return Figures(compiled.metadata.shared, *map(int, counts))
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage, code = (_dump(option, file.name) for option in ("-res-usage", "-sass"))
    registers = re.findall(r"REG:(\d+)", usage)[0]
    return Figures(compiled.metadata.shared, int(registers), len(re.findall(r"\b(?:LDL|STL)\b", code)))


def _dump(option: str, file: str) -> str:
    done = subprocess.run([_CUOBJDUMP, option, file], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
