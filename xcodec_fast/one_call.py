"""One call at a time, where two at once would take turns in the same buffers and give neither what it asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

import torch

Method = TypeVar("Method", bound=Callable[..., Any])


class OneCall:
    """Says whether a call is under way. A copy, or what is unpickled, says that none is."""

    def __init__(self) -> None:
        self._taken = Lock()  # never waited for: a flag that two threads cannot both set
        self._name = ""

    def __reduce__(self) -> tuple[type[OneCall], tuple[()]]:
        return OneCall, ()

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Raises RuntimeError where another call has not ended."""
        if not self._taken.acquire(blocking=False):
            raise RuntimeError(
                f"{name}() came while another thread is within {self._name or 'a call'}(): a stream takes one call at "
                "a time in each direction; use one thread or a lock"
            )
        try:
            self._name = name
            yield
        finally:
            self._name = ""
            self._taken.release()


def in_turn(*sides: str) -> Callable[[Method], Method]:
    """A method that is alone with these attributes' `one_call`.

    It has no gradients, but also no inference mode: a state made within one could not be changed outside.
    """

    def decorated(method: Method) -> Method:
        @wraps(method)
        def call(self: Any, *args: Any, **keywords: Any) -> Any:
            with ExitStack() as turns, torch.inference_mode(False), torch.no_grad():
                for side in sides:
                    turns.enter_context(getattr(self, side).one_call.within(method.__name__))
                return method(self, *args, **keywords)

        return cast(Method, call)

    return decorated
