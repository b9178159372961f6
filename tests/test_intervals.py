"""The arithmetic of validity intervals, position by position."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from xcodec_fast.intervals import Interval, conv_length, evenly, from_zero, inputs_of, keep, through, upsampled

ROWS = Interval(torch.tensor([0, 4, 2, 9]), torch.tensor([9, 3, 0, 5]))
GEOMETRY = {
    "kernel": st.integers(1, 8),
    "stride": st.integers(1, 4),
    "padding": st.integers(0, 5),
    "dilation": st.integers(1, 3),
}


def _summing(kind, kernel, stride, padding, dilation):
    """A convolution of ones, in float64."""
    conv = kind(1, 1, kernel, stride=stride, padding=padding, dilation=dilation, bias=False).double()
    nn.init.ones_(conv.weight)
    return conv.requires_grad_(False)


def test_own_positions():
    expected = [[start <= i < start + length for i in range(9)] for start, length in ((0, 9), (4, 3), (2, 0), (9, 5))]
    assert ROWS.own(9).tolist() == expected
    assert from_zero([2, 0], torch.device("cpu")).own(3).tolist() == [[True, True, False], [False] * 3]


@pytest.mark.parametrize("shape", [(4, 9), (4, 3, 9), (4, 1, 9), (4, 3, 2, 9)])
def test_zero_outside_whatever_lies_there(shape):
    x = torch.randn(shape)
    own = ROWS.own(9).view(4, *[1] * (len(shape) - 2), 9).expand(shape)
    dirty = torch.where(own, x, torch.nan)
    assert torch.equal(keep(dirty, ROWS), torch.where(own, x, 0))
    assert keep(x, None) is x
    if len(shape) == 3:
        last = dirty.mT.contiguous().mT
        kept = keep(last, ROWS)
        assert torch.equal(kept, torch.where(own, x, 0))
        assert kept.stride() == last.stride()


@given(count=st.integers(0, 40), most=st.integers(1, 12))
def test_parts_are_few_and_even(count, most):
    parts = list(evenly(count, most))
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(count))
    assert len(parts) == -(-count // most)
    sizes = [stop - start for start, stop in parts]
    assert all(size == -(-count // len(parts)) for size in sizes[:-1])
    assert all(0 < size <= most for size in sizes)


@given(**GEOMETRY, length=st.integers(1, 30))
def test_length_of_a_convolution(kernel, stride, padding, dilation, length):
    conv = _summing(nn.Conv1d, kernel, stride, padding, dilation)
    if length + 2 * padding > dilation * (kernel - 1):
        assert conv_length(length, conv) == conv(torch.ones(1, 1, length).double()).shape[2]
    else:
        assert conv_length(length, conv) < 1


@given(**GEOMETRY, start=st.integers(0, 3), length=st.integers(1, 20))
def test_a_row_through_a_convolution_is_what_it_is_alone(kernel, stride, padding, dilation, start, length):
    conv = _summing(nn.Conv1d, kernel, stride, padding, dilation)
    start *= stride
    row = torch.randn(1, 1, length).double()
    batch = torch.full((1, 1, start + length + 40), torch.nan).double()
    batch[..., start : start + length] = row
    interval = Interval(torch.tensor([start]), torch.tensor([length]))
    after = through(interval, conv)
    assert through(None, conv) is None
    assert after is not None
    first, count = int(after.start), int(after.length)
    assert (first, count) == (start // stride, max(0, int(conv_length(length, conv))))
    if count:
        whole = conv(keep(batch, interval))[..., first : first + count]
        assert torch.allclose(whole, conv(row), atol=1e-12, rtol=0)


@given(stride=st.integers(2, 5), start=st.integers(0, 3), length=st.integers(1, 9))
def test_a_row_through_a_transposed_convolution_is_what_it_is_alone(stride, start, length):
    padding, odd = -(-stride // 2), stride % 2
    conv = nn.ConvTranspose1d(1, 1, 2 * stride, stride, padding=padding, output_padding=odd, bias=False).double()
    row = torch.randn(1, 1, length).double()
    batch = torch.zeros(1, 1, start + length + 4).double()
    batch[..., start : start + length] = row
    after = upsampled(Interval(torch.tensor([start]), torch.tensor([length])), conv)
    assert upsampled(None, conv) is None
    assert after is not None
    first, count = int(after.start), int(after.length)
    assert (first, count) == (start * stride, length * stride)
    with torch.no_grad():
        assert torch.allclose(conv(batch)[..., first : first + count], conv(row), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.ConvTranspose1d])
@given(**GEOMETRY, low=st.integers(12, 15), more=st.integers(0, 5))
def test_inputs_of_outputs(kind, kernel, stride, padding, dilation, low, more):
    """By the gradient of their sum."""
    if kind is nn.ConvTranspose1d:  # with neither holes nor gaps, as all are; its outputs are at a higher rate
        kernel, dilation, low = max(kernel, stride), 1, low * stride
    conv = _summing(kind, kernel, stride, padding, dilation)
    x = torch.ones(1, 1, 120, dtype=torch.float64, requires_grad=True)
    conv(x)[..., low : low + more + 1].sum().backward()
    assert x.grad is not None
    read = x.grad[0, 0].nonzero()
    assert inputs_of(low, low + more, conv) == (int(read[0]), int(read[-1]))
