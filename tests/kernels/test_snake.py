"""The Snake kernel against PyTorch in float64: any channel count, any size of argument, half precision."""

import pytest
import torch

from xcodec_fast import backend
from xcodec_fast.functional import snake
from xcodec_fast.kernels import snake as kernel

from .conftest import INTERPRETED
from .guards import between_nan

DTYPES = [torch.float32, torch.float16] if INTERPRETED else [torch.float32, torch.float16, torch.bfloat16]
HALF = {torch.float16: 1e-3, torch.bfloat16: 8e-3}


def _expected(x, alpha):
    return snake(x.double().transpose(1, 2), alpha.double()[None, :, None]).transpose(1, 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 37, 24), (3, 100, 64), (1, 1000, 7), (1, 3, 1500)])
def test_against_float64(device, guards, order, shape, dtype):
    x = (3 * torch.randn(shape)).to(device, dtype)
    alpha = (0.2 + 2.8 * torch.rand(shape[-1])).to(device, dtype)
    y = kernel.snake(between_nan(x), alpha)
    expected = _expected(x, alpha)
    assert y.dtype == dtype
    limit = HALF.get(dtype, 0) * expected.abs().clamp(min=1)
    if dtype == torch.float32:  # of the order of what the PyTorch branch loses
        with backend("torch"):
            branch = snake(x.transpose(1, 2), alpha[None, :, None]).transpose(1, 2)
        limit = 2 * (branch.double() - expected).abs().max() + 1e-7
    assert ((y.double() - expected).abs() <= limit).all()


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_the_polynomial_holds_for_large_arguments(device, size):
    """sin^2 of |alpha x| up to 1000 within 1.7e-7, besides what float32 loses in the product and the sum."""
    x = size * (2 * torch.rand(1, 5000, 1, device=device) - 1)
    y = kernel.snake(x, torch.ones(1, device=device))
    assert (y.double() - _expected(x, torch.ones(1, device=device))).abs().max() <= 2e-7 + 2**-24 * size


def test_beyond_all_precision_it_stays_within_its_bounds(device):
    x = torch.tensor([1e6, 1.4e7, 1e12, -1e30, torch.nan], device=device)[None, :, None]
    y = kernel.snake(x, torch.ones(1, device=device))
    assert ((y - x)[0, :4, 0].abs() <= 1).all()
    assert y[0, 4, 0].isnan()


def test_alpha_zero_is_the_identity(device):
    x = torch.randn(1, 9, 3, device=device)
    assert torch.equal(kernel.snake(x, torch.zeros(3, device=device)), x)


def test_refusals(device):
    with pytest.raises(ValueError, match=r"alpha is torch\.float16, but must be torch\.float32"):
        kernel.snake(torch.zeros(1, 2, 3, device=device), torch.zeros(3, device=device).half())
