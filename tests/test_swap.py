"""`accelerate` and `restore`: a loaded reference model runs on ours in place, and stays what it was."""

import copy
import inspect
import io
import types

import pytest
import torch
import transformers

from xcodec_fast import XcodecOutput, accelerate, clip_codes, restore

from .pairs import CONFIGS


@pytest.fixture
def reference(pair):
    """A model of one's own to change, of a config by name."""
    return lambda name="hubert": copy.deepcopy(pair(name).reference)


@pytest.fixture
def clip(speech):
    return speech[None, None, 8000:20100]


def _codes(model, clip, **options):
    with torch.inference_mode():
        return model.encode(clip, **options).audio_codes


@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_stay_and_come_from_ours(reference, pair, clip, name):
    model = reference(name)
    with torch.inference_mode():
        before = model(clip)
        assert accelerate(model) is model
        assert type(model) is transformers.XcodecModel
        after = model(clip)
        assert type(after) is type(before)
        assert torch.equal(before.audio_codes, after.audio_codes)
        assert (before.audio_values - after.audio_values).abs().max() < 1e-4
        assert torch.equal(after.audio_values, pair(name).ours(clip).audio_values)
        for bandwidth in CONFIGS[name].get("target_bandwidths", [0.5, 4]):
            assert torch.equal(
                _codes(model, clip, bandwidth=bandwidth), _codes(restored(model), clip, bandwidth=bandwidth)
            )


def restored(model):
    return restore(copy.deepcopy(model))


def test_a_subclass_with_a_method_of_its_own_is_refused(reference):
    class Louder(transformers.XcodecModel):
        def decode(self, *args, **kwargs):
            return super().decode(*args, **kwargs)

    model = reference()
    model.__class__ = Louder
    with pytest.raises(TypeError, match="Louder has decode of its own"):
        accelerate(model)
    assert "encode" not in vars(model)


def test_calls_return_what_the_references_do(reference, clip):
    model = reference()
    with torch.inference_mode():
        for call in (
            lambda: model.encode(clip),
            lambda: model.encode(clip, 2, return_dict=False),
            lambda: model.decode(model.encode(clip, return_dict=False), return_dict=True),
            lambda: model(clip, return_dict=False),
            lambda: model(clip, bandwidth=0.5),
        ):
            restore(model)
            expected = call()
            accelerate(model)
            assert type(call()) is type(expected)
        model.config.return_dict = False
        assert type(model.encode(clip)) is torch.Tensor
        assert type(model(clip)) is tuple


def test_lists_and_masks_are_ours(reference, pair, clip):
    model = accelerate(reference())
    clips = [clip[0, 0], clip[0, 0, :5000]]
    output = model.encode(clips)
    assert output.audio_codes_mask.sum(1).tolist() == pair("hubert").ours.encode(clips).audio_codes_mask.sum(1).tolist()
    assert model.decode(**output).audio_values.shape[0] == 2
    mask = torch.ones(1, clip.shape[2], dtype=torch.bool)
    assert type(model(clip, padding_mask=mask)) is XcodecOutput


def test_it_saves_what_it_did_and_nothing_more(reference, clip, tmp_path):
    model = reference("wavlm")
    names = list(model.state_dict())
    codes = _codes(model, clip)
    accelerate(model).save_pretrained(tmp_path)
    assert list(model.state_dict()) == names
    assert len(list(model.parameters())) == len(list(restored(model).parameters()))
    loaded = transformers.XcodecModel.from_pretrained(tmp_path).eval()
    assert torch.equal(_codes(loaded, clip), codes)
    assert loaded.config.architectures == ["XcodecModel"]


@pytest.mark.parametrize("weight_norm", ["never", "before", "after"])
def test_it_trains_as_the_reference_does(reference, clip, weight_norm):
    plain, model, untrained = (reference().double() for _ in range(3))  # in float32 three steps make rounding 0.1
    if weight_norm != "never":
        plain.apply_weight_norm()
    if weight_norm == "before":
        model.apply_weight_norm()
    accelerate(model)
    if weight_norm == "after":
        model.apply_weight_norm()
    codes = _codes(plain, clip.double())
    for trained in (plain, model):
        trained.train()
        optimizer = torch.optim.SGD(trained.parameters(), lr=1e-5)
        for _ in range(3):
            optimizer.zero_grad()
            trained.decode(codes).audio_values.square().mean().backward()
            optimizer.step()
        trained.eval()
    with torch.inference_mode():
        expected, got, unlike = (each.decode(codes)[0] for each in (plain, model, untrained))
    assert (got - expected).abs().max() < 1e-6
    assert (got - unlike).abs().max() > 0.01


