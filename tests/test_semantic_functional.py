"""The CPU's other ways through linear layers and group norm give the same; own positions hold in half precision."""

import copy

import pytest
import torch
from torch import nn

from xcodec_fast import onednn
from xcodec_fast.linears import linear
from xcodec_fast.semantic_functional import group_affine, own_group_norm


@pytest.fixture
def counted(monkeypatch):
    """The calls of nn.Linear itself."""
    calls = []
    forward = nn.Linear.forward

    def called(self, x):
        calls.append(self)
        return forward(self, x)

    monkeypatch.setattr(nn.Linear, "forward", called)
    return calls


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("frames", [1, 7, 58])
def test_a_linear_layer_by_onednn(counted, frames, transposed, bias):
    layer = nn.Linear(96, 40, bias)
    x = torch.randn(2, 96, frames).transpose(1, 2) if transposed else torch.randn(2, frames, 96)
    with torch.no_grad():
        y = linear(x, layer)
        assert bool(counted) is not onednn._has(torch.float32)
        expected = x.double() @ layer.weight.double().t() + (layer.bias.double() if bias else 0)
    assert y.shape == (2, frames, 40)
    assert (y - expected).abs().max() <= 2e-6 * expected.abs().max()


def test_what_onednn_cannot_do_is_the_layers(counted):
    """Gradients, other types, hooks."""
    layer = nn.Linear(8, 4)
    linear(torch.randn(2, 8), layer).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        linear(torch.randn(2, 8, dtype=torch.float64), nn.Linear(8, 4).double())
        handle = layer.register_forward_hook(lambda *_: 2 * _[2])
        x = torch.randn(2, 8)
        twice = linear(x, layer)
        handle.remove()
    assert len(counted) == 3
    torch.testing.assert_close(twice, 2 * linear(x, layer))


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
