"""Codes packed at ceil(log2 K) bits each, most significant bit first, without gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK = 1 << 16  # codes at a time, since unpacked bits take a byte each; a multiple of 8, so that blocks end on bytes


def packed_length(codes: int, bits: int) -> int:
    """Bytes that `codes` codes of `bits` bits take: ceil(codes * bits / 8)."""
    return -(-codes * bits // 8)


def pack(codes: np.ndarray, bits: int) -> Iterator[bytes]:
    """Unsigned codes `[n]`, each below 2^bits, -> `packed_length(n, bits)` bytes in pieces; zeros fill up the last."""
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint32)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK].astype(np.uint32)
        yield np.packbits((block[:, None] >> shifts & 1).astype(np.uint8)).tobytes()


def unpack(packed: bytes, codes: int, bits: int) -> np.ndarray:
    """The inverse: uint32 `[codes]`."""
    unpacked = np.empty(codes, np.uint32)
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint32)
    stored = np.frombuffer(packed, np.uint8)
    for start in range(0, codes, _BLOCK):
        count = min(_BLOCK, codes - start)
        block = stored[start * bits // 8 : packed_length(start + count, bits)]
        unpacked[start : start + count] = np.unpackbits(block, count=count * bits).reshape(count, bits) @ weights
    return unpacked
