"""Imports run one way, triton may be absent, and importing the package stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xcodec_fast

PACKAGE = Path(xcodec_fast.__file__).parent
ROOT = PACKAGE.parent
# Each file may import those of the rows above its own, never its own row or below.
LAYERS = (
    {"plain", "words", "one_call", "cli_usage"},
    {
        "derived",
        "dispatch",
        "intervals",
        "outputs",
        "windows",
        "bits",
        "whole",
        "raw_pipe",
        "mel",
        "frames",
        "state_checks",
    },
    {"blas", "onednn", "audio"},
    {"cpu"},
    {"hub", "codes_info", "functional", "semantic_functional", "linears", "pcm", "resampling", "chunk_codes"},
    {"config", "lines", "search", "ways"},
    {"checks", "config_checks", "checkpoint", "quantizer", "features", "plot", "metrics", "residual_units"},
    {"acoustic", "front_end", "pretrained", "rows"},
    {"hubert"},
    {"wavlm", "steps"},
    {"semantic", "initialization", "cuda_graph", "stream_states"},
    {"stream_rows"},
    {"twin", "tiles", "call_graph"},
    {"model"},
    {"seeding", "swap", "convert", "container_xcodec", "container_npz", "stream_side"},
    {"container", "stream_encoder", "stream_decoder", "training.recipe", "training.spectral", "training.quantization"},
    {"training.intelligibility"},
    {"streaming_batch", "training.recordings", "training.objective", "training.curves", "training.shipping"},
    {"streaming", "training.start", "training.trainer"},
    {"streaming_report", "transcode", "cli_paths", "describe", "evaluation"},
    {"cli_work", "demo", "streaming_plot"},
    {"cli_options"},
    {"cli_stream", "cli_report", "cli_evaluate", "cli_train"},
    {"cli"},
    {"__main__"},
)


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_file_has_its_layer():
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        f"training.{path.stem}" for path in (PACKAGE / "training").glob("*.py")
    }
    assert modules - {"__init__", "training.__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("stem", sorted(set().union(*LAYERS)))
def test_imports_run_one_way(stem):
    layer = next(index for index, names in enumerate(LAYERS) if stem in names)
    below = set().union(*LAYERS[:layer])
    for name in _imports(PACKAGE / f"{stem.replace('.', '/')}.py"):
        top, _, rest = name.partition(".")
        assert top not in ("kernels", "transformers"), f"{stem} imports {name}"
        assert top != "triton" or stem == "dispatch", f"{stem} imports {name}"
        if rest.startswith("kernels."):
            assert stem in ("blas", "functional", "onednn", "search"), f"{stem} imports {name}"
        elif top == "xcodec_fast":
            parts = rest.split(".")
            module = ".".join(parts[:2]) if parts[0] == "training" else parts[0]
            assert module in below, f"{stem} imports {name}"


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_cpu_path_works_without_triton_and_transformers():
    result = _python(
        "import sys; sys.modules.update(triton=None, transformers=None)\n"
        "import torch, xcodec_fast\n"
        "model = xcodec_fast.XcodecModel.from_pretrained('xcodec-tiny')\n"
        "print(model(torch.zeros(1, 1, 3200)).audio_values.shape[-1])"
    )
    assert result.stdout.strip() == "3200", result.stderr


@pytest.mark.parametrize(
    "module", ["triton", "transformers", "matplotlib", "soundfile", "soxr", "typer", "rich", "yaml"]
)
def test_importing_the_package_does_not_import(module):
    result = _python(f"import sys, torch, xcodec_fast; print({module!r} in sys.modules)")
    assert result.stdout.strip() == "False", result.stderr


def test_loading_a_model_does_not_import_a_compiler():
    """PyTorch's Python for the meta device does, for some operations, and takes most of a second to."""
    result = _python(
        "import sys, xcodec_fast\n"
        "xcodec_fast.XcodecModel.from_pretrained('xcodec-tiny')\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_every_file_opens_with_one_sentence_about_its_subject():
    for path in (
        *PACKAGE.glob("*.py"),
        *(ROOT / "kernels").glob("*.py"),
        *(ROOT / "tests").glob("*.py"),
        *(ROOT / "bench").glob("*.py"),
    ):
        if text := path.read_text(encoding="utf-8"):
            assert ast.get_docstring(ast.parse(text)), path
