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
    """What was printed; on stderr there is nothing."""
    assert result.code == 0, result.err
    assert result.err == ""
    return result.out


def refused(result, *words, code=1):
    """One line on stderr, and the exit code."""
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("xcodec-fast: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    for word in words:
        assert word in result.err
