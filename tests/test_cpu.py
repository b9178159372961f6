"""A CPU's convolutions, by either library, give what PyTorch's do, channels-last, and see changes of their weights."""

import copy
import re

import pytest
import torch
from torch import nn

from xcodec_fast import backend, blas, cpu, onednn
from xcodec_fast.functional import conv1d

pytestmark = pytest.mark.usefixtures("library")
LIMIT = {torch.float32: 2e-6, torch.bfloat16: 1e-2}  # of the peak
LAYOUTS = {onednn: ("_packed", "_packed_matrix"), blas: ("_matrices", "_two_matrices", "_taps_in_a_row")}


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request, library):
    if not library.has(request.param):
        pytest.skip("this CPU is without it")
    return request.param


def _assert_near(exact, y, dtype):
    assert y.shape == exact.shape
    assert y.dtype == dtype
    assert (y - exact).abs().max() <= LIMIT[dtype] * exact.abs().max()


def _exact(conv, x, padding=None):
    """In float64, by PyTorch; x and the weights as they were rounded."""
    conv = copy.deepcopy(conv).double()
    if padding is not None:
        conv.padding, conv.output_padding = (padding,), (0,)
    return conv(x.double())


@pytest.mark.parametrize("layout", ["channels-last", "as it lies"])
@pytest.mark.parametrize(
    ("channels", "made", "kernel", "options"),
    [
        (32, 32, 7, {"dilation": 9, "padding": 27}),
        (16, 48, 7, {"padding": 3, "bias": False}),
        (24, 40, 10, {"stride": 5, "padding": 3}),
        (40, 24, 1, {}),
        (40, 24, 1, {"stride": 2}),
        (24, 40, 2, {"stride": 2, "bias": False}),
        (24, 40, 3, {"stride": 2}),
        (24, 40, 3, {"stride": 2, "dilation": 3}),
        (1, 16, 7, {"padding": 3}),
        (1, 16, 10, {"stride": 5, "bias": False}),
        (1, 5, 3, {"dilation": 2}),
        (1, 5, 7, {"stride": 2, "dilation": 2, "padding": 4}),
        (64, 1, 7, {"padding": 3}),
        (3, 5, 3, {}),
    ],
)
@pytest.mark.parametrize(("batch", "positions"), [(1, 90), (3, 35), (2, 20)])
def test_a_convolution(channels, made, kernel, options, batch, positions, layout, dtype):
    conv = nn.Conv1d(channels, made, kernel, **options).to(dtype)
    x = torch.randn(batch, channels, positions).to(dtype)
    if layout == "channels-last":
        x = x.mT.contiguous().mT
    with torch.no_grad():
        exact = _exact(conv, x)
        y = conv1d(x, conv)[0]
        _assert_near(exact, y, dtype)
        assert y.mT.is_contiguous()
        skip = torch.randn(y.shape).to(dtype)
        _assert_near(exact + skip, conv1d(x, conv, skip=skip)[0], dtype)
        _assert_near(nn.functional.gelu(exact), conv1d(x, conv, then="gelu", keep_y=False)[1], dtype)
        y, s = conv1d(x, conv, then="gelu")
        _assert_near(exact, y, dtype)
        _assert_near(nn.functional.gelu(exact), s, dtype)


@pytest.mark.parametrize(
    ("kind", "channels", "options"),
    [
        (nn.Conv1d, 8, {"kernel_size": 16, "stride": 8}),
        (nn.Conv1d, 8, {"kernel_size": 3, "stride": 2}),
        (nn.Conv1d, 8, {"kernel_size": 3, "dilation": 4}),
        (nn.Conv1d, 1, {"kernel_size": 7}),
        (nn.Conv1d, 1, {"kernel_size": 3, "dilation": 4}),
        (nn.ConvTranspose1d, 8, {"kernel_size": 4, "stride": 2}),
    ],
)
def test_what_does_not_fit_is_refused_as_by_pytorch(kind, channels, options):
    conv = kind(channels, 4, **options)
    misfits = [torch.randn(2, 6, 40)]
    if kind is nn.Conv1d:
        misfits.append(torch.randn(2, channels, conv.dilation[0] * (conv.kernel_size[0] - 1)))
    for x in misfits:
        with pytest.raises(RuntimeError) as pytorchs:
            conv(x)
        with torch.no_grad(), pytest.raises(RuntimeError, match=f"^{re.escape(str(pytorchs.value))}$"):
            conv1d(x, conv)


def test_padding_in_place_of_the_layers_own(packings):
    """As a stream has it, of the acoustic encoder's strided layers; packed once for both."""
    conv = nn.Conv1d(24, 40, 10, stride=5, padding=3)
    x = torch.randn(2, 24, 45)
    with torch.no_grad():
        _assert_near(_exact(conv, x, 0), conv1d(x, conv, padding=0)[0], torch.float32)
        _assert_near(_exact(conv, x), conv1d(x, conv)[0], torch.float32)
    assert packings == [9600]


