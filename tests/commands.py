"""What a command left behind, and what it should have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Result:
    """What a command left: exit code and what it printed."""

    code: int
    out: str
    err: str


def ok(result):
    assert (result.code, result.err) == (0, "")
    return result.out


def refused(result, *words):
    """One line on stderr, exit code 1."""
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("xcodec-fast: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    for word in words:
        assert word in result.err


def refused_after_note(result, *words):
    """Like `refused`, for errors that are met when the model is loaded, after the note that it is not trained."""
    assert result.out.count("\n") <= 1
    refused(Result(result.code, "", result.err), *words)
