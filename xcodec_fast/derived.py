"""Tensors computed from parameters, kept until a parameter changes and never saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class DerivedModule(nn.Module):
    """A module with a cache of tensors that follow from its parameters, such as a folded weight norm.

    An entry is rebuilt after an in-place change (an optimizer step), an assignment, `.to()`, and a load.
    A change through `parameter.data` leaves no trace that could be seen: call `forget_derived()` after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[str, tuple[tuple[Any, ...], Tensor]] = {}

    def derived(self, name: str, compute: Callable[..., Tensor], *sources: Tensor) -> Tensor:
        """compute(*sources), without gradient; computed once for as long as the sources stay as they are."""
        if torch.compiler.is_compiling() or any(source.is_inference() for source in sources):
            with torch.no_grad():  # an inference tensor counts no versions
                return compute(*sources)
        key = tuple((id(source), source.data_ptr(), source._version) for source in sources)
        if name not in self._cache or self._cache[name][0] != key:
            # A normal tensor even when first asked for in inference mode: autograd may use it later.
            with torch.inference_mode(False), torch.no_grad():
                self._cache[name] = (key, compute(*sources))
        return self._cache[name][1]

    def forget_derived(self) -> None:
        """Drops the cache."""
        self._cache.clear()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.forget_derived()  # .to() may put new values at an old address
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any) -> None:
        self.forget_derived()
        super()._load_from_state_dict(*args)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}