def test_a_single_position_leaves_the_weights_as_they_are():
    """Of one row of one position a view of the bias would be written to."""
    for conv in (nn.Conv1d(8, 8, 3), nn.Conv1d(8, 8, 1), nn.Conv1d(1, 8, 3), nn.ConvTranspose1d(8, 8, 2)):
        x = torch.randn(1, conv.in_channels, conv.kernel_size[0] if isinstance(conv, nn.Conv1d) else 1)
        before = copy.deepcopy(conv.state_dict())
        with torch.no_grad():
            conv1d(x, conv, skip=torch.randn(conv(x).shape), then="gelu")
        for name, value in conv.state_dict().items():
            assert value.equal(before[name])


@pytest.mark.parametrize("groups", [1, 4])
def test_a_grouped_convolution(groups):
    conv = nn.Conv1d(32, 32, 16, padding=8, groups=groups)
    x = torch.randn(2, 32, 21)
    with torch.no_grad():
        y = cpu.conv1d(x, conv.weight, conv.bias, padding=8, groups=groups)
        _assert_near(_exact(conv, x), y, torch.float32)


@pytest.mark.parametrize("stride", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("frames", [1, 2, 7, 64])
@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution(stride, frames, bias, dtype):
    padding = (stride + 1) // 2
    conv = nn.ConvTranspose1d(6, 4, 2 * stride, stride, padding, stride % 2, bias=bias).to(dtype)
    x = torch.randn(3, 6, frames).to(dtype)
    with torch.no_grad():
        for own in (None, padding, stride):
            if own == stride and frames == 1:
                continue
            _assert_near(_exact(conv, x, own), conv1d(x, conv, padding=own)[0], dtype)


@pytest.mark.parametrize("change", ["in place", "assigned", "cast"])
@pytest.mark.parametrize(
    ("kind", "channels", "kernel"),
    [(nn.Conv1d, 8, 4), (nn.Conv1d, 8, 3), (nn.Conv1d, 1, 4), (nn.ConvTranspose1d, 8, 4)],
)
def test_what_was_laid_out_is_laid_out_anew(kind, channels, kernel, change):
    conv, x = kind(channels, 8, kernel, 2), torch.randn(1, channels, 20)
    with torch.no_grad():
        before = conv1d(x, conv)[0]
        if change == "in place":
            conv.weight.mul_(2)
            conv.bias.mul_(2)
        elif change == "assigned":
            conv.weight, conv.bias = nn.Parameter(2 * conv.weight), nn.Parameter(2 * conv.bias)
        else:
            conv.double()
            conv.weight.mul_(2)
            conv.bias.mul_(2)
            conv.float()
        torch.testing.assert_close(conv1d(x, conv)[0], 2 * before)


@pytest.fixture
def packings(library, monkeypatch):
    """The weights that were laid out, by their number of values."""
    packed = []
    for name in LAYOUTS[library]:
        function = getattr(library, name)

        def counted(weight, *given, function=function):
            packed.append(weight.numel())
            return function(weight, *given)

        counted.__qualname__ = name
        monkeypatch.setattr(library, name, counted)
    return packed


def test_weights_are_laid_out_once(packings):
    convs = nn.Conv1d(8, 8, 3), nn.Conv1d(8, 8, 1), nn.Conv1d(8, 8, 3, stride=2), nn.Conv1d(1, 8, 5)
    with torch.no_grad():
        for _ in range(3):
            for conv in convs:
                conv1d(torch.randn(1, conv.in_channels, 20), conv)
    assert packings == [192, 64, 192, 40]


def test_weights_that_cannot_be_kept_are_not_laid_out(packings):
    """Those computed at every access, and those made in inference mode."""
    conv, x = nn.Conv1d(8, 8, 3), torch.randn(1, 8, 20)
    normed = nn.utils.parametrizations.weight_norm(copy.deepcopy(conv))
    with torch.inference_mode():
        made = copy.deepcopy(conv)
        for layer in (normed, made):
            torch.testing.assert_close(conv1d(x, layer)[0], conv(x))
    assert packings == []


def test_what_is_left_to_pytorch():
    """A gradient, float64, mixed types, autocast, a trace, a function transform; and what was switched off."""
    x, weight = torch.randn(1, 8, 20), torch.randn(8, 8, 3, requires_grad=True)
    assert not cpu.suits([weight], x)
    with torch.no_grad():
        assert cpu.suits([weight, None], x)
        assert not cpu.suits([weight.double()], x.double())
        assert not cpu.suits([weight], x.double())
        with torch.autocast("cpu"):
            assert not cpu.suits([weight], x)
        with backend("torch"):
            assert not cpu.suits([weight], x)
        with torch.backends.mkldnn.flags(enabled=False):
            assert not cpu.suits([weight], x)
        conv = nn.Conv1d(8, 8, 3).requires_grad_(False)
        traced = torch.jit.trace(lambda x: conv1d(x, conv)[0], x)
        torch.testing.assert_close(traced(x), conv(x))
        same = nn.Conv1d(8, 8, 3, padding="same")
        assert conv1d(x, same)[0].shape == x.shape
        assert conv1d(x[0], conv)[0].shape == (8, 18)
        seen = []

        def look(x):
            seen.append(cpu.suits([weight], x))
            return x

        torch.vmap(look)(x)
        assert seen == [False]
