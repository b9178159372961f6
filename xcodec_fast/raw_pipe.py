"""Raw audio and codes through pipes: read as they come, until the end or a signal, and written at once."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import numpy as np
from torch import Tensor

_AT_ONCE = 1 << 16  # bytes


class RawFormat(StrEnum):
    """Samples as bytes, little-endian: 16-bit integers or 32-bit floats in [-1, 1]."""

    s16le = "s16le"
    f32le = "f32le"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one sample."""
        return np.dtype("<i2" if self is RawFormat.s16le else "<f4")


@contextmanager
def until_stopped() -> Iterator[int]:
    """Gives a descriptor that is readable once SIGINT or SIGTERM has come; a second one does what it did before."""
    stopped, told = os.pipe()

    def stop(*_: object) -> None:
        restore()
        os.write(told, b"\0")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, stop)
        yield stopped
    finally:
        restore()
        os.close(stopped)
        os.close(told)


def arriving(source: int, stopped: int, pace: float | None) -> Iterator[bytes]:
    """Bytes as soon as some are there, until their end or until `stopped` is readable.

    With a pace, in bytes per second, some 20 ms at a time, and none before the clock has got there.
    """
    at_once = _AT_ONCE if pace is None else max(1, int(pace / 50))
    started, given = time.monotonic(), 0
    while stopped not in select.select([source, stopped], [], [])[0] and (data := os.read(source, at_once)):
        given += len(data)
        if pace is not None:
            early = started + given / pace - time.monotonic()
            if select.select([stopped], [], [], max(0, early))[0]:
                return
        yield data


def write_all(target: int, data: bytes) -> None:
    """Past every buffer of Python's, so that the reader has it now."""
    rest = memoryview(data)
    while len(rest):
        rest = rest[os.write(target, rest) :]


def codes_bytes(audio_codes: Tensor) -> bytes:
    """Codes `[1, Q, f]` as uint16, little-endian, frame by frame."""
    return audio_codes[0].t().cpu().numpy().astype("<u2").tobytes()


def pcm_bytes(audio_values: Tensor, pcm: RawFormat) -> bytes:
    """Audio `[1, 1, t]`; as integers clipped to [-1, 1) and rounded."""
    samples = audio_values.flatten().float().cpu().numpy()
    if pcm is RawFormat.s16le:
        samples = np.clip(np.rint(samples * 32768), -32768, 32767)
    return samples.astype(pcm.dtype).tobytes()
