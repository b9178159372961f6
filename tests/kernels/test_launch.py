"""The tables of block sizes, for chips that are not there."""

import pytest
import torch

from xcodec_fast.kernels import launch
from xcodec_fast.kernels.launch import Chip

H100 = Chip("cuda", 90)
CHIPS = [Chip("cuda", 80), H100, Chip("cuda", 120), Chip("hip"), Chip("interpreter")]


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: f"{chip.backend} {chip.capability}")
@pytest.mark.parametrize("rows", [1, 3, 8, 9, 16, 17, 2047, 2048, 32768])
@pytest.mark.parametrize(("entries", "dim"), [(1024, 1024), (1024, 1000), (2, 7), (65536, 4096)])
def test_blocks_are_powers_of_two_within_their_bounds(chip, rows, entries, dim):
    blocks = launch.search_blocks(rows, entries, dim, chip)
    for size in (blocks.rows, blocks.entries, blocks.depth, blocks.keys):
        assert size >= 1
        assert size & (size - 1) == 0
    assert blocks.dot == (rows > 16)
    assert blocks.rows * blocks.keys <= 2048
    if blocks.dot:
        wide = chip == H100 and rows >= 2048 and dim % 32 == 0
        assert (blocks.rows, blocks.entries, blocks.depth) == ((128, 128, 32) if wide else (64, 64, 32))
        assert (blocks.buffers, blocks.warps) == (3, 8 if wide else 4)
        assert blocks.precision == ("tf32x3" if chip.backend == "cuda" else "ieee")
        return
    assert rows <= blocks.rows
    assert blocks.rows * blocks.entries * blocks.depth <= 8192
    slices = -(-entries // blocks.entries)
    if chip.backend == "interpreter":
        assert slices <= 8 or blocks.entries == 256
    else:
        assert slices <= 128 or blocks.entries == 64
    if chip.backend == "cuda":
        assert (blocks.buffers - 1) * 4 * blocks.depth * (2 * blocks.rows + blocks.entries) <= 98304
    else:
        assert blocks.buffers == 1


@pytest.mark.parametrize(("rows", "slices", "entries"), [(1, 128, 8), (8, 128, 8), (9, 64, 16), (16, 64, 16)])
def test_the_slices_of_a_codebook_of_1024(rows, slices, entries):
    assert launch.search_blocks(rows, 1024, 1024, H100).entries == entries
    assert slices * entries == 1024


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: f"{chip.backend} {chip.capability}")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 128, 300, 1024])
@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (64, 24), (4, 64), (300, 65), (8, 500), (1, 200000)])
def test_a_tile_of_a_convolution_fits_its_clips(chip, dtype, channels, batch, rows):
    """A launch has as many programs as the chip processors, or else the smallest tiles; high ones for long clips."""
    precision = "tf32x3" if dtype == torch.float32 else "ieee"
    conv = launch.conv_blocks(batch, rows, channels, channels, dtype, precision, chip)
    unit = launch.unit_blocks(batch, rows, 128, dtype, precision, chip)
    if chip.backend == "interpreter":
        assert conv.rows == unit.rows < 2 * rows or rows > 2048
        return
    programs = batch * -(-rows // conv.rows) * -(-channels // conv.columns)
    assert programs >= 132 or (conv.rows == 64 and conv.columns <= 32)
    for blocks, across in ((conv, -(-channels // conv.columns)), (unit, 1)):
        assert blocks.rows in (64, 128)
        assert rows > 64 or blocks.rows == 64
        assert blocks.rows == 64 or batch * -(-rows // 128) * across >= 132


def test_programs_are_counted_clip_by_clip():
    """64 clips of 24 rows are 64 tiles, not the 12 or 24 of 1,536 rows: they fill the chip with wide tiles."""
    blocks = launch.conv_blocks(64, 24, 512, 512, torch.bfloat16, "ieee", H100)
    assert (blocks.rows, blocks.columns) == (64, 128)
    assert launch.unit_blocks(64, 200, 64, torch.bfloat16, "ieee", H100).rows == 64
    assert launch.unit_blocks(67, 200, 64, torch.bfloat16, "ieee", H100).rows == 128
