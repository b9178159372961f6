"""Layers that are called, or refused, because their formula is not all that they compute."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from xcodec_fast import backend
from xcodec_fast.functional import conv1d


@pytest.mark.parametrize("forced", ["torch", "triton"])
def test_output_padding_that_no_tap_reaches_is_pytorchs(forced):
    conv = torch.nn.ConvTranspose1d(16, 16, 8, 4, padding=0, output_padding=2)
    x = torch.randn(2, 16, 5)
    with torch.no_grad(), backend(forced):
        y, _ = conv1d(x, conv)
        assert torch.equal(y, conv(x))


def test_gradients_go_through_the_layer():
    conv = torch.nn.ConvTranspose1d(6, 4, 8, 4)
    y, _ = conv1d(torch.randn(1, 6, 5), conv, padding=2)
    y.sum().backward()
    assert conv.weight.grad is not None


def test_a_layer_with_a_hook_is_refused_where_its_call_would_be_left_out():
    conv = torch.nn.Conv1d(4, 4, 3)
    conv.register_forward_hook(lambda *_: None)
    with pytest.raises(TypeError, match=r"Conv1d\(4, 4.*hooks"):
        conv1d(torch.randn(1, 4, 9), conv, padding=0)


def test_a_profiler_of_all_modules_may_look_on():
    conv = torch.nn.Conv1d(4, 4, 3)
    with FlopCounterMode(display=False) as counter:
        conv1d(torch.randn(1, 4, 9), conv, padding=0)
    assert counter.get_total_flops() > 0
