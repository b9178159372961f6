"""The residual unit's kernel against the same unit as PyTorch layers in float64."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from xcodec_fast.functional import snake
from xcodec_fast.kernels import residual_unit as unit_module
from xcodec_fast.kernels.launch import Blocks
from xcodec_fast.kernels.layouts import by_taps, by_taps_tf32

from .conftest import INTERPRETED, PRECISIONS, as_read
from .guards import between_nan

kernel: Any = unit_module
DTYPES = [torch.float32, torch.float16] if INTERPRETED else [torch.float32, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several programs, and several parts of the second product."""
    monkeypatch.setattr(kernel, "unit_blocks", lambda *_: Blocks(32, 16, 16, 2, 4))


def _unit(channels, length, dtype, device, batch=2):
    """s, x, and the weights in PyTorch's layouts."""
    c = channels

    def random(*shape, scale=1.0):
        return (scale * torch.randn(shape)).to(device, dtype)

    alphas = [random(c).abs() + 0.1 for _ in range(2)]
    weights = random(c, c, 7, scale=(7 * c) ** -0.5), random(c), alphas[0], random(c, c, scale=c**-0.5), random(c)
    return random(batch, length, c), random(batch, length, c), *weights, alphas[1]


def _expected(dilation, *tensors, precision="ieee"):
    s, x, w1, b1, a2, w2, b2, a = (tensor.double() for tensor in tensors)
    s, w1, w2 = (as_read(tensor, precision) for tensor in (s, w1, w2))
    h = snake(F.conv1d(s.transpose(1, 2), w1, b1, padding=3 * dilation, dilation=dilation), a2[None, :, None])
    y = x.transpose(1, 2) + F.conv1d(as_read(h, precision), w2[..., None], b2)
    return y.transpose(1, 2), snake(y, a[None, :, None]).transpose(1, 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [1, 32, 75])
@pytest.mark.parametrize(("channels", "dilation"), [(16, 1), (32, 3), (64, 9), (128, 1)])
def test_against_float64(device, guards, channels, dilation, length, dtype):
    s, x, w1, *others = _unit(channels, length, dtype, device)
    outputs = kernel.residual_unit(between_nan(s), between_nan(x), by_taps(w1), *others, dilation=dilation)
    for actual, expected in zip(outputs, _expected(dilation, s, x, w1, *others), strict=True):
        assert actual is not None
        assert actual.dtype == dtype
        limit = TOLERANCE[dtype] * expected.abs().max().clamp(min=1)
        assert (actual.double() - expected).abs().max() <= limit


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("channels", "dilation"), [(16, 1), (64, 9), (128, 3)])
def test_precisions_of_float32(device, guards, channels, dilation, precision):
    """By the norm of the error: where h lies between two TF32 numbers, its last bits decide for one."""
    s, x, w1, b1, a2, w2, b2, a = unit = _unit(channels, 75, torch.float32, device)
    layout = by_taps_tf32 if precision == "tf32" else by_taps
    weights = layout(w1), b1, a2, layout(w2[..., None]).flatten(1), b2, a
    outputs = kernel.residual_unit(between_nan(s), between_nan(x), *weights, dilation=dilation, precision=precision)
    for actual, expected in zip(outputs, _expected(dilation, *unit, precision=precision), strict=True):
        assert actual is not None
        assert (actual.double() - expected).norm() <= (6e-5 if precision == "tf32" else 2e-6) * expected.norm()


def test_intervals_and_order(device, guards, order):
    s, x, w1, *others = _unit(32, 75, torch.float32, device)
    interval = torch.tensor([[0, 75], [5, 60]], dtype=torch.int32, device=device)
    clean, spoilt = s.clone(), s.clone()
    clean[1, :5] = clean[1, 60:] = 0
    spoilt[1, :5] = spoilt[1, 60:] = torch.nan
    y, s_next = kernel.residual_unit(spoilt, x, by_taps(w1), *others, dilation=3, interval=interval)
    for actual, expected in zip((y, s_next), _expected(3, clean, x, w1, *others), strict=True):
        assert (actual.double() - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_y_is_left_out(device, guards):
    s, x, w1, *others = _unit(16, 40, torch.float32, device)
    y, s_next = kernel.residual_unit(s, x, by_taps(w1), *others, dilation=1, keep_y=False)
    assert y is None
    assert torch.equal(s_next, kernel.residual_unit(s, x, by_taps(w1), *others, dilation=1)[1])
