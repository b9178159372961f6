"""Every kernel compiles ahead of time for four chips, fits their shared memory, and spills nothing on sm_90."""

import os
import subprocess
import sys
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
    for target in ("sm_80", "sm_90", "sm_100", "gfx942"):
        kernels = {row[0].lstrip("| ").split(" ")[0] for row in rows if row[2] == target}
        assert kernels == {"conv1d", "residual_unit", "rvq", "snake"}
        assert sum("rvq" in row[0] for row in rows if row[2] == target) == 3
