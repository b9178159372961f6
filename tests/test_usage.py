"""The usage example of the reference's documentation, with its imports swapped."""

import pytest
import soundfile
import torch
import transformers

from xcodec_fast import AutoFeatureExtractor, XcodecModel


@pytest.fixture
def checkpoint(pair, tmp_path):
    reference = pair("hubert").reference
    reference.save_pretrained(tmp_path)
    transformers.DacFeatureExtractor(hop_length=320).save_pretrained(tmp_path)
    return tmp_path, reference


@pytest.mark.parametrize("placement", [{}, {"device_map": "auto"}])
def test_usage_example(checkpoint, speech, tmp_path, placement):
    folder, reference = checkpoint
    audio_sample = speech[:30001].numpy()

    model = XcodecModel.from_pretrained(folder, **placement)
    feature_extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = feature_extractor(
        raw_audio=audio_sample, sampling_rate=feature_extractor.sampling_rate, return_tensors="pt"
    ).to(model.device)
    encoder_outputs = model.encode(inputs["input_values"])
    decoder_outputs = model.decode(encoder_outputs.audio_codes)
    audio_values = decoder_outputs.audio_values
    audio_values = model(inputs["input_values"]).audio_values
    original = audio_sample
    reconstruction = audio_values[0].cpu().detach().numpy()
    sampling_rate = feature_extractor.sampling_rate
    soundfile.write(tmp_path / "original.wav", original, sampling_rate)
    soundfile.write(tmp_path / "reconstruction.wav", reconstruction.T, sampling_rate)

    expected = reference(inputs["input_values"].cpu())
    assert torch.equal(encoder_outputs.audio_codes.cpu(), expected.audio_codes)
    assert torch.equal(model(**inputs).audio_codes.cpu(), expected.audio_codes)
    assert audio_values.shape == expected.audio_values.shape
    assert audio_values.requires_grad  # as in the reference: the example has no no_grad
    assert soundfile.info(tmp_path / "reconstruction.wav").frames == 30080


def test_codes_lie_in_memory_as_the_references_do(pair, speech):
    """Callers flatten them by `view`."""
    for batch in (1, 2):
        clips = speech[: 16000 * batch].view(batch, 1, -1)
        codes, expected = (model.encode(clips).audio_codes for model in (pair("hubert").ours, pair("hubert").reference))
        assert codes.stride() == expected.stride()


def test_a_model_loaded_in_inference_mode_is_of_use_outside(speech):
    with torch.inference_mode():
        model = XcodecModel.from_pretrained("xcodec-tiny")
    codes = model.encode(speech[None, None, :8000]).audio_codes
    model.decode(codes).audio_values.square().sum().backward()
    assert model.acoustic_decoder.conv2.weight.grad is not None
