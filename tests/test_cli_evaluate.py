"""`evaluate` prints what `evaluation.evaluate` finds, and writes it as JSON."""

import json
import re

import numpy as np
import pytest
import soundfile
import torch

from xcodec_fast.evaluation import evaluate
from xcodec_fast.mel import log_mel_distance
from xcodec_fast.metrics import hearing_metrics

from .commands import ok, refused


def test_figures_are_those_of_the_round_trip(tiny, speech):
    clip = speech[:30001]
    found = evaluate(tiny, [clip, speech[30000:50000]])
    assert found.frames == 94 + 63
    assert [row.bandwidth for row in found.bandwidths] == list(tiny.config.target_bandwidths)
    padded = torch.nn.functional.pad(clip, (0, -len(clip) % 320))[None, None]
    with torch.inference_mode():
        for row in found.bandwidths:
            codes = tiny.encode(padded, row.bandwidth).audio_codes
            made = tiny.decode(codes).audio_values[0, 0, : len(clip)]
            assert row.clips["log_mel_db"][0] == pytest.approx(log_mel_distance(clip, made, 16000), rel=1e-5)
            assert row.means["log_mel_db"] == pytest.approx(sum(row.clips["log_mel_db"]) / 2)


def test_use_of_codebooks(tiny, speech):
    found = evaluate(tiny, [speech[:32000]])
    codes = tiny.encode(speech[None, None, :32000]).audio_codes[0]
    for stage, report in zip(codes, found.stages, strict=True):
        assert report.usage == len(stage.unique()) / 1024
        assert 0 <= report.entropy_bits <= 6.65  # log2 of 100 frames
        assert report.highest_usage == pytest.approx(1 - (1023 / 1024) ** 100)


def test_silence_counts_in_no_mean_that_it_has_none_of(run, tone, tmp_path):
    tone("a.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(tmp_path / "short.wav", np.full(200, 0.1), 16000)
    alone = json.loads(_evaluated(run, tmp_path, "a.wav"))["bandwidths"][0]["means"]
    among = json.loads(_evaluated(run, tmp_path, "a.wav", "silent.wav"))["bandwidths"][0]
    assert among["means"]["si_sdr_db"] == alone["si_sdr_db"]
    assert [clip["si_sdr_db"] for clip in among["clips"]] == [alone["si_sdr_db"], None]
    assert among["means"] == alone
    out = ok(run("evaluate", "a.wav", "silent.wav"))
    (told,) = [line for line in out.splitlines() if line.endswith("silent.wav")]
    assert told.startswith("not judged by log-mel, STFT, SI-SDR")
    out = ok(run("evaluate", "silent.wav"))
    assert re.search(r"^ +0\.5 +- +- +-", out, re.MULTILINE)
    assert "-0.00" not in out
    assert "nan" not in out


def _evaluated(run, folder, *clips):
    ok(run("evaluate", *clips, "--output", "e.json", "--force"))
    return (folder / "e.json").read_text()


def test_a_file_that_is_no_audio_does_not_stop_the_rest(run, tone, tmp_path):
    tone("a.wav")
    (tmp_path / "broken.wav").write_text("no audio")
    result = run("evaluate", "broken.wav", "a.wav", "--output", "e.json")
    assert "1 clip, 1.0 s" in result.out
    assert result.out.endswith("wrote e.json\n")
    told, last = result.err.splitlines()
    assert "broken.wav" in told
    assert (result.code, last) == (1, "xcodec-fast: 1 of 2 files failed")
    clips = json.loads((tmp_path / "e.json").read_text())["bandwidths"][0]["clips"]
    assert [clip["file"] for clip in clips] == ["a.wav"]
    assert json.loads((tmp_path / "e.json").read_text())["failed"] == ["broken.wav"]
    refused(run("evaluate", "broken.wav", str(tmp_path / "broken.wav")), "broken.wav")
    assert run("evaluate", "broken.wav", "none.wav").err.splitlines()[-1] == "xcodec-fast: all of the 2 files failed"


def test_an_output_that_cannot_be_written(run, tone, tmp_path):
    tone("a.wav")
    (tmp_path / "folder").mkdir()
    refused(run("evaluate", "a.wav", "--output", "nowhere/e.json"), "there is no folder nowhere")
    refused(run("evaluate", "a.wav", "--output", "folder", "--force"), "folder cannot be written")
    refused(run("evaluate", "a.wav", "--output", "folder/../a.wav", "--force"), "is an input itself")


def test_without_clips(tiny):
    with pytest.raises(ValueError, match="no clips"):
        evaluate(tiny, [])


def test_the_command(run, tone, tmp_path):
    (tmp_path / "clips").mkdir()
    tone("clips/a.wav")
    tone("b.wav")
    out = ok(run("evaluate", "clips", "b.wav", "--output", "e.json"))
    assert "2 clips, 2.0 s, 100 frames; model xcodec-tiny" in out
    assert ("not measured: PESQ-WB (pip install pesq)" in out) is ("pesq_wb" not in hearing_metrics())
    assert out.endswith("wrote e.json\n")
    values = json.loads((tmp_path / "e.json").read_text())
    assert len(values["bandwidths"]) == 5
    for row in values["bandwidths"]:
        assert [clip["file"] for clip in row["clips"]] == ["clips/a.wav", "b.wav"]
        assert row["means"]["stft"] == pytest.approx(sum(clip["stft"] for clip in row["clips"]) / 2)
    refused(run("evaluate", "b.wav", "--output", "e.json"), "e.json exists already: --force replaces it")
    (tmp_path / "empty").mkdir()
    refused(run("evaluate", "empty"), "empty holds no audio")
