"""Codebooks that learn: what k-means fills, how moving averages follow, that the gradient goes straight through."""

from itertools import pairwise

import pytest
import torch

from xcodec_fast import XcodecConfig
from xcodec_fast.quantizer import ResidualVectorQuantizer
from xcodec_fast.training.quantization import LearningQuantizer

from .conftest import SMALL


@pytest.fixture
def quantizer():
    return ResidualVectorQuantizer(XcodecConfig.from_dict(SMALL))


def _clusters(count, width):
    """Vectors around 32 centres."""
    centres = 3 * torch.randn(32, width)
    return centres[torch.randint(32, (count,))] + 0.1 * torch.randn(count, width)


def test_k_means_leaves_less_at_every_stage(quantizer):
    x = _clusters(2000, 32)
    LearningQuantizer(quantizer, 0.99, 0).fill(x)
    embeddings = x.t()[None]
    codes = quantizer.encode(embeddings)
    errors = [float((embeddings - quantizer.decode(codes[:n])).square().mean()) for n in range(1, len(codes) + 1)]
    assert errors[0] < 0.3 * float(x.var())
    assert all(after < before for before, after in pairwise(errors))
    with pytest.raises(ValueError, match="31 embeddings cannot fill a codebook of 32 entries"):
        LearningQuantizer(quantizer, 0.99, 0).fill(x[:31])


def test_sums_are_the_models_own(quantizer):
    learning = LearningQuantizer(quantizer, 1.0, 0)
    x = _clusters(500, 32)
    learning.fill(x)
    embeddings = x[:40].view(2, 20, 32).transpose(1, 2)
    total = len(quantizer.quantizers)
    quantized, _ = learning(embeddings, torch.tensor([total, 2]))
    expected = quantizer.encode(embeddings)
    torch.testing.assert_close(quantized[:1], quantizer.decode(expected[:, :1]))
    torch.testing.assert_close(quantized[1:], quantizer.decode(expected[:2, 1:]))


def test_the_gradient_goes_straight_through(quantizer):
    learning = LearningQuantizer(quantizer, 0.99, 0)
    learning.fill(_clusters(500, 32))
    x = torch.randn(2, 32, 9, requires_grad=True)
    quantized, commitment = learning(x, torch.tensor([4, 1]))
    weights = torch.randn_like(quantized)
    assert torch.autograd.grad((quantized * weights).sum(), x, retain_graph=True)[0].equal(weights)
    assert torch.autograd.grad(commitment, x)[0].abs().sum() > 0


def test_entries_move_to_the_mean_of_their_vectors(quantizer):
    learning = LearningQuantizer(quantizer, 0.9, 0)
    learning.fill(_clusters(2000, 32))
    book = quantizer.quantizers[0].codebook
    shifted = _clusters(4000, 32)
    before = (shifted - book.decode(book.encode(shifted))).square().mean()
    for _ in range(60):
        learning(shifted.view(40, 100, 32).transpose(1, 2), torch.full((40,), 4))
    assert (shifted - book.decode(book.encode(shifted))).square().mean() < 0.2 * before


def test_dead_entries_come_to_life(quantizer):
    learning = LearningQuantizer(quantizer, 0.8, 0)
    learning.fill(_clusters(2000, 32))
    book = quantizer.quantizers[0].codebook
    book.embed[5:] = book.embed_avg[5:] = 1e3
    x = _clusters(4000, 32).view(40, 100, 32).transpose(1, 2)
    for _ in range(40):
        learning(x, torch.full((40,), 4))
    assert len(quantizer.encode(x)[0].unique()) >= 30
