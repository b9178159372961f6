"""The CPU's other way through linear layers gives the same."""

import pytest
import torch
from torch import nn

from xcodec_fast.linears import linear


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
@pytest.mark.usefixtures("library")
def test_a_linear_layer(counted, frames, transposed, bias):
    layer = nn.Linear(96, 40, bias)
    x = torch.randn(2, 96, frames).transpose(1, 2) if transposed else torch.randn(2, frames, 96)
    with torch.no_grad():
        y = linear(x, layer)
        assert not counted
        expected = x.double() @ layer.weight.double().t() + (layer.bias.double() if bias else 0)
    assert y.shape == (2, frames, 40)
    assert (y - expected).abs().max() <= 2e-6 * expected.abs().max()


def test_what_is_left_to_the_layer(counted):
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
