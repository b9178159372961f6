"""A front end that goes through clips tile by tile gives what it gives at once."""

import copy

import pytest
import torch

from xcodec_fast import XcodecConfig, backend, cpu, front_end
from xcodec_fast.front_end import FrontEnd

from .pairs import CONFIGS


@pytest.fixture(params=sorted(CONFIGS))
def front_end_of(request):
    return FrontEnd(XcodecConfig.from_dict(CONFIGS[request.param]).semantic_model_config)


@pytest.mark.parametrize("tile", [1, 3, 1000])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("samples", [400, 401, 5000, 12345])
def test_tiles_equal_the_whole(front_end_of, monkeypatch, tile, batch, samples):
    monkeypatch.setattr(front_end, "_TILE", tile)
    monkeypatch.setattr(front_end, "_NORM_TILE", 100)
    audio = torch.randn(batch, samples) * 0.1 + 0.05
    with torch.no_grad():
        exact = copy.deepcopy(front_end_of).double()(audio.double())
        assert front_end_of._suits_tiles(audio) is cpu.library().has(torch.float32)
        tiled = front_end_of(audio)
    assert tiled.shape == exact.shape
    assert (tiled - exact).abs().max() <= 2e-5 * exact.abs().max()


def test_tiles_in_bfloat16_round_as_the_whole_does(monkeypatch):
    """The norm's scale and shift stay in float32; of audio with an offset, bfloat16 would lose 4 dB by them."""
    whole = FrontEnd(XcodecConfig.from_dict(CONFIGS["hubert"]).semantic_model_config).bfloat16()
    audio = (torch.randn(1, 8000) * 0.05 + 0.5).bfloat16()
    monkeypatch.setattr(front_end, "_TILE", 7)

    def signal_to_error(y):
        return 10 * torch.log10(exact.square().sum() / (y - exact).square().sum())

    with torch.no_grad():
        exact = copy.deepcopy(whole).double()(audio.double())
        in_tiles = whole._in_tiles(audio[:, None])
        assert in_tiles.dtype == torch.bfloat16
        with backend("torch"):
            assert signal_to_error(in_tiles) > signal_to_error(whole(audio)) - 1


def test_a_front_end_that_is_observed_is_called_at_once(front_end_of, monkeypatch):
    monkeypatch.setattr(front_end, "_TILE", 3)
    seen = []
    front_end_of.conv_layers[0].register_forward_hook(lambda *given: seen.append(given[1][0].shape[-1]))
    with torch.no_grad():
        front_end_of(torch.randn(1, 5000))
    assert seen == [5000]


@pytest.mark.parametrize("samples", [1, 399])
def test_audio_too_short_for_a_frame_is_refused_by_its_layers(front_end_of, samples):
    with torch.no_grad(), pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        front_end_of(torch.zeros(1, samples))
