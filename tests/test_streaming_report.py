"""What the streaming report's figures mean, and the command that prints and writes them."""

import inspect
import json
import os
import sys

import pytest
import torch

from xcodec_fast import StreamingXcodec, StreamSettings, cli_report
from xcodec_fast.mel import log_mel_distance
from xcodec_fast.streaming_report import settings_grid, streaming_report

from .commands import ok, refused


@pytest.fixture(scope="module")
def found(tiny, speech):
    """Half a second in one window that sees everything, and in short ones that do not."""
    grid = [StreamSettings(500, 0, 0), StreamSettings(40, 20, 100)]
    told: list[tuple[int, int]] = []
    clips = [speech[8000:16000], speech[16000:20001]]
    report = streaming_report(tiny, clips, grid, bandwidth=2, progress=lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return clips, report


def test_a_window_that_covers_the_clip_agrees(found):
    _, report = found
    whole, short = report.rows
    assert whole.agreement == (1.0,) * 4  # the stages of 2 kbps
    assert len(short.agreement) == 4
    assert all(0 <= share < 1 for share in short.agreement)
    assert whole.log_mel_db == pytest.approx(report.whole_log_mel_db, abs=1e-3)
    assert short.log_mel_db != pytest.approx(report.whole_log_mel_db, abs=1e-3)
    assert report.seconds == 12001 / 16000


def test_latency_and_compute(found):
    _, report = found
    whole, short = report.rows
    assert (whole.latency_ms, short.latency_ms) == (500, 60)  # chunk and lookahead
    for row in report.rows:
        assert row.push_ms is not None
        p50, p95, p99 = row.push_ms
        assert 0 < p50 <= p95 <= p99
        assert row.real_time_factor * report.seconds * 1000 > p50


def test_figures_are_those_of_the_live_stream(found, tiny, speech):
    clips, report = found
    live = StreamingXcodec(tiny, chunk_ms=40, lookahead_ms=20, left_context_ms=100, bandwidth=2)
    equal, distance = [], 0.0
    for clip in clips:
        codes = torch.cat([live.push(clip), live.flush()], -1)
        padded = torch.nn.functional.pad(clip, (0, -len(clip) % 320))[None, None]
        equal.append(codes == tiny.encode(padded, 2).audio_codes)
        with torch.no_grad():
            audio = tiny.decode(codes).audio_values[0, 0, : len(clip)]
        distance += log_mel_distance(clip, audio, 16000) * len(clip) / 12001
    shares = torch.cat(equal, -1)[0].double().mean(-1)
    assert report.rows[1].agreement == pytest.approx(shares.tolist(), abs=1e-6)
    assert report.rows[1].log_mel_db == pytest.approx(distance, abs=1e-2)


def test_no_push_gives_codes_where_a_window_is_longer_than_the_clips(tiny, speech):
    (row,) = streaming_report(tiny, [speech[:3200]], [StreamSettings(1000, 0, 0)]).rows
    assert row.push_ms is None
    assert row.agreement == (1.0,) * 8


def test_the_grid():
    assert settings_grid([20], [0, 40], [200]) == [StreamSettings(20, 0, 200), StreamSettings(20, 40, 200)]
    defaults = inspect.signature(cli_report.report).parameters
    by_default = (
        [*map(float, defaults[name].default.split(","))] for name in ("chunk_ms", "lookahead_ms", "left_context_ms")
    )
    assert len(settings_grid(*by_default)) == 24


def test_the_command(run, wav, tmp_path):
    wav(8000, 16000)
    arguments = ("streaming-report", "in.wav", "--chunk-ms", "80,500", "--lookahead-ms", "0", "--left-context-ms", 100)
    out = ok(run(*arguments, "--output-dir", "made/report"))
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert [line[:4] for line in lines[3:5]] == [["80", "0", "100", "80"], ["500", "0", "100", "500"]]
    assert len(lines[3]) == 4 + 3 + 1 + 8 + 1
    assert lines[4][8:16] == ["100.0"] * 8
    assert "0.50 s of audio, model xcodec-tiny on cpu; codes of whole clips: " in out
    assert out.endswith("wrote made/report/streaming-report.json, made/report/streaming-report.png\n")
    folder = tmp_path / "made" / "report"
    assert sorted(os.listdir(folder)) == ["streaming-report.json", "streaming-report.png"]
    assert (folder / "streaming-report.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((folder / "streaming-report.json").read_text())
    assert (written["model"], written["audio"], written["bandwidth"]) == ("xcodec-tiny", ["in.wav"], 4)
    assert [row["latency_ms"] for row in written["rows"]] == [80, 500]
    assert written["rows"][1]["agreement"] == [1.0] * 8
    refused(run(*arguments, "--output-dir", "made/report"), "streaming-report.json exists already: --force replaces it")


def test_without_matplotlib_there_is_no_picture(run, wav, monkeypatch):
    wav(8000, 16000)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("streaming-report", "in.wav", "--chunk-ms", 80, "--output-dir", "made", "--lookahead-ms", 0)
    assert result.code == 0
    assert "matplotlib" in result.err
    assert result.out.endswith("wrote made/streaming-report.json\n")
    assert os.listdir("made") == ["streaming-report.json"]


def test_what_cannot_be(run, tone):
    tone()
    tone("stereo.wav", channels=2)
    for arguments, words in [
        (("absent.wav",), "absent.wav does not exist"),
        (("stereo.wav",), "stereo.wav has 2 channels"),
        (("in.wav", "--model", "absent"), "neither an embedded model"),
        (("in.wav", "--model", "absent", "--output-dir", "in.wav"), "--output-dir in.wav is not a folder"),
    ]:
        refused(run("streaming-report", *arguments), words)
    for text in ("", "x", "20,", "nan"):
        refused(run("streaming-report", "in.wav", "--lookahead-ms", text), "is no list of numbers of ms", code=2)
