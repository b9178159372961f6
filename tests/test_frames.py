"""How many frames samples give, and the padding by which both branches give as many."""

import pytest
import torch

from xcodec_fast import XcodecConfig, XcodecModel
from xcodec_fast.frames import acoustic_pad, frame_counts, whole_frames_pad

from .pairs import CONFIGS


@pytest.mark.parametrize("name", ["hubert", "hop-640", "ratio-3"])
def test_counts_and_pads(name):
    model = XcodecModel(XcodecConfig(**CONFIGS[name])).eval()
    hop = model.config.hop_length
    lengths = [3 * hop + rest for rest in (0, 1, 79, 80, 81, hop // 2, 311, 312, hop - 1) if rest < hop]
    with torch.inference_mode():
        for samples, count in zip(lengths, frame_counts(model, lengths), strict=True):
            assert model.encode(torch.randn(1, 1, samples) / 10).audio_codes.shape[2] == count
            pad = acoustic_pad(model, samples, count)
            assert pad in (0, model.pad)
            assert model.acoustic_encoder(torch.zeros(1, 1, samples + 2 * pad)).shape[2] == count
    assert whole_frames_pad(model) == acoustic_pad(model, lengths[0], frame_counts(model, lengths)[0])


def test_pads_of_the_default_hop(tiny):
    """Half a hop where T mod hop is in 80..311."""
    for rest in range(320):
        samples = 6400 + rest
        pad = acoustic_pad(tiny, samples, frame_counts(tiny, [samples])[0])
        assert pad == (160 if 80 <= rest <= 311 else 0)


def test_what_does_not_fit(tiny):
    assert frame_counts(tiny, [80, 400]) == [1, 2]
    with pytest.raises(ValueError, match="row 1 of input_values has 79 samples, but a frame needs at least 80"):
        frame_counts(tiny, [80, 79, 1])
    with pytest.raises(ValueError, match="6400 samples give 9 semantic frames, but 20 acoustic ones"):
        acoustic_pad(tiny, 6400, 9)
