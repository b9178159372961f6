"""The stages that a bandwidth pays for, and the hash that tells codebooks apart."""

import hashlib

import pytest
import torch
import transformers

from xcodec_fast import XcodecConfig, XcodecModel

from .pairs import CONFIGS


@pytest.mark.parametrize("name", ["hubert", "codebook-300", "ratio-3", "hop-640"])
def test_stages_of_a_bandwidth(name):
    """Also at multiples of a stage's, which rounding may put on either side."""
    ours = XcodecModel(XcodecConfig(**CONFIGS[name])).quantizer
    reference = transformers.XcodecModel(transformers.XcodecConfig(**CONFIGS[name])).quantizer
    each = ours.get_bandwidth_per_quantizer()
    assert each == reference.get_bandwidth_per_quantizer()
    for bandwidth in (None, -1, 0, each / 3, *(n * each / 2 for n in range(1, 65))):
        stages = ours.get_num_quantizers_for_bandwidth(bandwidth)
        assert stages == reference.get_num_quantizers_for_bandwidth(bandwidth)
        if bandwidth is not None:
            assert ours.stages(bandwidth) == min(stages, ours.num_quantizers)


def test_the_sum_of_the_entries(tiny):
    codes = torch.randint(0, tiny.config.codebook_size, (3, 2, 5))
    expected = sum(codebook[chosen] for codebook, chosen in zip(tiny.quantizer.codebooks, codes, strict=False))
    made = tiny.quantizer.decode(codes)
    assert made.shape == (2, tiny.config.codebook_dim, 5)
    assert torch.allclose(made.mT, expected, atol=1e-6)


def test_the_hash_of_the_codebooks(tiny):
    entries = torch.stack(tiny.quantizer.codebooks).bfloat16().view(torch.int16).numpy().astype("<i2")
    assert tiny.quantizer.codebooks_hash() == hashlib.blake2b(entries.tobytes(), digest_size=16).digest()
