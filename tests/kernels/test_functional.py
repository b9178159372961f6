"""What `functional` hands to the kernels: layers they compute and intervals within the audio; the rest is PyTorch's."""

from typing import Any

import pytest
import torch
from torch import nn

from xcodec_fast import backend
from xcodec_fast.functional import conv1d, residual_unit, snake
from xcodec_fast.intervals import Interval

from .conftest import INTERPRETED
from .guards import between_nan

# Arguments of the two layers of a unit.
UNITS: dict[str, Any] = {
    "of the model": ({"kernel_size": 7, "padding": 9, "dilation": 3}, {"kernel_size": 1}),
    "1 tap": ({"kernel_size": 1}, {"kernel_size": 1, "dilation": 2}),
    "no first bias": ({"kernel_size": 7, "padding": 3, "bias": False}, {"kernel_size": 1}),
    "no second bias": ({"kernel_size": 7, "padding": 3}, {"kernel_size": 1, "bias": False}),
    "second of 3 taps": ({"kernel_size": 7, "padding": 3}, {"kernel_size": 3, "padding": 1}),
    "second padded": ({"kernel_size": 7, "padding": 2}, {"kernel_size": 1, "padding": 1}),
    "second strided": ({"kernel_size": 1, "padding": 9}, {"kernel_size": 1, "stride": 2}),
    "even taps": ({"kernel_size": 4, "padding": 3, "dilation": 2}, {"kernel_size": 1}),
    "first strided": ({"kernel_size": 3, "padding": 10, "stride": 2}, {"kernel_size": 1}),
    "first padded less": ({"kernel_size": 7, "padding": 2}, {"kernel_size": 1, "padding": 1}),
    "groups": ({"kernel_size": 7, "padding": 3, "groups": 2}, {"kernel_size": 1}),
    "padding by name": ({"kernel_size": 7, "padding": "same"}, {"kernel_size": 1}),
}
WHOLE = ("of the model", "1 tap")
# Of another length than what they are added to.
MISFITS: dict[str, Any] = {
    "first strided": ({"kernel_size": 7, "padding": 3, "stride": 2}, {"kernel_size": 1}),
    "first padded less": ({"kernel_size": 7, "padding": 2}, {"kernel_size": 1}),
    "even taps": ({"kernel_size": 4, "padding": 4, "dilation": 2}, {"kernel_size": 1}),
    "second strided": ({"kernel_size": 7, "padding": 3}, {"kernel_size": 1, "stride": 2}),
    "second padded": ({"kernel_size": 7, "padding": 3}, {"kernel_size": 1, "padding": 1}),
    "second of 3 taps": ({"kernel_size": 7, "padding": 3}, {"kernel_size": 3}),
}


def _layers(arguments, device, width=16):
    first, second = arguments
    layers = nn.Conv1d(16, width, **first), nn.Conv1d(width, 16, **second)
    return [layer.to(device) for layer in layers]


def _unit(x, alpha, conv1, conv2):
    alpha2 = torch.linspace(0.5, 2, conv1.out_channels, device=x.device)[None, :, None]
    return residual_unit(x, snake(x, alpha), conv1, alpha2, conv2, alpha)


@pytest.mark.parametrize(("name", "width"), [*((name, 16) for name in UNITS), ("of the model", 32)])
def test_units_that_are_not_the_kernels(name, width, device, request):
    """Their sum is the one of PyTorch, whichever kernels compute it."""
    launched = request.getfixturevalue("launched") if INTERPRETED else None
    x, alpha = torch.randn(2, 16, 19, device=device), torch.rand(1, 16, 1, device=device) + 0.5
    layers = _layers(UNITS[name], device, width)
    with torch.inference_mode():
        with backend("torch"):
            expected = _unit(x, alpha, *layers)
        with backend("triton"):
            actual = _unit(x, alpha, *layers)
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 if INTERPRETED else 2e-2)
    if launched is not None:
        assert ("residual_unit" in launched) == (name in WHOLE and width == 16)


@pytest.mark.parametrize("name", MISFITS)
def test_units_that_do_not_fit_are_refused_by_both(name, device):
    x, alpha = torch.randn(2, 16, 19, device=device), torch.rand(1, 16, 1, device=device) + 0.5
    layers = _layers(MISFITS[name], device)
    with torch.inference_mode():
        with backend("torch"), pytest.raises(RuntimeError, match="must match the size"):
            _unit(x, alpha, *layers)
        with backend("triton"), pytest.raises(ValueError, match="skip has 19 positions, but must have"):
            _unit(x, alpha, *layers)


def test_an_interval_that_reaches_past_the_audio(device):
    """It ends with the audio: what lies before and after it is not read."""
    x = between_nan(torch.randn(2, 30, 16, device=device)).transpose(1, 2)
    conv = nn.Conv1d(16, 16, 7, padding=3).to(device)
    interval = Interval(torch.tensor([-3, 2], device=device), torch.tensor([20, 40], device=device))
    with torch.inference_mode():
        with backend("torch"):
            expected, _ = conv1d(x, conv, interval)
        with backend("triton"):
            actual, _ = conv1d(x, conv, interval)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 if INTERPRETED else 2e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("name", ["torch", "triton"])
@pytest.mark.parametrize("gradients", [False, True])
def test_snake_of_alpha_zero_is_the_identity(name, dtype, gradients, device):
    x = (3 * torch.randn(1, 3, 9)).to(device, dtype)
    alpha = torch.tensor([0.0, -0.0, 0.0], device=device).to(dtype)[None, :, None].requires_grad_(gradients)
    with backend(name):
        y = snake(x, alpha)
        assert torch.equal(y, x)
        if gradients:
            assert torch.autograd.grad(y.sum(), alpha)[0].isfinite().all()


def test_snake_of_the_least_alphas_of_float16(device):
    """Their inverses are beyond float16; what they add to x is below its last digit."""
    x = torch.randn(1, 4, 9, device=device).half()
    alpha = torch.tensor([6e-8, -6e-8, 1e-6, 1e-5], device=device).half()[None, :, None]
    for name in ("torch", "triton"):
        with backend(name):
            torch.testing.assert_close(snake(x, alpha), x, rtol=1e-3, atol=1e-4)
