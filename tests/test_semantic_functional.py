"""The CPU's other way through group norm gives the same; own positions hold in half precision; what is called."""

import copy

import pytest
import torch
from torch import nn

from xcodec_fast import XcodecConfig
from xcodec_fast.hubert import PositionalConv
from xcodec_fast.semantic_functional import group_affine, own_group_norm

from .pairs import CONFIGS


@pytest.mark.parametrize("cuts", [[2048] * 20, [1, 30_000, 7, 900], [3]])
def test_a_group_norm_piece_by_piece(cuts):
    """Around a mean 100 times the deviation, where sums of squares alone would lose all."""
    norm = nn.GroupNorm(6, 6)
    nn.init.uniform_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (100 + torch.randn(1, sum(cuts), 6)).mT
    with torch.no_grad():
        exact = copy.deepcopy(norm).double()(x.double())
        affine = group_affine(x.split(cuts, -1), norm)
        y = torch.addcmul(affine.shift, x, affine.scale)
    assert (y - exact).abs().max() <= 3e-5 * exact.abs().max().clamp(min=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_group_norm_of_a_long_clip_in_half_precision(dtype):
    """Its sums leave float16's range: 96,000 positions around 2 with a variance of 4."""
    x = (2 + 2 * torch.randn(1, 3, 96_000)).to(dtype)
    own = torch.arange(96_000)[None] < 95_000
    weight, bias = torch.rand(3).to(dtype), torch.rand(3).to(dtype)
    y = own_group_norm(x, own, weight, bias, 1e-5)
    exact = own_group_norm(x.double(), own, weight.double(), bias.double(), 1e-5)
    assert y.dtype == dtype
    assert (y.double() - exact)[..., :95_000].abs().max() <= 4 * torch.finfo(dtype).eps * exact.abs().max()


@pytest.mark.parametrize("change", ["a forward hook", "a forward of its own", "an adapter"])
def test_a_positional_convolution_that_is_more_is_called(change):
    config = XcodecConfig.from_dict(CONFIGS["hubert"]).semantic_model_config
    position = PositionalConv(config, batch_norm=False)
    x = torch.randn(1, 20, config.hidden_size)
    with torch.no_grad():
        zeros = torch.zeros_like(position(x))
        assert position(x).any()
        if change == "a forward hook":
            position.conv.register_forward_hook(lambda *called: 0 * called[2])
        elif change == "an adapter":
            position.conv = nn.Sequential(position.conv, nn.Threshold(float("inf"), 0))
        else:
            forward = position.conv.forward
            position.conv.forward = lambda x: 0 * forward(x)
        assert torch.equal(position(x), zeros)
