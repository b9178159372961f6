"""Clips as the rows of a batch: lengths, zeros past each row's end, whole frames."""

from typing import Any

import numpy as np
import pytest
import torch

from xcodec_fast.rows import as_rows

LIKE = torch.zeros(1)


def test_a_batch_is_as_it_is():
    audio = torch.randn(2, 1, 50)
    rows = as_rows(audio, None, LIKE, 20)
    assert rows.audio is audio
    assert (rows.lengths, rows.samples, rows.named, rows.unequal) == ((50, 50), 50, False, False)
    whole = rows.whole(20)
    assert (whole.lengths, whole.samples, whole.unequal) == ((60, 60), 50, False)
    assert torch.equal(whole.audio, torch.nn.functional.pad(audio, (0, 10)))


def test_a_list():
    clips: list[Any] = [torch.randn(50), np.random.default_rng(0).standard_normal(41), torch.randn(20)]
    rows = as_rows(clips, None, LIKE, 20)
    assert (rows.lengths, rows.samples, rows.named, rows.unequal) == ((50, 41, 20), 50, True, True)
    for row, clip in zip(rows.audio, clips, strict=True):
        assert row.shape == (1, 50)
        assert torch.equal(row[0, : len(clip)], torch.as_tensor(clip).float())
        assert not row[0, len(clip) :].any()
    assert rows.whole(20).lengths == (60, 60, 20)
    assert not as_rows([torch.zeros(9), torch.zeros(9)], None, LIKE, 20).unequal


def test_a_mask():
    """Rows end at their ones rounded up to the hop; the batch too."""
    audio = torch.randn(3, 1, 50)
    dirty = audio.clone()
    mask = torch.zeros(3, 50, dtype=torch.int64)
    for row, ones in enumerate((50, 41, 20)):
        mask[row, :ones] = 1
        dirty[row, 0, ones:] = torch.nan
    rows = as_rows(dirty, mask, LIKE, 20)
    assert (rows.lengths, rows.samples, rows.named, rows.unequal) == ((60, 60, 20), 50, True, True)
    assert rows.audio.shape == (3, 1, 60)
    for row, ones in enumerate((50, 41, 20)):
        assert torch.equal(rows.audio[row, 0, :ones], audio[row, 0, :ones])
        assert not rows.audio[row, 0, ones:].any()


@pytest.mark.parametrize(
    ("clips", "error", "words"),
    [
        ([], ValueError, "empty list; it must hold at least one clip"),
        (
            [torch.zeros(9), torch.zeros(1, 9)],
            ValueError,
            r"input_values\[1\] must have the shape \[T\], but has \[1, 9\]",
        ),
        ([torch.zeros(9), "b"], TypeError, r"input_values\[1\] must be a numpy array or a torch\.Tensor"),
        (
            [np.zeros(9, dtype=np.int16)],
            ValueError,
            r"input_values\[0\] is an array of int16, but must be one of floats",
        ),
        ([np.zeros(9, dtype=bool)], ValueError, r"input_values\[0\] is an array of bool"),
        ([np.zeros(9, dtype=complex)], ValueError, r"input_values\[0\] is an array of complex128"),
        (
            [torch.zeros(9).double()],
            ValueError,
            r"input_values\[0\] is torch\.float64, but the model is torch\.float32",
        ),
    ],
)
def test_lists_that_cannot_be(clips, error, words):
    with pytest.raises(error, match=words):
        as_rows(clips, None, LIKE, 20)


def test_a_mask_beside_a_list():
    with pytest.raises(ValueError, match="padding_mask goes with a batch"):
        as_rows([torch.zeros(9)], torch.ones(1, 9), LIKE, 20)
