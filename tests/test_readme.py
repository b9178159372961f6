"""The README's Python and commands run as written, and print what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xcodec_fast.hub import PUBLISHED
from xcodec_fast.training.recipe import Recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_there_is_code_to_run():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("code", BLOCKS)
def test_code_runs_as_written(code, tmp_path):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    shown = re.findall(r"# > (.*)", code)  # spelled as ruff format spells it
    assert len(shown) == code.count("print(")
    assert result.stdout.splitlines() == shown


def test_the_commands_print_what_is_shown(tmp_path):
    lines = re.findall(r"```console\n(.*?)```", README, re.DOTALL)[0].splitlines()
    assert sum(line.startswith("$ ") for line in lines) >= 4
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def typed(command):
        return subprocess.run(
            command, shell=True, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
        ).stdout.splitlines()

    typed("xcodec-fast demo")
    printed = [line for shown in lines if shown.startswith("$ ") for line in (shown, *typed(shown[2:]))]
    assert printed == lines


def test_the_training_command_is_one():
    commands = re.findall(r"^xcodec-fast train (\S+) --model (\S+)", README, re.MULTILINE)
    assert commands
    for recipe, model in commands:
        assert Recipe.from_yaml(recipe).but(model=model).model in PUBLISHED


def test_the_demos_output_is_what_is_shown(tmp_path):
    shown = re.search(r"```text\n(audio .*?)```", README, re.DOTALL)
    assert shown is not None
    code = "from xcodec_fast.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "demo", "--output-dir", "demo"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    timing = re.compile(r"\d+ ms, [\d.]+x")
    assert timing.sub("", result.stdout) == timing.sub("", shown[1])
