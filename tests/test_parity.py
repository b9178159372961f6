"""Codes and audio equal the reference's, over configs, lengths, batches and bandwidths."""

import copy

import pytest
import torch

from .equality import CodeEquality, assert_same_audio
from .pairs import CONFIGS

OFFSETS = (0, 1, 79, 80, 200, 311, 312, 319)


@pytest.mark.parametrize("name", CONFIGS)
def test_codes_of_every_length_class(pair, speech, name):
    judge = CodeEquality(pair(name))
    hop = judge.pair.ours.config.hop_length
    for index, offset in enumerate(OFFSETS):
        start = 3000 * index
        judge.add(speech[None, None, start : start + (20 + 9 * index) * hop + offset])
    judge.assert_holds()


@pytest.mark.parametrize("name", CONFIGS)
def test_codes_of_batches_and_bandwidths(pair, speech, name):
    judge = CodeEquality(pair(name))
    batch = speech[: 6 * 16000].view(3, 1, -1)
    for bandwidth in (None, *judge.pair.ours.config.target_bandwidths):
        judge.add(batch, bandwidth)
    judge.assert_holds()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_stage_uses_many_codes(pair, speech, name):
    codes = pair(name).ours.encode(speech[None, None]).audio_codes
    for stage in codes[0]:
        assert len(stage.unique()) >= 50


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("offset", [0, 79, 200])
def test_audio(pair, speech, name, offset):
    both = pair(name)
    audio = speech[None, None, : 40 * both.ours.config.hop_length + offset]
    codes = both.reference.encode(audio).audio_codes
    for stages in (1, codes.shape[1]):
        expected = both.reference.decode(codes[:, :stages]).audio_values
        assert_same_audio(expected, both.ours.decode(codes[:, :stages]).audio_values)
    expected = both.reference(audio, audio_codes=codes).audio_values
    assert_same_audio(expected, both.ours(audio, audio_codes=codes).audio_values)


@pytest.mark.parametrize("name", CONFIGS)
def test_audio_and_embeddings_in_double_precision(pair, speech, name):
    """At 1e-11 a difference is an error of the algorithm, not rounding."""
    reference, ours = (copy.deepcopy(model).double() for model in (pair(name).reference, pair(name).ours))
    audio = speech[None, None, : 45 * ours.config.hop_length + 200].double()
    expected, actual = reference(audio), ours(audio)
    assert torch.equal(expected.audio_codes, actual.audio_codes)
    assert_same_audio(expected.audio_values, actual.audio_values)
    frames = ours._extract_semantic_features(audio)
    assert (frames - reference._extract_semantic_features(audio)).abs().max() < 1e-11


@pytest.mark.parametrize("name", ["hubert", "wavlm-stable", "hop-640", "ratio-3"])
@pytest.mark.usefixtures("library")
def test_by_either_library_of_the_cpu(pair, speech, name):
    judge = CodeEquality(pair(name))
    judge.add(speech[None, None, : 5 * 16000 + 200])
    judge.assert_holds()
    codes = judge.pair.reference.encode(speech[None, None, :40000]).audio_codes
    with torch.no_grad():
        expected = judge.pair.reference.decode(codes).audio_values
        assert_same_audio(expected, judge.pair.ours.decode(codes).audio_values)


def test_forward_may_return_less_than_it_was_given(pair, speech):
    both = pair("hubert")
    audio = speech[None, None, 4000:4399]
    assert both.ours(audio).audio_values.shape == both.reference(audio).audio_values.shape == (1, 1, 320)


def test_codes_are_the_same_in_every_mode(pair, speech):
    ours = copy.deepcopy(pair("wavlm").ours)
    audio = speech[None, None, :16000]
    codes = ours.encode(audio).audio_codes
    assert torch.equal(codes, ours.train().encode(audio).audio_codes)
    assert torch.equal(codes, ours.eval().encode(audio).audio_codes)


def test_recordings(pair, recordings):
    for name in ("hubert", "wavlm"):
        judge = CodeEquality(pair(name))
        for _, samples in recordings:
            judge.add(torch.from_numpy(samples[: 5 * 16000])[None, None])
        judge.assert_holds()
