"""The tiles that a GPU is given, at lengths that choose each, against float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from xcodec_fast.kernels import conv1d, launch, layouts, residual_unit

from .conftest import INTERPRETED, as_read
from .test_residual_unit import _expected, _unit
from .test_rvq import excess, make, search

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(INTERPRETED, reason="tiles of a GPU")]
MODES = [("float16", "ieee"), ("bfloat16", "ieee")]
MODES += [("float32", "ieee")] if torch.version.hip else [("float32", "tf32"), ("float32", "tf32x3")]
LIMIT = {"float32": 2e-5, "float16": 5e-3, "bfloat16": 4e-2}


def _assert_close(actual, expected, name, precision):
    """By the norm: in TF32 the last bits of an inner value may decide how it is rounded."""
    limit = 6e-5 if precision == "tf32" else LIMIT[name]
    assert (actual.double() - expected).norm() <= limit * expected.norm()


@pytest.mark.parametrize("length", [20, 600, 9001])
@pytest.mark.parametrize(("name", "precision"), MODES)
def test_convolution(device, guards, name, precision, length):
    dtype = getattr(torch, name)
    x = torch.randn(2, length, 256).to(device, dtype)
    weight = (torch.randn(256, 256, 7) / math.sqrt(7 * 256)).to(device, dtype)
    blocks = launch.conv_blocks(2, length, 256, 256, dtype, precision, launch.chip(device))
    assert (blocks.rows == 128) == (length == 9001)
    layout = layouts.by_taps_tf32 if precision == "tf32" else layouts.by_taps
    y, _ = conv1d.conv1d(x, layout(weight), None, padding=3, precision=precision)
    expected = F.conv1d(as_read(x, precision).transpose(1, 2), as_read(weight, precision), padding=3)
    _assert_close(y, expected.transpose(1, 2), name, precision)


@pytest.mark.parametrize("length", [600, 17001])
@pytest.mark.parametrize("channels", [64, 128])
@pytest.mark.parametrize(("name", "precision"), MODES)
def test_residual_unit(device, guards, name, precision, channels, length):
    dtype = getattr(torch, name)
    s, x, w1, b1, a2, w2, b2, a = unit = _unit(channels, length, dtype, device, batch=1)
    blocks = launch.unit_blocks(1, length, channels, dtype, precision, launch.chip(device))
    assert blocks.rows == (128 if length == 17001 and (precision == "tf32" or dtype != torch.float32) else 64)
    layout = layouts.by_taps_tf32 if precision == "tf32" else layouts.by_taps
    weights = layout(w1), b1, a2, layout(w2[..., None]).flatten(1), b2, a
    outputs = residual_unit.residual_unit(s, x, *weights, dilation=3, precision=precision)
    for actual, expected in zip(outputs, _expected(3, *unit, precision=precision), strict=True):
        _assert_close(actual, expected, name, precision)


@pytest.mark.parametrize("rows", [1, 8, 16, 500, 2100])
def test_search(device, guards, rows):
    x, codebooks = make(rows, 1024, 1024, 2, device)
    codes = search(x, codebooks)
    assert len(guards.buffers) == 3
    for some, chosen in zip(x.split(32), codes.split(32), strict=True):
        assert excess(some, codebooks, chosen).max() <= 1e-6
