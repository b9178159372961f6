"""Tensors whose sizes do not fit are refused, as by PyTorch, before a kernel reads beyond them."""

import pytest
import torch
import triton

from xcodec_fast.kernels import launch, residual_unit, snake
from xcodec_fast.kernels.conv1d import conv1d, conv_transpose1d

CONV = {
    "x": (2, 9, 16),
    "weight": (8, 7, 16),
    "bias": (8,),
    "skip": (2, 9, 8),
    "alpha": (8,),
    "interval": (2, 2),
}
TRANSPOSED = {"x": (2, 9, 16), "weight": (24, 2, 16), "bias": (8,), "alpha": (8,), "interval": (2, 2)}
UNIT = {
    "s": (2, 9, 16),
    "x": (2, 9, 16),
    "weight1": (16, 7, 16),
    "bias1": (16,),
    "alpha2": (16,),
    "weight2": (16, 16),
    "bias2": (16,),
    "alpha": (16,),
    "interval": (2, 2),
}


def _made(shapes, device, **changed):
    """Tensors of the shapes; the interval holds integers."""
    dtypes = {"interval": torch.int32}
    return {
        name: torch.zeros(shape, dtype=dtypes.get(name), device=device) for name, shape in {**shapes, **changed}.items()
    }


def _conv(device, **changed):
    return conv1d(**_made(CONV, device, **changed), padding=3, activation="snake")


def _transposed(device, **changed):
    made = _made(TRANSPOSED, device, **changed)
    return conv_transpose1d(**made, stride=3, padding=2, output_padding=1, activation="snake")


def _unit(device, **changed):
    return residual_unit.residual_unit(**_made(UNIT, device, **changed), dilation=1)


def _snake(device, **changed):
    return snake.snake(**_made({"x": (2, 9, 16), "alpha": (16,)}, device, **changed))


@pytest.mark.parametrize("run", [_conv, _transposed, _unit, _snake])
def test_what_fits_is_taken(run, device):
    run(device)


@pytest.mark.parametrize(
    ("run", "name", "shape"),
    [
        (_conv, "x", (9, 16)),
        (_conv, "weight", (8, 7, 24)),
        (_conv, "bias", (4,)),
        (_conv, "alpha", (4,)),
        (_conv, "alpha", (1, 8, 1)),
        (_conv, "skip", (1, 9, 8)),
        (_conv, "skip", (2, 9, 4)),
        (_conv, "interval", (1, 2)),
        (_conv, "interval", (2, 1)),
        (_transposed, "weight", (24, 2, 24)),
        (_transposed, "weight", (24, 3, 16)),
        (_transposed, "weight", (25, 2, 16)),
        (_transposed, "bias", (24,)),
        (_transposed, "alpha", (4,)),
        (_transposed, "interval", (1, 2)),
        (_unit, "x", (2, 8, 16)),
        (_unit, "weight1", (16, 7, 8)),
        (_unit, "weight2", (16, 48)),
        (_unit, "bias1", (8,)),
        (_unit, "bias2", (8,)),
        (_unit, "alpha2", (1,)),
        (_unit, "alpha", (1,)),
        (_unit, "interval", (3, 2)),
        (_snake, "alpha", (4,)),
        (_snake, "x", (9, 16)),
    ],
)
def test_sizes_that_do_not_fit(run, name, shape, device):
    sizes = ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=rf"\w: {name} is \[.*\] \(.*\), not \[{sizes}\]"):
        run(device, **{name: shape})


def test_the_channels_of_a_weight_are_told(device):
    message = r"conv1d: weight is \[CO, KW, CI\] \(B = 2, T = 9, CI = 24, CO = 8, KW = 7\), not \[8, 7, 16\]"
    with pytest.raises(ValueError, match=message):
        _conv(device, x=(2, 9, 24))


def test_a_skip_of_another_length(device):
    with pytest.raises(ValueError, match="conv1d: skip has 5 positions, but must have 9"):
        _conv(device, skip=(2, 5, 8))


def test_no_output(device):
    x, weight = torch.zeros(1, 6, 16, device=device), torch.zeros(8, 7, 16, device=device)
    with pytest.raises(ValueError, match="6 positions give no output through 7 taps of dilation 1"):
        conv1d(x, weight, None)
    with pytest.raises(ValueError, match="0 positions give no output"):
        conv1d(x[:, :0], weight, None, padding=9)
    with pytest.raises(ValueError, match="1 positions give no output through 2 taps"):
        conv_transpose1d(x[:, :1], torch.zeros(16, 2, 16, device=device), None, stride=2, padding=2, output_padding=0)
    with pytest.raises(ValueError, match="no kernel for C = 16, KW = 7, T = 0"):
        _unit(device, s=(2, 0, 16), x=(2, 0, 16))


def test_units_without_a_kernel(device):
    with pytest.raises(ValueError, match="no kernel for C = 16, KW = 4, T = 9"):
        _unit(device, weight1=(16, 4, 16))
    shapes = {name: tuple(24 if size == 16 else size for size in shape) for name, shape in UNIT.items()}
    with pytest.raises(ValueError, match="no kernel for C = 24, KW = 7, T = 9"):
        _unit(device, **shapes)


def test_no_clips_and_no_positions_of_snake_are_no_error(device):
    y, s = _conv(device, x=(0, 9, 16), skip=(0, 9, 8), interval=(0, 2))
    assert y.shape == s.shape == (0, 9, 8)
    assert _snake(device, x=(2, 0, 16)).shape == (2, 0, 16)


def test_snake_is_refused_where_no_kernel_runs(monkeypatch):
    with pytest.raises(ValueError, match="the Triton kernels run on a CUDA or ROCm GPU, not on meta"):
        _snake("meta")
    monkeypatch.setattr(launch, "chip", launch.chip.__wrapped__)  # without what it remembers
    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    with pytest.raises(ValueError, match="the Triton kernels run on a CUDA or ROCm GPU, not on cpu"):
        _snake("cpu")
