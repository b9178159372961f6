"""The convolution kernel against PyTorch: every geometry of the model and odd ones, what follows it, and intervals."""

import math
from itertools import cycle
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from xcodec_fast.functional import snake
from xcodec_fast.kernels import conv1d as conv1d_module
from xcodec_fast.kernels import layouts
from xcodec_fast.kernels.launch import Blocks

from .conftest import INTERPRETED, PRECISIONS, as_read
from .guards import between_nan

kernel: Any = conv1d_module
# B, T, CI, CO, KW, stride, dilation, padding
CONVS = {
    "unit, dilation 1": (2, 37, 32, 48, 7, 1, 1, 3),
    "unit, dilation 9": (2, 70, 32, 32, 7, 1, 9, 27),
    "1 x 1": (1, 19, 48, 32, 1, 1, 1, 0),
    "first": (2, 37, 1, 32, 7, 1, 1, 3),
    "last": (2, 37, 32, 1, 7, 1, 1, 3),
    "stride 8": (2, 83, 32, 32, 16, 8, 1, 4),
    "stride 5": (1, 241, 24, 32, 10, 5, 1, 3),
    "stride 3": (1, 31, 16, 20, 6, 3, 1, 2),
    "front end": (2, 103, 32, 32, 3, 2, 1, 0),
    "one position": (1, 1, 32, 32, 7, 1, 9, 27),
    "odd channels": (3, 17, 33, 17, 3, 1, 1, 1),
}
ACTIVATIONS = ("snake", "gelu", "elu", None)
STRIDES = (8, 5, 4, 3, 2)
DTYPES = [torch.float32, torch.float16] if INTERPRETED else [torch.float32, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several programs along every axis."""
    monkeypatch.setattr(kernel, "conv_blocks", lambda *_: Blocks(32, 16, 16, 2, 4))


def _random(*shape, dtype, device, scale=1.0):
    return (scale * torch.randn(shape)).to(device, dtype)


def _assert_close(actual, expected, dtype):
    assert actual.shape == expected.shape
    assert actual.dtype == dtype
    limit = TOLERANCE[dtype] * expected.abs().max().clamp(min=1)
    assert (actual.double() - expected).abs().max() <= limit


def _then(y, activation, alpha):
    if activation == "snake":
        return snake(y.transpose(1, 2), alpha.double()[None, :, None]).transpose(1, 2)
    if activation is None:
        return None
    return F.gelu(y) if activation == "gelu" else F.elu(y)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("name", "activation"),
    [*zip(CONVS, cycle(ACTIVATIONS), strict=False), *(("1 x 1", activation) for activation in ACTIVATIONS)],
)
def test_against_pytorch(device, guards, name, activation, dtype):
    batch, length, ci, co, taps, stride, dilation, padding = CONVS[name]
    x = _random(batch, length, ci, dtype=dtype, device=device)
    weight = _random(co, ci, taps, dtype=dtype, device=device, scale=1 / math.sqrt(ci * taps))
    bias, alpha = _random(co, dtype=dtype, device=device), _random(co, dtype=dtype, device=device).abs() + 0.1
    expected = F.conv1d(x.double().transpose(1, 2), weight.double(), bias.double(), stride, padding, dilation)
    skip = _random(batch, expected.shape[2], co, dtype=dtype, device=device)
    y, s = kernel.conv1d(
        between_nan(x),
        layouts.by_taps(weight),
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        skip=skip,
        activation=activation,
        alpha=alpha if activation == "snake" else None,
    )
    expected = expected.transpose(1, 2) + skip.double()
    _assert_close(y, expected, dtype)
    after = _then(expected, activation, alpha)
    assert (s is None) == (after is None)
    if after is not None:
        _assert_close(s, after, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [1, 40])
@pytest.mark.parametrize("stride", STRIDES)
def test_transposed_against_pytorch(device, guards, stride, length, dtype):
    x = _random(2, length, 32, dtype=dtype, device=device)
    weight = _random(32, 24, 2 * stride, dtype=dtype, device=device, scale=0.15)
    bias, alpha = _random(24, dtype=dtype, device=device), _random(24, dtype=dtype, device=device).abs() + 0.1
    geometry = {"stride": stride, "padding": math.ceil(stride / 2), "output_padding": stride % 2}
    y, s = kernel.conv_transpose1d(
        between_nan(x), layouts.two_taps(weight), bias, activation="snake", alpha=alpha, **geometry
    )
    expected = F.conv_transpose1d(x.double().transpose(1, 2), weight.double(), bias.double(), **geometry)
    _assert_close(y, expected.transpose(1, 2), dtype)
    _assert_close(s, _then(expected.transpose(1, 2), "snake", alpha), dtype)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["unit, dilation 9", "first", "stride 5", "odd channels"])
def test_precisions_of_float32(device, guards, name, precision):
    """TF32 operands are rounded to the nearest, those of the kernel's own loads too."""
    batch, length, ci, co, taps, stride, dilation, padding = CONVS[name]
    x = _random(batch, length, ci, dtype=torch.float32, device=device)
    weight = _random(co, ci, taps, dtype=torch.float32, device=device, scale=1 / math.sqrt(ci * taps))
    geometry: Any = {"stride": stride, "padding": padding, "dilation": dilation}
    layout = layouts.by_taps_tf32 if precision == "tf32" else layouts.by_taps
    y, _ = kernel.conv1d(between_nan(x), layout(weight), None, precision=precision, **geometry)
    expected = F.conv1d(as_read(x, precision).transpose(1, 2), as_read(weight, precision), None, **geometry)
    _assert_close(y, expected.transpose(1, 2), torch.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions_of_a_transposed_convolution(device, guards, precision):
    x = _random(2, 40, 32, dtype=torch.float32, device=device)
    weight = _random(32, 24, 10, dtype=torch.float32, device=device, scale=0.15)
    geometry: Any = {"stride": 5, "padding": 3, "output_padding": 1}
    layout = layouts.two_taps_tf32 if precision == "tf32" else layouts.two_taps
    y, _ = kernel.conv_transpose1d(between_nan(x), layout(weight), None, precision=precision, **geometry)
    expected = F.conv_transpose1d(as_read(x, precision).transpose(1, 2), as_read(weight, precision), **geometry)
    _assert_close(y, expected.transpose(1, 2), torch.float32)


@pytest.mark.parametrize("activation", ["snake", "gelu", "elu"])
def test_nan_stays_nan(device, guards, activation):
    bias = torch.zeros(16, device=device)
    bias[3] = torch.nan
    x, weight = torch.ones(1, 9, 16, device=device), torch.ones(16, 1, 16, device=device)
    alpha = torch.ones(16, device=device) if activation == "snake" else None
    _, s = kernel.conv1d(x, weight, bias, activation=activation, alpha=alpha, keep_y=False)
    assert torch.equal(s.isnan(), bias.isnan().expand_as(s))


@pytest.mark.skipif("tf32" not in PRECISIONS, reason="no TF32")
def test_the_nan_of_a_gpu_stays_nan_in_tf32(device, guards):
    """0x7FFFFFFF, which rounding carries over to -0."""
    x, weight = torch.ones(1, 9, 16, device=device), torch.ones(16, 1, 16, device=device)
    x.view(torch.int32)[0, 4, 3] = 0x7FFFFFFF
    y, _ = kernel.conv1d(x, weight, None, precision="tf32")
    assert torch.equal(y.isnan().all(2), x.isnan().any(2))
    assert torch.equal(y.isnan().any(2), x.isnan().any(2))


def test_elu_keeps_the_digits_of_small_values(device, guards):
    y = -torch.cat([10 ** torch.empty(4000).uniform_(-37, 2), torch.linspace(0.4, 0.6, 1000), torch.zeros(8)])
    y = y.to(device).view(1, -1, 16)
    weight = torch.eye(16, device=device)[:, None]
    y, s = kernel.conv1d(y, weight, None, activation="elu")
    expected = y.double().expm1()
    assert ((s.double() - expected).abs() <= 5e-7 * expected.abs()).all()


# A layer's weight, its layout and function, its geometry, and the start and end of each of three rows.
INTERVALS: dict[str, Any] = {
    "unit": ((16, 32, 7), layouts.by_taps, "conv1d", {"padding": 9, "dilation": 3}, [[0, 45], [3, 40], [44, 45]]),
    "stride 3": (
        (16, 32, 6),
        layouts.by_taps,
        "conv1d",
        {"stride": 3, "padding": 2},
        [[0, 240], [130, 200], [239, 240]],
    ),
    "transposed": (
        (32, 16, 10),
        layouts.two_taps,
        "conv_transpose1d",
        {"stride": 5, "padding": 3, "output_padding": 1},
        [[0, 45], [3, 40], [44, 45]],
    ),
}


@pytest.mark.parametrize("name", INTERVALS)
def test_outside_a_rows_interval_counts_as_zero(device, guards, name):
    """Whatever lies there; also where an interval begins and ends tiles away."""
    shape, layout, run, geometry, bounds = INTERVALS[name]
    interval = torch.tensor(bounds, dtype=torch.int32, device=device)
    x = _random(3, bounds[0][1], 32, dtype=torch.float32, device=device)
    clean, spoilt = x.clone(), x.clone()
    for row, (start, end) in enumerate(bounds):
        clean[row, :start] = clean[row, end:] = 0
        spoilt[row, :start] = spoilt[row, end:] = torch.nan
    weight = layout(_random(*shape, dtype=torch.float32, device=device))
    y, _ = getattr(kernel, run)(spoilt, weight, None, interval=interval, **geometry)
    expected, _ = getattr(kernel, run)(clean, weight, None, **geometry)
    assert torch.equal(y, expected)


def test_only_what_is_asked_for_is_written(device, guards):
    x = _random(1, 20, 32, dtype=torch.float32, device=device)
    weight = layouts.by_taps(_random(16, 32, 3, dtype=torch.float32, device=device))
    both = kernel.conv1d(x, weight, None, padding=1, activation="elu")
    y, s = kernel.conv1d(x, weight, None, padding=1, activation="elu", keep_y=False)
    assert y is None
    assert torch.equal(s, both[1])
    assert kernel.conv1d(x, weight, None, padding=1)[1] is None


def test_the_order_of_programs_does_not_matter(device, guards, order):
    x = _random(2, 70, 32, dtype=torch.float32, device=device)
    weight = _random(48, 32, 7, dtype=torch.float32, device=device)
    y, _ = kernel.conv1d(x, layouts.by_taps(weight), None, padding=3)
    _assert_close(y, F.conv1d(x.double().transpose(1, 2), weight.double(), padding=3).transpose(1, 2), torch.float32)


def test_rounding_to_tf32_is_to_nearest():
    x = torch.randn(10000) * 10 ** torch.empty(10000).uniform_(-5, 5)
    rounded = layouts.to_tf32(x)
    assert torch.equal(rounded.view(torch.int32) & 0x1FFF, torch.zeros(10000, dtype=torch.int32))
    assert ((rounded - x).abs() / x.abs()).max() <= 2**-11
    assert abs((rounded / x).double().mean() - 1) < 2e-5  # truncation is off by 2.4e-4 on average
    nan = torch.tensor([0x7FFFFFFF, -1, 0x7FC00000], dtype=torch.int32).view(torch.float32)  # the first is a GPU's
    assert layouts.to_tf32(nan).isnan().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, w, b: (x.double(), w, b), "x is torch.float64"),
        (lambda x, w, b: (x, w.half(), b), "weight is torch.float16, but must be torch.float32"),
        (lambda x, w, b: (x.transpose(1, 2), w, b), "x .* has the strides"),
        (lambda x, w, b: (x, w, b.to("meta")), "bias is on meta, the others on"),
    ],
)
def test_refusals(device, change, words):
    x, weight = torch.zeros(1, 20, 32, device=device), torch.zeros(16, 3, 32, device=device)
    with pytest.raises(ValueError, match=words):
        kernel.conv1d(*change(x, weight, torch.zeros(16, device=device)))
