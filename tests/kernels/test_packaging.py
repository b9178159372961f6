"""The folder of kernels is the package `xcodec_fast.kernels`, and knows tensors, not models."""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "kernels").glob("*.py"))


def test_the_folder_is_linked_and_no_package_of_its_own():
    """`kernels` is the import name of another package, which transformers imports: ours must not shadow it."""
    link = ROOT / "xcodec_fast" / "kernels"
    assert link.resolve() == ROOT / "kernels"
    if link.is_symlink():
        assert os.readlink(link) == os.path.join("..", "kernels")
    assert not (ROOT / "kernels" / "__init__.py").exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    importlib.import_module(f"xcodec_fast.kernels.{path.stem}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            allowed = ("torch", "triton", "__future__", "collections", "functools", "typing")
            assert name.split(".")[0] in allowed or name.startswith("xcodec_fast.kernels."), name
