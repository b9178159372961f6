"""Captured calls, as far as they can be told without a GPU: a recording that calls again stands in for the graph."""

import copy

import pytest
import torch

from xcodec_fast import call_graph
from xcodec_fast.call_graph import CapturedXcodec


class Again:
    """As `Recording`: the result stays where it lies."""

    made = 0

    def __init__(self, call, warm_up, device):
        warm_up()
        type(self).made += 1
        self._call, self.out = call, call().clone()

    def replay(self):
        self.out.copy_(self._call())


@pytest.fixture
def model(tiny, monkeypatch):
    monkeypatch.setattr(call_graph, "Recording", Again)
    monkeypatch.setattr(Again, "made", 0)
    return copy.deepcopy(tiny)


@torch.no_grad()
def _louder(model):
    model.acoustic_decoder.conv2.weight.mul_(2)
    model.acoustic_decoder.conv2.bias.mul_(2)


def test_they_give_what_the_calls_give(model, speech):
    captured = CapturedXcodec(model, (2, 1, 8000), 2)
    assert Again.made == 2
    clips = speech[:32000].view(2, 2, 1, 8000)
    with torch.no_grad():
        found = [captured.encode(clip).audio_codes for clip in clips]
        audio = [captured.decode(codes).audio_values for codes in found]
        for clip, codes, heard in zip(clips, found, audio, strict=True):
            assert codes.equal(model.encode(clip, 2).audio_codes)
            assert heard.equal(model.decode(codes).audio_values)
    assert Again.made == 2


def test_captured_and_called_in_either_mode(model, speech):
    clip = speech[None, None, :8000]
    with torch.inference_mode():
        captured = CapturedXcodec(model, (1, 1, 8000), None)
    codes = captured.encode(clip).audio_codes
    with torch.inference_mode():
        assert captured.encode(clip).audio_codes.equal(codes)
    with torch.no_grad():
        assert captured.decode(codes).audio_values.equal(model.decode(codes).audio_values)


def test_changed_weights_are_captured_anew(model, speech):
    captured, clip = CapturedXcodec(model, (1, 1, 8000), None), speech[None, None, :8000]
    codes = captured.encode(clip).audio_codes
    before = captured.decode(codes).audio_values
    _louder(model)
    torch.testing.assert_close(captured.decode(codes).audio_values, 2 * before)
    assert Again.made == 3


def test_a_capture_that_fails_is_made_at_the_next_call(model, speech, monkeypatch):
    captured, clip = CapturedXcodec(model, (1, 1, 8000), None), speech[None, None, :8000]
    codes = captured.encode(clip).audio_codes
    before = captured.decode(codes).audio_values
    _louder(model)

    def fails(*given):
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(call_graph, "Recording", fails)
        for _ in range(2):
            with pytest.raises(torch.OutOfMemoryError):
                captured.decode(codes)
    torch.testing.assert_close(captured.decode(codes).audio_values, 2 * before)


def test_a_model_of_another_type_is_captured_anew(model, speech):
    captured, clip = CapturedXcodec(model, (1, 1, 8000), None), speech[None, None, :8000]
    model.double()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"the model is torch\.float64"):
            captured.encode(clip)
    assert captured.encode(clip.double()).audio_codes.equal(model.encode(clip.double()).audio_codes)
    with pytest.raises(ValueError, match=r"captured takes torch\.float64 alone"):
        captured.encode(clip)


def test_other_inputs_are_refused(model):
    captured = CapturedXcodec(model, (1, 1, 8000), None)
    with pytest.raises(ValueError, match=r"shape is \[1, 1, 8001\], but what was captured takes \[1, 1, 8000\] alone"):
        captured.encode(torch.zeros(1, 1, 8001))
    with pytest.raises(ValueError, match=r"dtype is torch\.float64, but what was captured takes torch\.float32"):
        captured.encode(torch.zeros(1, 1, 8000, dtype=torch.float64))
    with pytest.raises(ValueError, match="bandwidth"):
        CapturedXcodec(model, (1, 1, 8000), 3)


def test_a_model_on_a_cpu_is_not_captured(tiny):
    with pytest.raises(ValueError, match="only calls on a CUDA device can be captured, but the model is on cpu"):
        tiny.capture((1, 1, 16000))