def test_it_follows_casts_loads_and_replaced_layers(reference, clip):
    model = accelerate(reference())
    _codes(model, clip)
    assert torch.equal(_codes(model.double(), clip.double()), _codes(restored(model), clip.double()))
    model.float()
    other = {name: value + 0.01 * torch.randn_like(value) for name, value in model.state_dict().items()}
    for assign in (False, True):
        model.load_state_dict(other, assign=assign)
        assert torch.equal(_codes(model, clip), _codes(restored(model), clip))
    plain = model.fc
    for layer in (torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(*plain.weight.shape)), plain):
        model.fc = layer
        if layer is not plain:  # as adapters do, with the base layer's weight
            layer.weight = plain.weight
        assert torch.equal(_codes(model, clip), _codes(restored(model), clip))


@pytest.mark.parametrize("how", ["copied", "pickled"])
def test_a_copy_is_accelerated_and_stands_alone(reference, clip, how):
    # torch pickles no weight norm, which the others have, and pickle no hooks, which transformers puts on a used model.
    used = reference("hubert-batch-norm")
    model = transformers.XcodecModel(used.config).eval()
    model.load_state_dict(used.state_dict())
    accelerate(model)
    codes = _codes(model, clip)
    if how == "copied":
        other = copy.deepcopy(model)
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    assert other.encode([clip[0, 0]]).audio_codes_mask is not None
    assert torch.equal(_codes(other, clip), codes)
    with torch.no_grad():
        other.fc.weight.zero_()
    assert not torch.equal(_codes(other, clip), codes)
    assert torch.equal(_codes(model, clip), codes)


def test_restore_gives_back_the_methods_that_there_were(reference, clip):
    model = reference()
    hooked = types.MethodType(lambda self, *inputs: "hooked", model)
    model.forward = hooked  # as device hooks do
    keys = list(vars(model))
    codes = _codes(model, clip)
    accelerate(model)
    assert accelerate(model) is model
    assert model(clip).audio_codes.shape == codes.shape
    assert restore(model) is model
    assert restore(model) is model
    assert model(clip) == "hooked"
    assert list(vars(model)) == keys
    with pytest.raises(AttributeError):
        model.encode([clip[0, 0]])


def test_restore_leaves_what_was_set_since(reference, clip):
    model = accelerate(reference())
    later = types.MethodType(lambda self, *inputs: "later", model)
    model.forward = later
    del model.decode
    restore(model)
    assert model(clip) == "later"
    with pytest.raises(AttributeError):
        model.encode([clip[0, 0]])


def test_bandwidths_of_the_config_are_followed(reference, clip):
    model = accelerate(reference())
    model.config.target_bandwidths = [0.5, 1]
    with pytest.raises(ValueError, match="bandwidth 4 kbps"):
        model.encode(clip, 4)


def test_files_are_of_our_own_class(reference):
    with pytest.raises(TypeError, match=r"must be an xcodec_fast\.XcodecModel"):
        clip_codes(torch.zeros(8, 3, dtype=torch.long), accelerate(reference()))


def test_hooks_of_the_model_and_its_layers_are_called(reference, clip):
    model = accelerate(reference())
    called = []
    positional = model.semantic_model.encoder.pos_conv_embed.conv
    for module in (model, model.fc, positional, model.acoustic_encoder.conv1):
        module.register_forward_hook(lambda module, *_: called.append(type(module).__name__))
    model(clip)
    assert sorted(called) == ["Conv1d", "Linear", type(positional).__name__, "XcodecModel"]


def test_the_signature_is_shown(reference):
    assert "padding_mask" in inspect.signature(accelerate(reference()).forward).parameters


@pytest.mark.parametrize("given", [torch.nn.Linear(2, 2), "hf-audio/xcodec-hubert-librispeech", None])
def test_another_class_is_refused(given):
    for call in (accelerate, restore):
        with pytest.raises(
            TypeError,
            match=rf"must be a transformers\.XcodecModel, but is a {type(given).__module__}.{type(given).__name__}",
        ):
            call(given)


def test_ours_is_refused(tiny):
    with pytest.raises(TypeError, match="xcodec_fast"):
        accelerate(tiny)


def test_a_model_that_is_no_x_codec_any_more_is_refused_and_left_as_it_is(reference):
    model = reference()
    del model.acoustic_encoder.snake1
    keys = list(vars(model))
    with pytest.raises(ValueError, match=r"no acoustic_encoder\.snake1"):
        accelerate(model)
    model = reference()
    model.acoustic_encoder.snake1.register_buffer("more", torch.zeros(1))
    with pytest.raises(ValueError, match=r"acoustic_encoder\.snake1 has the buffers \['more'\]"):
        accelerate(model)
    assert list(vars(model)) == keys
