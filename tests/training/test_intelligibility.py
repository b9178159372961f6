"""The intelligibility loss: 0 for what sounds the same, and what STOI says of speech in noise."""

import pytest
import torch
from pystoi import stoi

from xcodec_fast.audio import load_audio
from xcodec_fast.demo import SPEECH
from xcodec_fast.training.intelligibility import IntelligibilityLoss
from xcodec_fast.training.objective import Objective
from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.start import start


@pytest.fixture(scope="module")
def speech():
    return torch.from_numpy(load_audio(SPEECH, 16000).samples)[None, None]


@pytest.fixture(scope="module")
def loss():
    return IntelligibilityLoss(16000)


def _noise(like):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


def test_neither_loudness_nor_polarity_counts(loss, speech):
    for same in (speech, 0.2 * speech, -speech):
        assert float(loss(same, speech)) < 1e-3


def test_speech_in_noise_as_stoi_judges_it(loss, speech):
    """Close where a second is spoken without a pause; never milder: STOI clips what is too loud in a gap."""
    excerpt = speech[..., 32000:48000]
    for clip, near in ((excerpt, 0.06), (speech, 1.0)):
        losses = []
        for level in (0.01, 0.03, 0.06):
            noisy = clip + level * _noise(clip)
            losses.append(float(loss(noisy, clip)))
            judged = 1 - stoi(clip[0, 0].numpy(), noisy[0, 0].numpy(), 16000)
            assert judged < losses[-1] < judged + near
        assert losses == sorted(losses)


def test_silent_segments_are_left_out(loss, speech):
    """Noise where nothing is said is not heard against; the same noise where something is said is."""
    silence = torch.zeros(1, 1, 16000)
    quiet = torch.cat([speech, silence], -1)
    noisy = torch.cat([speech, 0.1 * _noise(silence)], -1)
    assert float(loss(noisy, quiet)) < 0.03 < 0.3 < float(loss(speech + 0.1 * _noise(speech), speech))


def test_gradients_are_finite_where_all_is_silent(loss, speech):
    for target in (speech, torch.zeros_like(speech)):
        made = torch.zeros_like(speech, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(made, target), made)
        assert gradient.isfinite().all()


def test_short_clips(loss, values):
    with pytest.raises(ValueError, match=f"clips of 6354 samples are shorter than a segment of {loss.shortest}"):
        loss(torch.zeros(1, 1, 6354), torch.zeros(1, 1, 6354))
    assert loss.shortest == 6355
    assert loss(torch.zeros(1, 1, 6355), torch.zeros(1, 1, 6355)).isfinite()
    recipe = Recipe.from_dict({**values, "crop_frames": 19, "intelligibility": 1})
    with pytest.raises(ValueError, match="crop_frames is 19, 6080 samples, but the intelligibility loss needs 6355"):
        Objective(start(recipe, torch.device("cpu")).model, recipe)
