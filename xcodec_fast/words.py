"""What messages have in common: how many of a thing, and of which type a value is."""

from __future__ import annotations

from typing import Any


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def kind_of(value: Any) -> str:
    """`a list`, `an ndarray`; `None` for None."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeioAEIO' or name == 'ndarray' else 'a'} {name}"
