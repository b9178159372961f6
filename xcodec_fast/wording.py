"""Values and counts as error messages name them."""

from __future__ import annotations

from typing import Any


def type_named(value: Any) -> str:
    """A value's type with its article, such as 'a list' or 'an int'; 'None' for None."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """'1 row', '2 rows'."""
    return f"{count} {one if count == 1 else many or one + 's'}"
