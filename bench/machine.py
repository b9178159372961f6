"""What a measurement was made on: the processor or GPU, the versions, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import torch


def device_name() -> str:
    """The GPU, or the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def instructions() -> str:
    """The widest vector instructions that PyTorch uses on the processor, such as AVX512."""
    return torch.backends.cpu.get_cpu_capability()


@cache
def commit() -> str:
    """That of the first call, before results are written; XCODEC_FAST_COMMIT names it where there is no repository."""
    try:
        command = ["git", "describe", "--always", "--dirty"]
        result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
        described = result.stdout.strip()
    except OSError:
        described = ""
    return described or os.environ.get("XCODEC_FAST_COMMIT", "unknown")


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in ("torch", "triton", "transformers", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def header() -> list[str]:
    """Two lines."""
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    return [
        f"machine: {device_name()}, {torch.get_num_threads()} threads, {instructions()}",
        f"versions: {named}; commit {commit()}",
    ]
