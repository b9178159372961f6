"""The nearest codes on a CPU, by either library and by the formula."""

import pytest
import torch

from xcodec_fast import backend, cpu
from xcodec_fast.search import nearest_codes, residual_codes

pytestmark = pytest.mark.usefixtures("library")


def _codebooks(stages=3, size=40, dim=24):
    return [torch.randn(size, dim) / 2**stage for stage in range(stages)]


def test_they_are_the_nearest():
    (codebook,), x = _codebooks(1), torch.randn(50, 24)
    exact = torch.cdist(x.double(), codebook.double()).argmin(1)
    with torch.no_grad():
        assert cpu.suits([codebook], x)
        assert residual_codes(x, [codebook])[:, 0].equal(exact)
        assert nearest_codes(x, codebook).equal(exact)


def test_ties_go_to_the_lowest():
    codebook = _codebooks(1)[0].repeat(2, 1)
    with torch.no_grad():
        for codes in (nearest_codes(codebook, codebook), residual_codes(codebook, [codebook])[:, 0]):
            assert codes.equal(torch.arange(40).repeat(2))


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
        residual_codes(x, [codebook])
        codebook[:20] *= 3
        assert residual_codes(x, [codebook])[:, 0].equal(torch.cdist(x.double(), codebook.double()).argmin(1))


def test_entries_of_long_norms_that_lie_close():
    """Where the norms' rounding would decide: the CPU's are rounded once."""
    codebook = 100 + 0.01 * torch.randn(40, 24)
    with torch.no_grad():
        found = residual_codes(codebook, [codebook])[:, 0]
    missed = (codebook.double() - codebook[found].double()).square().sum(1) / codebook.double().square().sum(1)
    assert missed.max() < 1e-6
