"""Fixtures: the reference (transformers) and our model with the same weights, audio and files of it, the commands."""

from __future__ import annotations

import csv
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from bench.speech import speech_clip
from xcodec_fast import XcodecModel, blas, convert, cpu, onednn
from xcodec_fast.audio import load_audio
from xcodec_fast.convert import ACOUSTIC_WIDTHS, TEACHERS

from .commands import Result
from .original import YAML
from .pairs import Pair, make_pair

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
if "PYTEST_XDIST_WORKER" in os.environ:  # two tests side by side (pytest -n 2) have a core each
    torch.set_num_threads(1)
elif "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws is the same in every order of the tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def speech() -> Tensor:
    """The bundled speech clip, `[T]` at 16 kHz."""
    return speech_clip()


@pytest.fixture(scope="session")
def pair(speech: Tensor) -> Callable[[str], Pair]:
    """The two models of a config of `pairs.CONFIGS`, made once. They are shared: leave them as they are."""
    made: dict[str, Pair] = {}

    def get(name: str) -> Pair:
        if name not in made:
            made[name] = make_pair(name, speech)
        return made[name]

    return get


@pytest.fixture(scope="session")
def tiny() -> XcodecModel:
    """The embedded model, shared: leave it as it is."""
    return XcodecModel.from_pretrained("xcodec-tiny")


@pytest.fixture(scope="session")
def recordings() -> list[tuple[str, np.ndarray]]:
    """Every recording of the folder that XCODEC_FAST_AUDIO names (it holds MANIFEST.csv), at 16 kHz."""
    folder = os.environ.get("XCODEC_FAST_AUDIO")
    if not folder:
        pytest.skip("XCODEC_FAST_AUDIO is not set: it names a folder of recordings with a MANIFEST.csv")
    with open(Path(folder) / "MANIFEST.csv", encoding="utf-8") as manifest:
        files = [row["file"] for row in csv.DictReader(manifest)]
    return [(file, load_audio(Path(folder) / file, 16000).samples) for file in files]


@pytest.fixture(params=[onednn, blas], ids=["onednn", "blas"])
def library(request, monkeypatch):
    """The module that computes on the CPU, whichever this one's is."""
    if not request.param.has(torch.float32):
        pytest.skip("this PyTorch is without it")
    monkeypatch.setattr(cpu, "library", lambda: request.param)
    return request.param


@pytest.fixture
def launched(monkeypatch):
    """The files of the kernels that the interpreter has run."""
    from triton.runtime.interpreter import InterpretedFunction

    names = []
    run = InterpretedFunction.run

    def counted(self, *args, **options):
        names.append(self.fn.__module__.rpartition(".")[2])
        return run(self, *args, **options)

    monkeypatch.setattr(InterpretedFunction, "run", counted)
    return names


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command line in this process, in a folder of its own."""
    from xcodec_fast.cli import main

    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["xcodec-fast", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        printed = capsys.readouterr()
        assert isinstance(code, int)
        return Result(code, printed.out, printed.err)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def tone(tmp_path):
    """A function that writes a second of a tone, in any format, rate and channels."""
    import soundfile

    def write(name="in.wav", rate=16000, channels=1, seconds=1.0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.sin(np.arange(round(rate * seconds)) / 20)
        soundfile.write(path, np.stack([samples] * channels, 1), rate)
        return path

    return write


@pytest.fixture
def wav(tmp_path, speech):
    """A function that writes the first samples of the clip as a file, repeated where it is too short."""
    import soundfile

    def write(samples, rate=16000, name="in.wav"):
        soundfile.write(tmp_path / name, np.resize(speech.numpy(), samples), rate, "FLOAT", format="WAV")
        return tmp_path / name

    return write


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Makes convert's built-in widths those of a model and writes its yaml; returns the yaml's path."""

    def write(model: XcodecModel) -> Any:
        acoustic, semantic = model.config.acoustic_model_config, model.config.semantic_model_config
        teacher = {"hubert": "hubert_base", "wavlm": "wavlm_base_plus"}[semantic.model_type]
        monkeypatch.setitem(TEACHERS, teacher, {**TEACHERS[teacher], **semantic.to_dict()})
        monkeypatch.setattr(convert, "ACOUSTIC_WIDTHS", {name: getattr(acoustic, name) for name in ACOUSTIC_WIDTHS})
        path = tmp_path / "config.yaml"
        ratios = list(acoustic.downsampling_ratios)
        path.write_text(YAML.format(D=acoustic.hidden_size, ratios=ratios, teacher=teacher))
        return path

    return write
