"""What programs built on the reference call below `encode` and `decode` gives the same results."""

import copy
import inspect

import pytest
import torch

from .equality import embeddings, excess

NAMES = ("hubert", "wavlm-stable", "codebook-300", "hop-640")


@pytest.fixture(params=NAMES)
def both(request, pair):
    return pair(request.param)


def _near(expected, actual):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_modules_on_the_way_in(both, speech):
    audio = speech[None, None, :16000].repeat(2, 1, 1)
    features = []
    for model in (both.reference, both.ours):
        semantic = model._extract_semantic_features(audio)
        assert not semantic.requires_grad
        refined = model.encoder_semantic(semantic.transpose(1, 2))
        acoustic = model.acoustic_encoder(audio)
        width = min(refined.shape[2], acoustic.shape[2])
        fused = model.fc(torch.cat([acoustic[..., :width], refined[..., :width]], 1).transpose(1, 2))
        features.append((semantic, refined, acoustic, fused))
    for expected, actual in zip(*features, strict=True):
        _near(expected, actual)


def test_modules_on_the_way_out(both, speech):
    codes = both.reference.encode(speech[None, None, :16000]).audio_codes
    audio = []
    for model in (both.reference, both.ours):
        quantized = model.quantizer.decode(codes.transpose(0, 1))
        acoustic = model.fc2(quantized.transpose(1, 2)).transpose(1, 2)
        audio.append((quantized, acoustic, model.acoustic_decoder(acoustic), model.fc1(quantized.transpose(1, 2))))
    for expected, actual in zip(*audio, strict=True):
        _near(expected, actual)
    for one, two in ((both.reference, both.ours),):
        rebuilt = torch.randn(1, one.config.semantic_hidden_size, 9)
        _near(one.decoder_semantic(rebuilt), two.decoder_semantic(rebuilt))


def test_quantizer(both, speech):
    ours, reference = both.ours.quantizer, both.reference.quantizer
    embedding = embeddings(both.reference, speech[None, None, :32000])
    books = torch.stack([stage.codebook.embed for stage in ours.quantizers])
    assert ours.get_bandwidth_per_quantizer() == reference.get_bandwidth_per_quantizer()
    for bandwidth in (None, 0, 0.3, *both.ours.config.target_bandwidths):
        stages = ours.get_num_quantizers_for_bandwidth(bandwidth)
        assert stages == reference.get_num_quantizers_for_bandwidth(bandwidth)
        codes = ours.encode(embedding, bandwidth)
        assert codes.shape == reference.encode(embedding, bandwidth).shape
        assert excess(books, embedding, codes.transpose(0, 1)).max() <= 1e-6
    stage, expected = ours.quantizers[0], reference.quantizers[0]
    assert stage.codebook.embed.shape == expected.codebook.embed.shape
    codes = stage.encode(embedding)
    assert codes.shape == expected.encode(embedding).shape == embedding[:, 0].shape
    assert torch.equal(stage.decode(codes), expected.decode(codes))
    assert torch.equal(stage.codebook.decode(codes), expected.codebook.decode(codes))


def test_more_stages_than_there_are_cannot_be_decoded(both):
    stages = both.ours.config.num_quantizers
    for model in (both.reference, both.ours):
        with pytest.raises(IndexError):
            model.quantizer.decode(torch.zeros(stages + 1, 1, 4, dtype=torch.long))


def test_ties_go_to_the_lowest_code(both):
    codebook = copy.deepcopy(both.ours.quantizer.quantizers[0].codebook)
    codebook.embed[7] = codebook.embed[3]
    codebook.embed[250] = codebook.embed[3]
    assert codebook.encode(codebook.embed[[250, 7, 3]]).tolist() == [3, 3, 3]


def test_state_dict_copies_freezing_and_moving(both, speech):
    ours = copy.deepcopy(both.ours)
    audio, codes = speech[None, None, :8000], both.reference.encode(speech[None, None, :8000]).audio_codes
    for parameter in ours.parameters():
        parameter.requires_grad = False
    torch.nn.Module.to(ours, "cpu")
    assert (ours.device, ours.dtype) == (both.reference.device, both.reference.dtype)
    assert [name for name, _ in ours.named_parameters()]
    twin = copy.deepcopy(ours)
    with torch.inference_mode():
        for parameter in ours.parameters():
            parameter.mul_(1.1)
    assert not torch.equal(ours.encode(audio).audio_codes, codes)
    assert torch.equal(twin.encode(audio).audio_codes, codes)
    ours.load_state_dict(both.reference.state_dict())
    assert torch.equal(ours.encode(audio).audio_codes, codes)
    both.reference.load_state_dict(ours.state_dict())


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_signatures_begin_as_the_references_do(both, name):
    ours = list(inspect.signature(getattr(both.ours, name)).parameters.values())
    expected = list(inspect.signature(getattr(both.reference, name)).parameters.values())
    for own, theirs in zip(ours, expected, strict=False):
        assert (own.name, own.kind, own.default) == (theirs.name, theirs.kind, theirs.default)
    assert all(extra.kind == inspect.Parameter.KEYWORD_ONLY for extra in ours[len(expected) :])
    assert list(inspect.signature(both.ours.forward).parameters)[:3] == ["input_values", "audio_codes", "bandwidth"]


def test_gradients_of_decode(both, speech):
    codes = both.reference.encode(speech[None, None, :4000]).audio_codes
    gradients = []
    target = torch.randn(both.reference.decode(codes).audio_values.shape, generator=torch.Generator().manual_seed(0))
    for model in (copy.deepcopy(both.reference), copy.deepcopy(both.ours)):
        model.zero_grad()
        (model.decode(codes).audio_values * target).mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    expected, actual = gradients
    assert expected.keys() == actual.keys()
    assert any(name.endswith("alpha") for name in expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()), msg=name)


def test_decode_compiles_as_one_graph(tiny):
    codes = torch.arange(160).view(1, 8, 20)
    compiled = torch.compile(tiny.decode, fullgraph=True, backend="eager")
    assert torch.equal(compiled(codes).audio_values, tiny.decode(codes).audio_values)
    with torch.inference_mode():  # PyTorch's branch is compiled, and beside it oneDNN may be called
        expected = tiny.decode(codes, return_dict=False)
        torch.testing.assert_close(compiled(codes, return_dict=False), expected, rtol=0, atol=1e-5)
