"""Tensors computed from parameters, kept until a parameter changes and never saved, copied or moved with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import TensorWeakRef, WeakTensorKeyDictionary

from xcodec_fast.plain import why_not_plain

_optimizer_steps = 0
_forgotten = 0  # times that something was dropped by `forget_derived` or `forget_derived_from`


def _count_step(*_: Any) -> None:
    global _optimizer_steps
    _optimizer_steps += 1


# A fused optimizer writes parameters without counting a version.
register_optimizer_step_post_hook(_count_step)


def _count_forgetting() -> None:
    global _forgotten
    _forgotten += 1


@dataclass(frozen=True)
class _Entry:
    value: Tensor
    sources: tuple[TensorWeakRef, ...]
    held: tuple[Tensor, ...]  # the sources' memory, so that no other tensor can come to lie at its address
    versions: tuple[int, ...]
    steps: int

    def is_fresh(self, sources: tuple[Tensor, ...]) -> bool:
        return (
            self.steps == _optimizer_steps
            and len(sources) == len(self.sources)
            and all(now is then() for now, then in zip(sources, self.sources, strict=True))
            and all(now.data_ptr() == then.data_ptr() for now, then in zip(sources, self.held, strict=True))
            and self.versions == tuple(source._version for source in sources)
        )


# By the first source: what is derived from a parameter goes when it goes.
_entries: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
_kept: ContextVar[list[Tensor] | None] = ContextVar("kept", default=None)


def derived(compute: Callable[..., Tensor], *sources: Tensor) -> Tensor:
    """compute(*sources), a named function; where no gradient is asked for, once while the sources stay as they are.

    It is computed anew after an in-place change, an optimizer step, an assignment, `.to()`, and a load. A change
    through `parameter.data` leaves no trace that could be seen: call `forget_derived()` after it.
    """
    kept = _kept.get()
    if kept is not None and _is_captured(sources):
        entry = _entries.get(sources[0], {}).get(compute.__qualname__)
        if entry is not None and entry.is_fresh(sources):
            kept.append(entry.value)
            return entry.value
    if _changes_unseen(sources) or (torch.is_grad_enabled() and any(source.requires_grad for source in sources)):
        return compute(*sources)
    entries = _entries.setdefault(sources[0], {})
    name = compute.__qualname__
    entry = entries.get(name)
    if entry is None or not entry.is_fresh(sources):
        # Detached: a view would hold on to its source. A normal tensor even when first asked for in inference mode:
        # autograd may use it later.
        with torch.inference_mode(False), torch.no_grad():
            held = tuple(source.detach() for source in sources)
            versions = tuple(source._version for source in sources)
            references = tuple(map(TensorWeakRef, sources))
            value = compute(*sources).detach()
        if value.is_cuda:  # a reader on another stream would not wait for this one
            torch.cuda.current_stream(value.device).synchronize()
        entry = entries[name] = _Entry(value, references, held, versions, _optimizer_steps)
    return entry.value


def joined(*tensors: Tensor) -> Tensor:
    """Along the first axis."""
    return torch.cat(tensors)


@contextmanager
def kept_by_graph() -> Iterator[list[Tensor]]:
    """Within it, a CUDA graph that is captured reads what was derived before, where it lies, and does not compute it.

    The list holds what it reads, and must live as long as the graph.
    """
    values: list[Tensor] = []
    token = _kept.set(values)
    try:
        yield values
    finally:
        _kept.reset(token)


def weights_mark(tensors: Iterable[Tensor]) -> tuple[Any, ...]:
    """Differs from an earlier one where a tensor was changed or moved since.

    A change that leaves no trace counts once it was told of: by an optimizer's step, `forget_derived` or
    `forget_derived_from`, on whichever tensors.
    """
    seen = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    return (_optimizer_steps, _forgotten, *seen)


def forget_derived() -> None:
    """Drops everything that was derived."""
    _count_forgetting()
    _entries.clear()


def forget_derived_from(tensors: Iterable[Tensor]) -> None:
    """Drops what was derived from any of these."""
    _count_forgetting()
    left = {id(tensor) for tensor in tensors}
    for entries in list(_entries.values()):
        for name, entry in list(entries.items()):
            if any(id(source()) in left for source in entry.sources):
                del entries[name]


def _changes_unseen(sources: tuple[Tensor, ...]) -> bool:
    """Under the compiler and for inference tensors there are no versions to compare; a transform's tensors are its own.

    What is computed while a CUDA graph is captured is only recorded, and belongs to the graph.
    """
    return (
        _is_captured(sources)
        or torch.compiler.is_compiling()
        or any(source.is_inference() for source in sources)
        or bool(why_not_plain(sources))
    )


def _is_captured(sources: tuple[Tensor, ...]) -> bool:
    return sources[0].is_cuda and torch.cuda.is_current_stream_capturing()
