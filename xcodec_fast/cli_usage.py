"""What a wrong command line is answered: one line in the words of the other errors, whatever typer has for it."""

from __future__ import annotations

import re
from typing import Any

import typer

# click's, which typer has inside or beside itself, depending on its version, and does not name.
UsageError: Any = typer.BadParameter.__mro__[1]
_MUST = {
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
}


def usage_line(error: Any) -> str:
    """A `UsageError` as the line that a user reads; empty where typer has shown the help instead."""
    text = " ".join(error.format_message().split()).removesuffix(".")
    if invalid := re.fullmatch(r"Invalid value for '?(-[^':]+)'?: (?:Value error, )?(.*)", text):
        option, problem = invalid.groups()
        return f"{option} {_must(error.__cause__) or problem}"
    text = text[:1].lower() + text[1:]
    if not text or error.ctx is None:
        return text
    return f"{text}{'' if text.endswith('?') else ';'} {error.ctx.command_path} --help has what there is"


def _must(cause: Any) -> str | None:
    """What a number must be, with what was given: pydantic, which newer typers ask, does not repeat that."""
    if not hasattr(cause, "errors"):
        return None
    problem = cause.errors()[0]
    must = _MUST.get(problem["type"])
    return must and f"{problem['input']!r} must be {must.format(**problem.get('ctx', {}))}"
