"""What is decoded in tiles, row by row, is what is decoded whole."""

import copy

import pytest
import torch

from xcodec_fast import cpu, residual_units, tiles

from .equality import assert_same_audio


def _codes(model, batch, frames):
    generator = torch.Generator().manual_seed(frames)
    shape = (batch, model.config.num_quantizers, frames)
    return torch.randint(model.config.codebook_size, shape, generator=generator)


def _whole(model, codes):
    with torch.no_grad():
        return model.acoustic_decoder(model.latent(codes))


@pytest.mark.parametrize("name", ["hubert", "hop-640", "ratio-3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frames", [1, 49, 50, 51, 149])
def test_tiles_equal_the_whole(pair, monkeypatch, name, dtype, frames):
    monkeypatch.setattr(tiles, "FRAMES", 50)
    model = copy.deepcopy(pair(name).ours).to(dtype)
    codes = _codes(model, 1, frames)
    with torch.no_grad():
        pieces = list(tiles.decode_tiles(model, codes))
    assert len(pieces) == -(-frames // 50)
    assert_same_audio(_whole(model, codes), torch.cat(pieces, -1))


@pytest.mark.parametrize(("batch", "frames"), [(1, 501), (2, 30), (3, 120)])
def test_decode_in_tiles(pair, monkeypatch, batch, frames):
    model = pair("hubert").ours
    codes = _codes(model, batch, frames)
    monkeypatch.setattr(tiles, "FRAMES", 50 if frames == 120 else tiles.FRAMES)
    with torch.no_grad():
        assert_same_audio(_whole(model, codes), model.decode(codes).audio_values)


def test_rows_of_their_own_lengths(pair, monkeypatch):
    monkeypatch.setattr(tiles, "FRAMES", 40)
    model = pair("hubert").ours
    codes = _codes(model, 4, 100)
    lengths = [100, 1, 17, 81]
    mask = torch.arange(100) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        audio = model.decode(codes, audio_codes_mask=mask).audio_values
    for row, clip, length in zip(audio, codes, lengths, strict=True):
        assert_same_audio(_whole(model, clip[None, :, :length])[0], row[:, : length * model.config.hop_length])
        assert not row[:, length * model.config.hop_length :].any()


def test_rows_of_their_own_lengths_stay_out_of_blocks(pair, monkeypatch):
    """A block would read what lies past a row's end."""
    monkeypatch.setattr(residual_units, "_BLOCK", 1)
    model = pair("hubert").ours
    codes, lengths = _codes(model, 2, 60), [60, 30]
    mask = torch.arange(60) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        audio = model.decode(codes, audio_codes_mask=mask).audio_values
        for row, clip, length in zip(audio, codes, lengths, strict=True):
            assert_same_audio(model.decode(clip[None, :, :length]).audio_values[0], row[:, : 320 * length])


def test_what_is_decoded_at_once(pair):
    """With a gradient, and in float64, which is what the others are compared with."""
    model = copy.deepcopy(pair("hubert").ours)
    assert not tiles.suit(model)
    model.decode(_codes(model, 2, 3)).audio_values.sum().backward()
    assert model.acoustic_decoder.conv2.weight.grad is not None
    model.requires_grad_(False).fc2.bias.requires_grad_(True)
    model.decode(_codes(model, 2, 3)).audio_values.sum().backward()
    with torch.no_grad():
        assert tiles.suit(model) is cpu.library().has(torch.float32)
        assert not tiles.suit(copy.deepcopy(model).double())


class Wrapped(torch.nn.Module):
    """As adapters are: a layer within, and nothing of its attributes."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("where", ["fc2", *(f"acoustic_decoder.block.{x}" for x in ("0.conv_t1", "1.res_unit2.conv1"))])
def test_adapters_are_called_once_with_all(pair, monkeypatch, where):
    monkeypatch.setattr(tiles, "FRAMES", 20)
    model, seen = copy.deepcopy(pair("hubert").ours), []
    codes = _codes(model, 2, 50)
    with torch.no_grad():
        expected = model.decode(codes).audio_values
        path, _, name = where.rpartition(".")
        parent = model.get_submodule(path)
        setattr(parent, name, Wrapped(parent.get_submodule(name)))
        model.get_submodule(where).register_forward_hook(lambda *given: seen.append(given[1][0].shape))
        assert_same_audio(expected, model.decode(codes).audio_values)
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["hubert", "hop-640", "ratio-3"])
def test_the_decoders_context_is_what_its_layers_reach(pair, name):
    decoder = copy.deepcopy(pair(name).ours.acoustic_decoder).double()
    context, frames = decoder.context(), 2 * decoder.context() + 9
    x = torch.randn(1, decoder.conv1.in_channels, frames, dtype=torch.float64, requires_grad=True)
    audio = decoder(x).view(frames, -1)
    (gradient,) = torch.autograd.grad(audio[frames // 2].square().sum(), x)
    reached = gradient.abs().sum(1)[0].nonzero()[:, 0] - frames // 2
    assert (reached.min(), reached.max()) == (-context, context)


@pytest.mark.parametrize("name", ["hubert", "hop-640", "ratio-3"])
@pytest.mark.parametrize("batch", [1, 3])
def test_residual_units_in_blocks(pair, monkeypatch, name, batch):
    """In blocks of 8 times the units' reach, 312 positions."""
    model = pair(name).ours
    audio = torch.randn(batch, 1, 40 * model.config.hop_length)
    with torch.no_grad():
        codes = _codes(model, batch, 40)
        whole = model.acoustic_encoder(audio), _whole(model, codes)
        calls = []
        in_blocks = residual_units._in_blocks

        def counted(*given):
            calls.append(given)
            return in_blocks(*given)

        monkeypatch.setattr(residual_units, "_BLOCK", 1)
        monkeypatch.setattr(residual_units, "_in_blocks", counted)
        blocks = model.acoustic_encoder(audio), _whole(model, codes)
        double = copy.deepcopy(model).double()
        exact = double.acoustic_encoder(audio.double()), _whole(double, codes)
    assert len(calls) == len(model.acoustic_encoder.block) + len(model.acoustic_decoder.block)
    for expected, at_once, by_block in zip(exact, whole, blocks, strict=True):
        limit = 2 * (at_once - expected).abs().max()
        assert 0 < (by_block - expected).abs().max() <= limit


def test_units_that_are_observed_are_called_once(pair, monkeypatch):
    monkeypatch.setattr(residual_units, "_BLOCK", 1)
    model, seen = copy.deepcopy(pair("hubert").ours), []
    for unit in model.acoustic_encoder.block[0].units:
        unit.register_forward_hook(lambda *given: seen.append(given[1][0].shape[-1]))
    with torch.no_grad():
        model.acoustic_encoder(torch.randn(1, 1, 3200))
    assert seen == [3200] * 3


@pytest.mark.parametrize("where", ["acoustic_encoder.block.0", "acoustic_encoder.block.1", "acoustic_encoder"])
def test_what_a_hook_was_given_stays_as_it_was(pair, monkeypatch, where):
    """Blocks overwrite tensors that nobody else has."""
    monkeypatch.setattr(residual_units, "_BLOCK", 1)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    model = copy.deepcopy(pair("hubert").ours)

    def look(module, given, made):
        tensors = [tensor for tensor in (*given, *(made if isinstance(made, tuple) else [made])) if tensor is not None]
        seen.extend((tensor, tensor.clone()) for tensor in tensors if isinstance(tensor, torch.Tensor))

    model.get_submodule(where).register_forward_hook(look)
    with torch.no_grad():
        model.acoustic_encoder(torch.randn(1, 1, 12800))
    assert len(seen) > 1
    assert all(tensor.equal(before) for tensor, before in seen)
