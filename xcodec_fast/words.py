"""What messages have in common: how many of a thing, and of which type a value is."""

from __future__ import annotations

from typing import Any


def counted(count: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def kind_of(value: Any) -> str:
    """`a list`, `an ndarray`, `None`."""
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeio" or name == "ndarray" else "a"
    return "None" if value is None else f"{article} {name}"
