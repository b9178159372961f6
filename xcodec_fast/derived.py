"""Tensors computed from parameters, kept until a parameter changes and never saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

_optimizer_steps = 0


def _count_step(*_: Any) -> None:
    global _optimizer_steps
    _optimizer_steps += 1


# A fused optimizer writes parameters without counting a version.
register_optimizer_step_post_hook(_count_step)


@dataclass(frozen=True)
class _Entry:
    value: Tensor
    sources: tuple[Tensor, ...]
    held: tuple[Tensor, ...]  # the sources' memory, so that no other tensor can come to lie at its address
    versions: tuple[int, ...]
    steps: int

    def is_fresh(self, sources: tuple[Tensor, ...]) -> bool:
        return (
            self.steps == _optimizer_steps
            and len(sources) == len(self.sources)
            and all(now is then for now, then in zip(sources, self.sources, strict=True))
            and all(now.data_ptr() == then.data_ptr() for now, then in zip(sources, self.held, strict=True))
            and self.versions == tuple(source._version for source in sources)
        )


class DerivedModule(nn.Module):
    """A module with a cache of tensors that follow from its parameters, such as a folded weight norm.

    An entry is rebuilt after an in-place change, an optimizer step, an assignment, `.to()`, and a load. A change
    through `parameter.data` leaves no trace that could be seen: call `forget_derived()` after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[str, _Entry] = {}

    def derived(self, name: str, compute: Callable[..., Tensor], *sources: Tensor) -> Tensor:
        """compute(*sources); where no gradient is asked for, once for as long as the sources stay as they are."""
        if _changes_unseen(sources) or (torch.is_grad_enabled() and any(source.requires_grad for source in sources)):
            return compute(*sources)
        entry = self._cache.get(name)
        if entry is None or not entry.is_fresh(sources):
            # A normal tensor even when first asked for in inference mode: autograd may use it later.
            with torch.inference_mode(False), torch.no_grad():
                held = tuple(source.detach() for source in sources)
                versions = tuple(source._version for source in sources)
                entry = self._cache[name] = _Entry(compute(*sources), sources, held, versions, _optimizer_steps)
        return entry.value

    def forget_derived(self) -> None:
        """Drops the cache."""
        self._cache.clear()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.forget_derived()
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}


def _changes_unseen(sources: tuple[Tensor, ...]) -> bool:
    """Under the compiler, in a function transform and for inference tensors, there are no versions to compare."""
    return torch.compiler.is_compiling() or any(
        source.is_inference() or torch._C._functorch.is_functorch_wrapped_tensor(source) for source in sources
    )
