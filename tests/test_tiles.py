"""What a CPU decodes in tiles, or row by row, is what it decodes whole."""

import copy

import pytest
import torch

from xcodec_fast import tiles

from .equality import assert_same_audio


def _codes(model, batch, frames):
    generator = torch.Generator().manual_seed(frames)
    shape = (batch, model.config.num_quantizers, frames)
    return torch.randint(model.config.codebook_size, shape, generator=generator)


@pytest.fixture
def whole(monkeypatch):
    """Decodes without tiles."""

    def decode(model, codes, **options):
        with monkeypatch.context() as patched, torch.no_grad():
            patched.setattr(tiles, "suit", lambda _: False)
            return model.decode(codes, **options).audio_values

    return decode


@pytest.mark.parametrize("name", ["hubert", "hop-640", "ratio-3"])
@pytest.mark.parametrize(("batch", "frames"), [(1, 250), (1, 251), (1, 375), (1, 376), (2, 260), (7, 60), (3, 125)])
def test_tiles_equal_the_whole(pair, whole, name, batch, frames):
    model = pair(name).ours
    codes = _codes(model, batch, frames)
    with torch.no_grad():
        assert_same_audio(whole(model, codes), model.decode(codes).audio_values)


def test_rows_of_their_own_lengths(pair, whole):
    model = pair("hubert").ours
    codes = _codes(model, 4, 300)
    mask = torch.arange(300) < torch.tensor([300, 1, 17, 250])[:, None]
    with torch.no_grad():
        audio = model.decode(codes, audio_codes_mask=mask).audio_values
        few = model.decode(codes[..., :30], audio_codes_mask=mask[:, :30]).audio_values
    assert_same_audio(whole(model, codes, audio_codes_mask=mask), audio)
    assert_same_audio(whole(model, codes[..., :30], audio_codes_mask=mask[:, :30]), few)
    assert not audio[1, 0, 320:].any()


def test_what_is_decoded_whole(pair):
    """With a gradient, in float64, and with layers that do more than their formula."""
    model = copy.deepcopy(pair("hubert").ours)
    assert not tiles.suit(model)
    with torch.no_grad():
        assert tiles.suit(model)
        assert not tiles.suit(copy.deepcopy(model).double())
        handle = model.acoustic_decoder.conv2.register_forward_hook(lambda *_: torch.zeros(1, 1, 1))
        assert not tiles.suit(model)
        assert not model.decode(_codes(model, 1, 300)).audio_values.any()
        handle.remove()
        assert tiles.suit(model)
    model.decode(_codes(model, 1, 300)).audio_values.sum().backward()
    assert model.acoustic_decoder.conv2.weight.grad is not None
