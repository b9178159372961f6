"""Where a checkpoint's files are looked for: embedded, in a folder, in the hub's cache, on the hub."""

import logging

import pytest
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError

from xcodec_fast import XcodecConfig, XcodecFeatureExtractor, XcodecModel


def test_names_are_looked_up_embedded_first_then_folder_then_hub(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xcodec-tiny").mkdir()
    assert XcodecModel.from_pretrained("xcodec-tiny").config == tiny.config
    tiny.save_pretrained(tmp_path / "mine" / "deep")
    assert XcodecModel.from_pretrained("mine", subfolder="deep").config.hidden_size == tiny.config.hidden_size
    for name in ("nobody/no-such-model", "no/such/folder", "a b"):
        with pytest.raises(FileNotFoundError, match=f"'{name}' is neither an embedded model .*nor an existing folder"):
            XcodecModel.from_pretrained(name, local_files_only=True, cache_dir=tmp_path / "cache")
    with pytest.raises(NotADirectoryError, match=r"model.safetensors is a file"):
        XcodecModel.from_pretrained("mine/deep/model.safetensors")


def test_hub_cache_is_read(tiny, tmp_path):
    """A cache laid out as huggingface_hub does; sharded, as no shard would be asked for were the index not read."""
    repository = tmp_path / "models--hf-audio--xcodec-hubert-librispeech"
    tiny.save_pretrained(repository / "snapshots" / "abc", max_shard_size="300KB")
    XcodecFeatureExtractor(hop_length=320).save_pretrained(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    options = {"cache_dir": tmp_path, "local_files_only": True, "trust_remote_code": True}
    model = XcodecModel.from_pretrained("hf-audio/xcodec-hubert-librispeech", **options)
    assert torch.equal(model.fc.weight, tiny.fc.weight)
    assert XcodecFeatureExtractor.from_pretrained("hf-audio/xcodec-hubert-librispeech", **options).hop_length == 320
    assert XcodecConfig.from_pretrained("hf-audio/xcodec-hubert-librispeech", **options) == model.config


@pytest.mark.parametrize("kind", [XcodecModel, XcodecConfig, XcodecFeatureExtractor])
def test_unknown_options_are_refused(kind):
    with pytest.raises(TypeError, match="unexpected keyword argument 'revison'"):
        kind.from_pretrained("xcodec-tiny", revison="main")


def test_retries_are_not_told(tmp_path, monkeypatch, caplog):
    """The level that a user's own code has set is there again afterwards."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    monkeypatch.setattr(logger, "level", logging.INFO)

    def download(*_, **__):
        logger.warning("Retrying in 8s [Retry 4/5].")
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match="is not in the hub's cache, and the hub was not reached"):
        XcodecModel.from_pretrained("nobody/no-such-model", cache_dir=tmp_path)
    assert caplog.text == ""
    assert logger.level == logging.INFO


@pytest.mark.network
@pytest.mark.parametrize("name", ["xcodec-hubert-librispeech", "xcodec-wavlm-mls", "xcodec-hubert-general"])
def test_published_checkpoint(name, speech):
    ours = XcodecModel.from_pretrained(f"hf-audio/{name}")
    reference = transformers.XcodecModel.from_pretrained(f"hf-audio/{name}").eval()
    expected = reference.encode(speech[None, None]).audio_codes
    different = (ours.encode(speech[None, None]).audio_codes != expected).float().mean()
    assert different <= 1 / 100
    audio = reference.decode(expected).audio_values
    assert (ours.decode(expected).audio_values - audio).abs().max() <= 1e-4 * audio.abs().max().clamp(min=1)
