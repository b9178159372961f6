"""The README's Python runs as written, and the output it shows is the demo's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
