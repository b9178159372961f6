"""What `encode`, `decode` and `forward` return: attribute, tuple and mapping in one, as the reference's outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor
from torch.utils._pytree import register_pytree_node

_ABSENT: Any = None


@dataclass(eq=False)
class ModelOutput(Mapping[Any, Any]):
    """`out.name`, `out["name"]`, `out[0]`, `out[:2]`, `out.to_tuple()`, `**out`; fields that are None are left out."""

    def __init_subclass__(cls) -> None:
        # So that tree_map, DistributedDataParallel and torch.export reach the tensors.
        register_pytree_node(
            cls,
            lambda output: (list(output.to_tuple()), tuple(output)),
            lambda values, names: cls(**dict(zip(names, values, strict=True))),
            serialized_type_name=f"{cls.__module__}.{cls.__name__}",
        )

    def __post_init__(self) -> None:
        first, *others = fields(self)
        given = getattr(self, first.name)
        if isinstance(given, Mapping) and all(getattr(self, other.name) is None for other in others):
            setattr(self, first.name, None)  # one mapping of all fields, as wrappers rebuild outputs
            for name, value in given.items():
                self[name] = value

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are not None, in order."""
        return tuple(self[name] for name in self)

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            if key in tuple(self):
                return getattr(self, key)
            raise KeyError(f"{key!r}: this {type(self).__name__} holds {', '.join(self) or 'nothing'}")
        return self.to_tuple()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in (field.name for field in fields(self)):
            raise KeyError(f"{key!r} is not a field of {type(self).__name__}")
        setattr(self, key, value)

    def __contains__(self, key: object) -> bool:
        return key in tuple(self)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __len__(self) -> int:
        return len(tuple(iter(self)))


@dataclass(eq=False)
class XcodecOutput(ModelOutput):
    """audio_codes: int64 `[B, Q, F]`; audio_values: `[B, 1, T]`; audio_codes_mask: as `XcodecEncoderOutput`'s."""

    audio_codes: Tensor = _ABSENT
    audio_values: Tensor = _ABSENT
    audio_codes_mask: Tensor | None = None


@dataclass(eq=False)
class XcodecEncoderOutput(ModelOutput):
    """audio_codes: int64 `[B, Q, F]`; audio_codes_mask: bool `[B, F]`, own frames, given a list or a mask."""

    audio_codes: Tensor = _ABSENT
    audio_codes_mask: Tensor | None = None


@dataclass(eq=False)
class XcodecDecoderOutput(ModelOutput):
    """audio_values: `[B, 1, T]`."""

    audio_values: Tensor = _ABSENT
