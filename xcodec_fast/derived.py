"""Tensors computed from parameters, kept until a parameter changes and never saved, copied or moved with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils.weak import TensorWeakRef, WeakTensorKeyDictionary

from xcodec_fast.plain import why_not_plain

_ALL = -1  # no address
# Times that a tensor, by its memory, was said to have changed: of sharded training's parameters the optimizer knows but
# a whole, of which they are views. An address that comes again does no harm: a mark is compared with later ones of the
# same tensors.
_told: dict[int, int] = {}


def _tell(memory: Iterable[int]) -> None:
    for address in memory:
        _told[address] = _told.get(address, 0) + 1


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # a tensor of no memory, such as a compiler's
        return _ALL - id(tensor)


def _stepped(optimizer: Optimizer, *_: Any) -> None:
    forget_derived_from(parameter for group in optimizer.param_groups for parameter in group["params"])


# A fused optimizer writes parameters without counting a version.
register_optimizer_step_post_hook(_stepped)


@dataclass(frozen=True)
class _Entry:
    value: Tensor
    sources: tuple[TensorWeakRef, ...]
    held: tuple[Tensor, ...]  # the sources' memory, so that no other tensor can come to lie at its address
    versions: tuple[int, ...]

    def is_fresh(self, sources: tuple[Tensor, ...]) -> bool:
        return (
            len(sources) == len(self.sources)
            and all(now is then() for now, then in zip(sources, self.sources, strict=True))
            and all(now.data_ptr() == then.data_ptr() for now, then in zip(sources, self.held, strict=True))
            and self.versions == tuple(source._version for source in sources)
        )


# By the first source: what is derived from a parameter goes when it goes. An optimizer's step on one thread goes
# through all of them, while another thread may add some.
_lock = RLock()
_entries: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
_kept: ContextVar[list[Tensor] | None] = ContextVar("kept", default=None)


def derived(compute: Callable[..., Tensor], *sources: Tensor) -> Tensor:
    """compute(*sources), a named function; where no gradient is asked for, once while the sources stay as they are.

    It is computed anew after an in-place change, an optimizer step, an assignment, `.to()`, and a load. A change
    through `parameter.data` leaves no trace that could be seen: call `forget_derived()` after it. As with parameters
    themselves, what changes one on a CUDA stream waits for the others that read it.
    """
    kept = _kept.get()
    if kept is not None and _is_captured(sources):
        entry = _entries.get(sources[0], {}).get(compute.__qualname__)
        if entry is not None and entry.is_fresh(sources):
            kept.append(entry.value)
            return entry.value
    if _changes_unseen(sources) or (torch.is_grad_enabled() and any(source.requires_grad for source in sources)):
        return compute(*sources)
    name = compute.__qualname__
    with _lock:
        entries = _entries.setdefault(sources[0], {})
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
        entry = _Entry(value, references, held, versions)
        with _lock:
            entries[name] = entry
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
    """Differs from an earlier one of these tensors where one was changed or moved since.

    A change that leaves no trace counts once it was told of: by an optimizer's step, `forget_derived` or
    `forget_derived_from`.
    """
    return _told.get(_ALL, 0), *((t.data_ptr(), _version(t), _told.get(_memory(t))) for t in tensors)


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def forget_derived() -> None:
    """Drops everything that was derived."""
    with _lock:
        _tell([_ALL])
        _entries.clear()


def forget_derived_from(tensors: Iterable[Tensor]) -> None:
    """Drops what was derived from any of these, or from others in the same memory."""
    left = set(map(_memory, tensors))
    with _lock:
        _tell(left)
        for entries in list(_entries.values()):
            for name, entry in list(entries.items()):
                sources = (source for reference in entry.sources if (source := reference()) is not None)
                if any(_memory(source) in left for source in sources):
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
