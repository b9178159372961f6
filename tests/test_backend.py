"""Which implementation runs: the default, what is forced, what is refused; and the model through the kernels."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from triton import knobs

from xcodec_fast import backend, dispatch
from xcodec_fast.functional import conv1d, snake

from .equality import assert_same_audio

interpreted = pytest.mark.skipif(not knobs.runtime.interpret, reason="kernels run on CPU tensors in the interpreter")


@pytest.fixture
def x():
    return torch.randn(1, 4, 9), torch.ones(1, 4, 1)


def test_cpu_tensors_run_in_pytorch_unless_forced(launched, x):
    snake(*x)
    with backend("torch"):
        snake(*x)
    assert launched == []


@interpreted
def test_forced_within_the_block_alone(launched, x):
    with backend("triton"):
        with backend("torch"):
            snake(*x)
        assert launched == []
        snake(*x)
        assert launched == ["snake"]
    snake(*x)
    assert launched == ["snake"]


@interpreted
def test_the_environment_variable(launched, x, monkeypatch):
    monkeypatch.setenv("XCODEC_FAST_BACKEND", "triton")
    snake(*x)
    assert launched == ["snake"]
    with backend("torch"):
        snake(*x)
    assert launched == ["snake"]
    monkeypatch.setenv("XCODEC_FAST_BACKEND", "cuda")
    with pytest.raises(ValueError, match=r"XCODEC_FAST_BACKEND is 'cuda', but must be one of \('torch', 'triton'\)"):
        snake(*x)


def test_an_unknown_backend():
    with pytest.raises(ValueError, match="the backend is 'Triton', but must be one of"), backend("Triton"):
        pass


@interpreted
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_is_forced_but_not_supported(x, dtype):
    with backend("triton"), pytest.raises(ValueError, match=f"the backend is 'triton', but the tensor is {dtype}"):
        snake(x[0].to(dtype), x[1].to(dtype))


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("import os; os.environ['TRITON_INTERPRET'] = '0'", "the tensor is on the CPU"),
        ("import sys; sys.modules['triton'] = None", "triton is not installed"),
    ],
)
def test_forced_without_an_interpreter_or_triton(setup, words):
    code = (
        f"{setup}\nimport torch\nfrom xcodec_fast import backend\nfrom xcodec_fast.functional import snake\n"
        "with backend('triton'): snake(torch.zeros(1, 2, 3), torch.ones(1, 2, 1))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1].startswith("ValueError: the backend is 'triton', but ")
    assert words in result.stderr


@interpreted
def test_gradients_of_an_alpha_alone_and_none_of_second_order():
    x, conv = torch.randn(1, 16, 9), torch.nn.Conv1d(16, 16, 3, padding=1).requires_grad_(False)
    alpha = torch.ones(1, 16, 1, requires_grad=True)
    expected = torch.autograd.grad(sum(out.sum() for out in conv1d(x, conv, then=alpha)), alpha)[0]
    with backend("triton"):
        actual = torch.autograd.grad(sum(out.sum() for out in conv1d(x, conv, then=alpha)), alpha)[0]
        torch.testing.assert_close(actual, expected)
        with pytest.raises(RuntimeError, match="no second derivatives"):
            torch.autograd.grad(snake(x, alpha).sum(), alpha, create_graph=True)


def test_float32_follows_pytorchs_setting_for_convolutions():
    """Read as on a GPU, where alone it counts."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.conv.fp32_precision
    try:
        for setting, allowed in (("tf32", True), ("ieee", False)):
            cudnn.conv.fp32_precision = setting
            assert dispatch._allows_tf32() == allowed
    finally:
        cudnn.conv.fp32_precision = before
    assert dispatch.precision(torch.zeros(1)) == "ieee"


@interpreted
@pytest.mark.parametrize(
    "name", ["hubert", "wavlm-stable", *(pytest.param(n, marks=pytest.mark.slow) for n in ("codebook-300", "ratio-3"))]
)
def test_whole_models(pair, speech, launched, name):
    """Encode, unequal rows, and decode: the codes and the audio of the PyTorch branch."""
    model = pair(name).ours
    clips = [speech[4000 : 4000 + 320 * 5 + 77], speech[9000 : 9000 + 900]]

    def outputs():
        codes = model.encode(clips[0][None, None]).audio_codes
        return codes, model.encode(clips).audio_codes, model.decode(codes).audio_values

    with torch.inference_mode():
        expected = outputs()
        assert launched == []
        with backend("triton"):
            actual = outputs()
    assert {"conv1d", "residual_unit", "rvq", "rvq_decode"} <= set(launched)
    assert torch.equal(actual[0], expected[0])
    assert torch.equal(actual[1], expected[1])
    assert_same_audio(expected[2], actual[2])


@interpreted
def test_gradients_through_the_kernels(pair, launched):
    """As the reference's example calls it: no `no_grad`, and weights that require gradients."""
    model = copy.deepcopy(pair("hubert").ours)
    codes = torch.randint(1024, (1, 8, 4))

    def gradients(model):
        model.zero_grad()
        model.decode(codes).audio_values.square().mean().backward()
        return {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}

    exact, single = gradients(copy.deepcopy(model).double()), gradients(model)
    assert launched == []
    with backend("triton"):
        actual = gradients(model)
    assert "residual_unit" in launched
    assert actual.keys() == exact.keys()

    def error(found):
        return sum((found[name] - exact[name]).norm() / exact[name].norm() for name in exact) / len(exact)

    assert error(actual) < 2 * error(single)


def test_a_devices_age_is_asked_once(monkeypatch):
    asked = []

    def capability(device):
        asked.append(device.index)
        return 7, 5

    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    monkeypatch.setattr(torch.version, "hip", None)
    dispatch._is_old.cache_clear()
    try:
        assert all(dispatch._is_old(torch.device("cuda", index)) for index in (0, 1, 0, 1))
        assert asked == [0, 1]
    finally:
        dispatch._is_old.cache_clear()
