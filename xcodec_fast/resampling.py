"""A resampler for a stream, whose state can be kept: soxr's own cannot be copied."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xcodec_fast.state_checks import check_count, check_finite, check_keys, check_tensor, damaged

_RELIVED_SECONDS = 0.2


class Resampler:
    """From one rate in Hz to another (soxr, HQ), piece by piece: together bit for bit what resampling the whole gives.

    Its state is its last input: so much that a new resampler, fed with it, goes on as this one would, within 1e-6 of
    full scale. dtype: of the samples, float32 or float64.
    """

    def __init__(self, source_rate: int, target_rate: int, dtype: torch.dtype) -> None:
        self.source_rate, self.target_rate = source_rate, target_rate
        self._dtype = np.dtype(str(dtype).removeprefix("torch."))
        common = math.gcd(source_rate, target_rate)
        self._phase, self._outputs = source_rate // common, target_rate // common  # every so many, both fall together
        self._kept = math.ceil((largest_lag(source_rate, target_rate) + _RELIVED_SECONDS) * source_rate)
        self._stream: Any
        self._known: np.ndarray
        self._early: np.ndarray
        self._start = self._got = self._position = 0
        self._begin(np.zeros(0, self._dtype), 0, 0)

    def __call__(self, samples: Tensor, last: bool = False) -> Tensor:
        """Samples `[n]` -> those that are ready; with `last`, all that are left, after which there is no more."""
        given = samples.numpy().astype(self._dtype, copy=False)
        out = np.concatenate([self._early, self._owed(self._stream.resample_chunk(given, last=last))])
        self._early = out[:0]
        self._got += len(out)
        known = np.concatenate([self._known, given])
        cut = max(0, len(known) - self._kept) // self._phase * self._phase
        self._known, self._start = known[cut:], self._start + cut
        return torch.from_numpy(out)

    @property
    def has_begun(self) -> bool:
        """Whether it was given anything."""
        return self._start > 0 or len(self._known) > 0

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` of another resampler of these rates takes."""
        return {"input": torch.from_numpy(self._known.copy()), "start": self._start, "got": self._got}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the state was taken. Raises ValueError where it is not what `state_dict` gave."""
        self._check(state)
        self._begin(state["input"].detach().cpu().numpy().copy(), state["start"], state["got"])

    def _check(self, state: Any) -> None:
        check_keys(state, "the resampler", {"input", "start", "got"})
        known, start, got = state["input"], state["start"], state["got"]
        check_tensor(known, "the resampler's input", torch.from_numpy(self._early).dtype, [-1])
        check_finite(known, "the resampler's input")
        check_count("the resampler's start", start, 0)
        check_count("the resampler's got", got, 0)
        behind = (start + len(known)) / self.source_rate - got / self.target_rate
        if start % self._phase or not -2 / self.target_rate < behind < self._kept / self.source_rate:
            raise damaged(f"the resampler started at {start} and got {got}, which {len(known)} samples do not give")

    def _begin(self, known: np.ndarray, start: int, got: int) -> None:
        import soxr  # where used: a machine that streams at the model's rate may lack it

        self._stream = soxr.ResampleStream(self.source_rate, self.target_rate, 1, dtype=self._dtype.name)
        self._known, self._start, self._got = known, start, got
        self._position = start // self._phase * self._outputs  # of the stream's next sample, in the whole output
        # How much is ready depends on the history: after a replay it can be more than was given before.
        self._early = self._owed(self._stream.resample_chunk(known))

    def _owed(self, out: np.ndarray) -> np.ndarray:
        """What of the stream's output was not given before."""
        given_before = max(0, self._got - self._position)
        self._position += len(out)
        return out[given_before:]


@cache
def largest_lag(source_rate: int, target_rate: int) -> float:
    """The most, in seconds, by which what a resampler gives falls behind what it gets, in pushes of 1 ms."""
    if source_rate == target_rate:
        return 0.0
    import soxr

    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32")
    piece = np.zeros(max(1, source_rate // 1000), np.float32)
    largest, got = 0.0, 0
    for pushes in range(1, 2 * source_rate // len(piece) + 1):
        got += len(stream.resample_chunk(piece))
        largest = max(largest, pushes * len(piece) / source_rate - got / target_rate)
    return largest
