"""Block sizes and warps of every kernel, as tables keyed by shape and chip: no autotuning, no search at run time."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import triton
from triton import cdiv, next_power_of_2

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class Chip(NamedTuple):
    """What a kernel is compiled for: "cuda", "hip" or "interpreter", and CUDA's compute capability as 80, 90, 100."""

    backend: str
    capability: int = 0


@cache
def chip(device: torch.device) -> Chip:
    """The chip behind a tensor's device. A CPU counts only while Triton's interpreter is on (TRITON_INTERPRET=1)."""
    if device.type == "cuda":
        if torch.version.hip:
            return Chip("hip")
        major, minor = torch.cuda.get_device_capability(device)
        return Chip("cuda", 10 * major + minor)
    if device.type == "cpu" and triton.knobs.runtime.interpret:
        return Chip("interpreter")
    raise ValueError(f"the Triton kernels run on a CUDA or ROCm GPU, not on {device}")


class SearchBlocks(NamedTuple):
    """How a stage of the RVQ search is cut: programs of `rows` x `entries` scores, summed `depth` values at a time."""

    rows: int
    entries: int
    depth: int
    dot: bool
    keys: int
    warps: int
    buffers: int
    precision: str


def search_blocks(rows: int, entries: int, dim: int, chip: Chip) -> SearchBlocks:
    """Blocks of `rvq.search` for N rows and codebooks of K entries of D values.

    To 16 rows the codebook must come from memory as fast as it can, so it is spread over many small slices (at K = 1024
    128 of 8 entries, from 9 rows on 64 of 16) and summed as a tree: rows x entries x depth products are at most 8,192,
    which is 64 registers a thread. `buffers` blocks are on their way at once: 25 KB a multiprocessor keep the L2 cache
    busy (5 TB/s, 0.7 us, 132 of them: arithmetic), and 96 KB bound what they take of its shared memory.
    Above, `tl.dot`: 64 x 64 fills the chip from few rows on; 128 x 128 reads each value half as often, once it fills
    the chip too (2,048 rows and K = 1024: 128 programs for 132 multiprocessors).
    `keys`: partial minima of a row read at once by the next stage; rows x keys is at most 2,048, 32 registers.
    """
    if rows <= 16:
        height = next_power_of_2(rows)
        width = 8 if rows <= 8 else 16
        # In the interpreter a program costs more than what it computes.
        widest, most = (256, 8) if chip.backend == "interpreter" else (64, 128)
        while width < widest and cdiv(entries, width) > most:
            width *= 2
        depth = min(8192 // (height * width), next_power_of_2(dim))
        buffers = 1
        if chip.backend == "cuda":
            block = 4 * depth * (2 * height + width)  # bytes: the residual, what is subtracted from it, the entries
            buffers = min(8, cdiv(dim, depth), 1 + 98304 // block)
        return SearchBlocks(height, width, depth, False, _keys(height, entries, width), 4, buffers, "")
    precision = "tf32x3" if chip.backend == "cuda" else "ieee"  # gfx942 rejects tf32x3
    side, warps = 64, 4
    # sm_80 spills 183 registers in 128 x 128, sm_90 8 of them with a mask along D; sm_120 lacks the shared memory.
    if rows >= 2048 and dim % 32 == 0 and chip.backend == "cuda" and not _operands_in_registers(chip):
        side, warps = 128, 8
    return SearchBlocks(side, side, 32, True, _keys(side, entries, side), warps, 3, precision)


def _keys(rows: int, entries: int, width: int) -> int:
    return min(next_power_of_2(cdiv(entries, width)), 2048 // rows)


class DecodeBlocks(NamedTuple):
    """How the RVQ decode is cut: programs of `rows` x `channels` sums."""

    rows: int
    channels: int
    warps: int


def decode_blocks(rows: int, channels: int) -> DecodeBlocks:
    """Blocks of `rvq_decode.decode`, which waits for memory alone.

    From 128 channels on up to 1,024 sums a program, with fewer up to 8 rows; each thread with up to 8 of a table.
    """
    width = min(next_power_of_2(channels), 256)
    return DecodeBlocks(min(1024 // width, next_power_of_2(rows), 8), width, 4)


class Blocks(NamedTuple):
    """A tile of `rows` x `columns` outputs, `inner` products at a time, in `buffers`, by `warps` warps."""

    rows: int
    columns: int
    inner: int
    buffers: int
    warps: int


def conv_blocks(
    batch: int, rows: int, columns: int, channels: int, dtype: torch.dtype, precision: str, chip: Chip
) -> Blocks:
    """Tiles of the convolution: rows of output positions of each clip of a batch, columns of output channels.

    Wide tiles reuse what they load: 128 x 128 reads 235 TFLOP/s worth of TF32 from the L2 cache. A launch should still
    fill 132 processors, so few rows get narrow tiles; and no tile has two clips, so short ones get low tiles.
    """
    if chip.backend == "interpreter":  # where a program costs more than what it computes
        return Blocks(min(2048, next_power_of_2(rows)), min(128, max(16, next_power_of_2(columns))), 64, 1, 1)
    # Three TF32 products, or float32 on plain cores, take the registers of twice the columns.
    widest = 128 if dtype != torch.float32 or precision == "tf32" else 64
    width = min(widest, max(16, next_power_of_2(columns)))
    height = _height(rows)
    while batch * cdiv(rows, height) * cdiv(columns, width) < 132 and (height > 64 or width > 32):
        if height > 64:
            height //= 2
        else:
            width //= 2
    inner = min(_inner(dtype, chip), max(16, next_power_of_2(channels)))
    # In float32, 4 warps spill: on sm_80 83 times in 128 x 64 (three TF32 products), on sm_89 6 times in 64 x 128.
    crowded = dtype == torch.float32 and _operands_in_registers(chip)
    return Blocks(height, width, inner, 3, 8 if height * width >= 128 * (64 if crowded else 128) else 4)


def unit_blocks(batch: int, rows: int, channels: int, dtype: torch.dtype, precision: str, chip: Chip) -> Blocks:
    """Tiles of the whole residual unit, which hold all `channels`; `columns` are those of the second product."""
    if chip.backend == "interpreter":
        return Blocks(min(2048, next_power_of_2(rows)), channels, channels, 1, 1)
    height = _height(rows) if precision == "tf32" or dtype != torch.float32 else 64
    if batch * cdiv(rows, height) < 132:
        height = 64
    inner = min(channels, _inner(dtype, chip))
    # sm_80 spills 64 times in 32 columns of 128 channels.
    crowded = precision == "tf32x3" and dtype == torch.float32 and _operands_in_registers(chip)
    return Blocks(height, min(channels, 16 if crowded else 32), inner, 3, 8)


def _height(rows: int) -> int:
    """The highest tile for a clip of so many rows; 64 is the lowest."""
    return 128 if rows > 64 else 64


def _inner(dtype: torch.dtype, chip: Chip) -> int:
    """128 bytes of channels at a time; on ROCm 64 of bfloat16, or a tile takes all 64 KB of shared memory."""
    return 32 if dtype == torch.float32 or chip.backend == "hip" else 64


def _operands_in_registers(chip: Chip) -> bool:
    """Whether tensor cores read both operands from registers; three TF32 products keep two parts of each there."""
    return chip.backend == "cuda" and not 90 <= chip.capability < 120


def snake_block(channels: int) -> tuple[int, int]:
    """Rows and channels of a program: 1,024 elements, 8 a thread of 4 warps."""
    width = min(1024, next_power_of_2(channels))
    return 1024 // width, width
