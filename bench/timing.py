"""How the benches measure: times of calls and of CUDA graphs, the machine's ceilings, agreement of results."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from xcodec_fast.cuda_graph import Recording

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
INTERPRETED = not GPU and os.environ.get("TRITON_INTERPRET") == "1"
ROUNDS = 50 if GPU else 1 if INTERPRETED else 7

# Norm of the error over that of the result, and largest error over the peak. The others may err five times as much:
# cuDNN may cut off what TF32 does not hold, and in bfloat16 they round between their operations.
TOLERANCE = {"tf32": 1e-3, "float32": 1e-5, "bfloat16": 1e-2}
DTYPES = {"tf32": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}


@contextmanager
def precision_set(mode: str) -> Iterator[None]:
    """Within it, PyTorch multiplies float32 as TF32, convolutions and matrices, if mode is "tf32", else as it is."""
    # By the older of PyTorch's two interfaces: torch.compile reads that one, which raises where both were used.
    flags: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = mode == "tf32"
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


class Captured:
    """A call, on a GPU as a CUDA graph; `run` repeats it, and the tensors of `outputs` hold what it has given."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.run = call
        if GPU:
            recording = Recording(call, call, DEVICE)
            self.run, self.outputs = recording.replay, as_tuple(recording.out)
            for output in self.outputs:  # so that what is judged is what the graph writes
                output.fill_(float("nan") if output.is_floating_point() else -1)
            self.run()
        else:
            self.outputs = as_tuple(call())


class Launched:
    """A call that is repeated as it is: what `mode="reduce-overhead"` compiles makes its own CUDA graph."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.run = call
        for _ in range(3):
            self.outputs = tuple(output.clone() for output in as_tuple(call()))


def three_digits(number: float) -> str:
    """With three significant digits, and never an exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:#.3g}".rstrip(".")


def as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


def seconds_of(call: Callable[[], Any]) -> float:
    """Of one call by the host's clock, a GPU's work included."""
    _synchronize()
    started = time.perf_counter()
    call()
    _synchronize()
    return time.perf_counter() - started


def seconds(run: Callable[[], Any], cold: bool = False) -> float:
    """Seconds of one run: on a GPU the device's own, between two events, with the L2 cache overwritten if `cold`."""
    if not GPU:
        return seconds_of(run)
    start, end = _events()
    if cold:
        _flushed().zero_()
    # While the device idles here, all that follows is queued: no time of the host is in the interval.
    torch.cuda._sleep(1_000_000)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


@cache
def copy_rate() -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.randn(2**28 if GPU else 2**23, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _median(lambda: target.copy_(source))


@cache
def matmul_rate(mode: str) -> float:
    """Operations a second of a large product of PyTorch's in this precision."""
    size = 8192 if GPU else 1024
    a, b = (torch.randn(size, size, device=DEVICE, dtype=DTYPES[mode]) for _ in range(2))
    with precision_set(mode):
        return 2 * size**3 / _median(lambda: a @ b)


def assert_agreement(expected: tuple[Tensor, ...], actual: tuple[Tensor, ...], limit: float, who: str) -> float:
    """The larger of the two errors that TOLERANCE speaks of, at most `limit`, or an assertion fails."""
    worst = 0.0
    for exact, output in zip(expected, actual, strict=True):
        assert output.shape == exact.shape
        error = output.double() - exact
        for size in (error.norm() / exact.norm(), error.abs().max() / exact.abs().max()):
            assert size <= limit, f"{who}: off by {float(size):.1e}, and {limit:.0e} is allowed"
            worst = max(worst, float(size))
    return worst


def assert_same_codes(expected: Tensor, actual: Tensor) -> None:
    """`[B, Q, F]`: one decision, or one in 1,000, may be the first of its frame to differ."""
    different = actual != expected
    first = different & (different.cumsum(1) == 1)
    assert int(first.sum()) <= max(1, actual.numel() // 1000)


def assert_same_audio(expected: Tensor, actual: Tensor) -> None:
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max().clamp(min=1)


def excess(x: Tensor, codebooks: Tensor, codes: Tensor) -> float:
    """The most by which a code misses the nearest entry to its own prefix's residual r, over |r|^2 + |E|^2, in float64.

    x: `[N, D]`; codebooks: `[Q, K, D]`; codes: `[N, Q]`.
    """
    assert codes.min() >= 0
    assert codes.max() < codebooks.shape[1]
    worst = 0.0
    for rows, chosen in zip(x.split(4096), codes.split(4096), strict=True):
        residual = rows.double()
        for stage, codebook in enumerate(codebooks.double()):
            entry = codebook[chosen[:, stage]]
            scale = residual.square().sum(1) + entry.square().sum(1)
            distances = torch.addmm(codebook.square().sum(1), residual, codebook.t(), alpha=-2)
            missed = distances.gather(1, chosen[:, stage, None])[:, 0] - distances.min(1).values
            worst = max(worst, float((missed / scale).max()))
            residual = residual - entry
    return worst


def _median(call: Callable[[], Any]) -> float:
    times = [seconds(call) for _ in range(12)]
    return statistics.median(times[2:])


def _synchronize() -> None:
    if GPU:
        torch.cuda.synchronize()


@cache
def _events() -> tuple[torch.cuda.Event, torch.cuda.Event]:
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


@cache
def _flushed() -> Tensor:
    """Larger than any L2 cache."""
    return torch.empty(2**28, dtype=torch.uint8, device=DEVICE)
