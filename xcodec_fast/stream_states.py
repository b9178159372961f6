"""A row that was kept, checked before it replaces another: counts that a stream can have, tensors its step can take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.pcm import samples_dtype
from xcodec_fast.state_checks import check_count, check_finite, check_kept_codes, check_keys, check_tensor, damaged
from xcodec_fast.steps import Step


def check_row(state: Any, step: Step, channels: int, lines: Sequence[Tensor], none: Tensor, out_unit: int) -> None:
    """Raises ValueError where a row's state is damaged, or of another model or other settings.

    Floats that a step made in half precision are not looked at, nor is audio that is ready: they may be infinite.

    Args:
        state: as `StreamRows.state_dict` gives it.
        step: the row's, from then on.
        channels: of its input.
        lines: the rows' own.
        none: an output of no frames, `[1, C, 0]`.
        out_unit: positions of the output a frame.
    """
    check_keys(state, "the row", {"seen", "missing", "end", "waiting", "ready", "lines"})
    if not isinstance(state["lines"], list) or len(state["lines"]) != len(lines):
        raise damaged(f"lines must be a list of {len(lines)} tensors, as this model with these settings has them")
    codes = step.model.config.codebook_size
    for index, (line, own) in enumerate(zip(state["lines"], lines, strict=True)):
        name = f"lines[{index}]"
        check_tensor(line, name, own.dtype, list(own.shape[1:]))
        if not line.is_floating_point():
            check_kept_codes(line, name, codes)
        elif line.dtype in (torch.float32, torch.float64):
            check_finite(line, name)
    waiting, ready = state["waiting"], state["ready"]
    if waiting is not None:
        dtype = samples_dtype(step.dtype) if step.dtype.is_floating_point else step.dtype
        check_tensor(waiting, "waiting", dtype, [channels, -1])
        if waiting.is_floating_point():
            check_finite(waiting, "waiting")
        else:
            check_kept_codes(waiting, "waiting", codes)
    if ready is not None:
        check_tensor(ready, "ready", none.dtype, [1, none.shape[1], -1])
        if ready.shape[-1] % out_unit:
            raise damaged(f"ready has {ready.shape[-1]} positions, but a frame has {out_unit}")
        if not ready.is_floating_point():
            check_kept_codes(ready, "ready", codes)
    positions = 0 if waiting is None else waiting.shape[-1]
    if state["seen"] == step.origin < 0 and 0 < positions < -step.origin * step.unit:
        raise damaged(f"{positions} positions wait, fewer than the {-step.origin * step.unit} zeros before a start")
    _check_counts(state, step, -(-positions // step.unit))


def _check_counts(state: dict[str, Any], step: Step, waiting: int) -> None:
    """waiting: frames."""
    seen, missing, end = state["seen"], state["missing"], state["end"]
    check_count("seen", seen, step.origin)
    check_count("missing", missing, 0)
    if end is not None:
        check_count("end", end, 0)
    if (seen - step.origin) % (step.chunk or 1):
        raise damaged(f"seen is {seen}, but must be {step.origin}, or a multiple of {step.chunk} more")
    if missing != (0 if end is None else max(0, seen - end)):
        raise damaged(f"missing is {missing}, but seen is {seen} and end {end}")
    if end and waiting != max(0, end - seen):
        raise damaged(f"end is {end} and seen {seen}, but {waiting} frames wait")
