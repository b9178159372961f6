"""The nearest codes on a CPU, by oneDNN and by the formula."""

import pytest
import torch

from xcodec_fast import backend, onednn
from xcodec_fast.search import nearest_codes, residual_codes

pytestmark = pytest.mark.skipif(not onednn._has(torch.float32), reason="this PyTorch is without oneDNN's operators")


def _codebooks(stages=3, size=40, dim=24):
    torch.manual_seed(0)
    return [torch.randn(size, dim) / 2**stage for stage in range(stages)]


def test_they_are_the_nearest():
    (codebook,), x = _codebooks(1), torch.randn(50, 24)
    with torch.no_grad():
        codes = nearest_codes(x, codebook)
    assert codes.equal(torch.cdist(x.double(), codebook.double()).argmin(1))


def test_ties_go_to_the_lowest():
    codebook = _codebooks(1)[0].repeat(2, 1)
    with torch.no_grad():
        assert nearest_codes(codebook, codebook).equal(torch.arange(40).repeat(2))


def test_both_ways_find_the_same():
    codebooks, x = _codebooks(), torch.randn(50, 24)
    with torch.no_grad():
        codes = residual_codes(x, codebooks)
        with backend("torch"):
            assert codes.equal(residual_codes(x, codebooks))


def test_a_changed_codebook_is_searched_as_it_is_now():
    """Both its entries and their norms are derived."""
    (codebook,), x = _codebooks(1), torch.randn(50, 24)
    with torch.no_grad():
        nearest_codes(x, codebook)
        codebook[:20] *= 3
        assert nearest_codes(x, codebook).equal(torch.cdist(x.double(), codebook.double()).argmin(1))
