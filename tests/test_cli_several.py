"""Several inputs of a command: each is done, or told of, by itself."""

import os
from pathlib import Path

from .commands import ok, refused


def test_one_bad_file_does_not_stop_the_others(run, tone, tmp_path):
    tone("x/a.wav")
    tone("x/c.wav")
    (tmp_path / "x" / "b.wav").write_text("hello")
    result = run("encode", "x", "--output-dir", "out")
    assert result.code == 1
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert "x/b.wav is not an audio file" in lines[0]
    assert lines[1] == "xcodec-fast: 1 of 3 files failed"
    assert sorted(os.listdir("out")) == ["a.xcodec", "c.xcodec"]


def test_nor_does_one_that_may_not_be_read(run, tone, monkeypatch):
    """Named as an argument, where typer would look at it before there is any work, or within a folder."""
    for name in ("x/a.wav", "x/secret.wav"):
        tone(name)
    may, open_ = os.access, Path.open

    def refuses(path, *how, **more):
        if "secret" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return open_(path, *how, **more)

    monkeypatch.setattr(os, "access", lambda path, *how, **more: "secret" not in str(path) and may(path, *how, **more))
    monkeypatch.setattr(Path, "open", refuses)
    for given in (["x"], ["x/a.wav", "x/secret.wav"]):
        for command in (["encode", *given, "--output-dir", "out", "--force"], ["evaluate", *given]):
            result = run(*command)
            assert (result.code, len(result.out) > 0) == (1, True)
            told, last = result.err.splitlines()
            assert told == "xcodec-fast: x/secret.wav: Permission denied"
            assert last == "xcodec-fast: 1 of 2 files failed"
    for name in ("stream", "demo", "streaming-report"):
        refused(run(name, "x/secret.wav"), "x/secret.wav: Permission denied")


def test_a_bad_model_is_tried_once(run, tone):
    for name in ("x/a.wav", "x/b.wav"):
        tone(name)
    refused(run("encode", "x", "--output-dir", "out", "--model", "absent"), "neither an embedded model")


def test_a_folder_that_is_partly_done_is_continued(run, tone, tmp_path):
    for name in ("x/a.wav", "x/b.wav", "x/c.wav"):
        tone(name)
    ok(run("encode", "x/b.wav", "--output-dir", "out"))
    before = (tmp_path / "out" / "b.xcodec").stat().st_mtime_ns
    result = run("encode", "x", "--output-dir", "out")
    assert result.code == 1
    assert result.out.count(" -> ") == 2
    assert result.err.splitlines() == [
        "xcodec-fast: x/b.wav: out/b.xcodec exists already: --force replaces it",
        "xcodec-fast: 1 of 3 files failed",
    ]
    assert sorted(os.listdir("out")) == ["a.xcodec", "b.xcodec", "c.xcodec"]
    assert (tmp_path / "out" / "b.xcodec").stat().st_mtime_ns == before
    assert ok(run("encode", "x", "--output-dir", "out", "--force")).count(" -> ") == 3


def test_outputs_beside_their_inputs(run, tone, tmp_path):
    for name in ("x/a.wav", "x/y/b.wav"):
        tone(name)
    ok(run("encode", "x", "--output-dir", "x"))
    ok(run("encode", "x/y", "--output-dir", "x"))
    made = {"a.wav", "a.xcodec", "b.xcodec", "y/b.wav", "y/b.xcodec"}
    assert {str(path.relative_to(tmp_path / "x")) for path in tmp_path.rglob("*.*")} == made
    refused(run("roundtrip", "x", "--output-dir", "x", "--force"), "x/a.wav is an input itself")


def test_outputs_in_the_input_folder_are_no_inputs(run, tone, tmp_path):
    tone("x/a.wav")
    for _ in range(2):
        ok(run("roundtrip", "x", "--output-dir", "x/out", "--force"))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav")) == ["x/a.wav", "x/out/a.wav"]


def test_an_input_that_is_named_twice_is_taken_once(run, tone):
    tone("a.wav")
    assert ok(run("encode", "a.wav", "a.wav", "--output-dir", "out")).count(" -> ") == 1


def test_a_folder_that_cannot_be_listed_is_told(run, tone, monkeypatch):
    for name in ("x/a.wav", "x/locked/b.wav"):
        tone(name)
    scan = os.scandir

    def refuses(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuses)
    refused(run("encode", "x", "--output-dir", "out"), "x/locked: Permission denied")
    assert not os.path.exists("out")
