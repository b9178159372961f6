"""The default, full-size config: codes, audio and checkpoints against the reference (slow: pytest -m slow -rP)."""

import time
from typing import Any

import pytest
import torch
import transformers

from xcodec_fast import XcodecConfig, XcodecFeatureExtractor, XcodecModel
from xcodec_fast.seeding import seeded_model

from .equality import CodeEquality, assert_same_audio
from .pairs import Pair

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["hubert", "wavlm"])
def full(request, speech):
    config: dict[str, Any] = {"semantic_model_config": {"model_type": request.param}}
    ours = seeded_model(XcodecConfig(**config), speech[None, None], seed=0)
    reference = transformers.XcodecModel(transformers.XcodecConfig(**config)).eval()
    reference.load_state_dict(ours.state_dict())
    return Pair(reference, ours)


def test_codes_and_audio_of_the_bundled_clip(full, speech):
    judge = CodeEquality(full)
    judge.add(speech[None, None])
    judge.add(speech[: 6 * 16000 + 200].view(2, 1, -1))
    judge.assert_holds()
    codes = full.ours.encode(speech[None, None, :32000]).audio_codes
    with torch.inference_mode():
        assert_same_audio(full.reference.decode(codes).audio_values, full.ours.decode(codes).audio_values)


def test_a_folder_as_on_the_hub(full, speech, tmp_path):
    """Sharded and whole, both ways, with the extractor's file beside it."""
    audio = speech[None, None, :16000]
    expected = full.ours.encode(audio).audio_codes
    full.reference.save_pretrained(tmp_path / "theirs", max_shard_size="200MB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    assert torch.equal(XcodecModel.from_pretrained(tmp_path / "theirs").encode(audio).audio_codes, expected)
    full.ours.save_pretrained(tmp_path / "ours")
    back = transformers.XcodecModel.from_pretrained(tmp_path / "ours").eval()
    assert torch.equal(back.encode(audio).audio_codes, full.reference.encode(audio).audio_codes)


def test_every_recording_through_the_whole_path(full, recordings):
    """Up to 1.5 s of each, padded by the extractor, encoded and decoded by both."""
    extractor = XcodecFeatureExtractor(hop_length=320)
    judge = CodeEquality(full)
    seconds = spent = 0.0
    for _, samples in recordings:
        audio = extractor(samples[:24000], sampling_rate=16000, return_tensors="pt")["input_values"]
        judge.add(audio)
        started = time.perf_counter()
        with torch.inference_mode():
            output = full.ours(audio)
        spent += time.perf_counter() - started
        seconds += audio.shape[-1] / 16000
        with torch.inference_mode():
            expected = full.reference.decode(output.audio_codes).audio_values[..., : audio.shape[-1]]
        assert_same_audio(expected, output.audio_values)
    print(f"{len(recordings)} recordings, {seconds:.0f} s of audio, ours at {seconds / spent:.2f}x real time")
    judge.assert_holds()
