"""The sum of the entries that codes name, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from xcodec_fast import backend
from xcodec_fast.kernels import rvq_decode
from xcodec_fast.search import projected_sum

from .guards import between_nan


def summed(codes: Tensor, tables: Tensor, bias: Tensor | None) -> Tensor:
    """In float64."""
    total = sum(table.double()[chosen] for table, chosen in zip(tables, codes.t(), strict=True))
    assert isinstance(total, Tensor)
    return total if bias is None else total + bias.double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("rows", [1, 2, 15, 33])
@pytest.mark.parametrize(("channels", "entries", "stages"), [(256, 16, 8), (300, 7, 3), (5, 37, 1)])
def test_decode_sums_the_entries(dtype, rows, channels, entries, stages, order, device, guards):
    codes = torch.randint(0, entries, (rows, stages), device=device)
    tables = between_nan(torch.randn(stages, entries, channels, device=device).to(dtype))
    bias = between_nan(torch.randn(channels, device=device).to(dtype))
    for given in (bias, None):
        out = rvq_decode.decode(codes, tables, given)
        assert out.dtype == dtype
        expected = summed(codes, tables, given)
        # Summed in float32 and rounded once: half a unit of the dtype.
        tolerance = 6e-4 if dtype == torch.float16 else 1e-6
        assert ((out - expected).abs() <= tolerance * expected.abs().clamp(min=1)).all()
    assert len(guards.buffers) == 2


def test_layouts_that_are_not_contiguous(device):
    codes, tables = torch.randint(0, 21, (18, 3), device=device), torch.randn(3, 21, 10, device=device)
    with pytest.raises(ValueError, match=r"decode: codes \[18, 3\] has the strides \(1, 18\), but must be contiguous"):
        rvq_decode.decode(codes.t().contiguous().t(), tables)
    with backend("triton"):
        projection = torch.nn.Linear(10, 6, device=device)
        expected = projected_sum(codes, list(tables), projection)
        assert torch.equal(projected_sum(codes.t().contiguous().t(), list(tables), projection), expected)


def test_decode_marks_the_rows_of_unknown_codes(device):
    codes = torch.tensor([[0, 1], [2, 21], [-1, 3], [20, 20]], device=device)
    out = rvq_decode.decode(codes, torch.ones(2, 21, 12, device=device))
    assert out.isnan().all(1).tolist() == [False, True, True, False]
    assert out[[0, 3]].eq(2).all()
    assert rvq_decode.decode(codes[:0], torch.ones(2, 21, 12, device=device)).shape == (0, 12)


def test_decode_refuses(device):
    codes, tables = torch.zeros(3, 2, dtype=torch.int64, device=device), torch.zeros(2, 21, 12, device=device)
    with pytest.raises(ValueError, match=r"codes is torch\.int32, but must be torch\.int64"):
        rvq_decode.decode(codes.int(), tables)
    with pytest.raises(ValueError, match=r"tables is torch\.float64, but must be torch\.float32 or "):
        rvq_decode.decode(codes, tables.double())
    with pytest.raises(ValueError, match=r"bias is torch\.float16, but must be torch\.float32"):
        rvq_decode.decode(codes, tables, torch.zeros(12, device=device).half())
    with pytest.raises(ValueError, match=r"tables is \[Q, K, C\] \(N = 3, Q = 2\), not \[3, 21, 12\]"):
        rvq_decode.decode(codes, tables[[0, 0, 1]])
    with pytest.raises(ValueError, match=r"bias is \[C\] .*, not \[11\]"):
        rvq_decode.decode(codes, tables, torch.zeros(11, device=device))
    with pytest.raises(ValueError, match="tables is on meta"):
        rvq_decode.decode(codes, tables.to("meta"))
