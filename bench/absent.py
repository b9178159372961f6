"""A pytest plugin (`-p bench.absent`): what a machine that only computes may lack cannot be imported."""

import sys

for _name in ("soundfile", "soxr", "typer", "rich"):
    sys.modules[_name] = None  # type: ignore[assignment]  # Python's own way to make an import fail
