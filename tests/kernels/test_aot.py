"""Every kernel compiles ahead of time for five chips, fits their shared memory, and spills nothing."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_widest_tile_of_every_kernel():
    # In a process of its own: kernels that the interpreter runs cannot be compiled.
    result = subprocess.run(
        [sys.executable, "-m", "bench.aot", "--quick"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0"},
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines()[2:]]
    three, fp32, bf16 = "float32 as three TF32", "float32", "bfloat16"
    compiled = [*product(("sm_80", "sm_90", "sm_100", "sm_120"), (three,)), ("gfx942", fp32), ("gfx942", bf16)]
    for target, mode in compiled:
        kernels = [row[0].lstrip("| ").split(" ")[0] for row in rows if row[1:3] == [mode, target]]
        assert sorted(kernels) == ["conv1d", "residual_unit", "rvq", "rvq", "rvq", "snake"]
    assert len(rows) == 6 * len(compiled)
