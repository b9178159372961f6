"""The search for the codes, against PyTorch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec_fast import backend
from xcodec_fast.kernels import launch, rvq
from xcodec_fast.search import nearest_codes, residual_codes

from .guards import MARGIN, Guards, between_nan
from .test_rvq_decode import summed

# N, then D, K, Q: powers of two and not, fewer values or entries than a block, one stage.
SMALL = [(96, 37, 4), (7, 2, 4), (64, 64, 1)]
CASES = [(rows, *shape) for rows in (1, 2, 15, 16, 17, 65) for shape in SMALL]
CASES += [(rows, 130, 300, 2) for rows in (1, 16, 17, 65)]


def half_norms(codebooks: Tensor) -> Tensor:
    return codebooks.double().square().sum(-1).div(2).float()


def search(x: Tensor, codebooks: Tensor) -> Tensor:
    return rvq.search(x, codebooks, half_norms(codebooks))


def naive(x: Tensor, codebooks: Tensor) -> Tensor:
    """The model's PyTorch branch, stage by stage."""
    codes = []
    for codebook in codebooks:
        codes.append(nearest_codes(x, codebook))
        x = x - F.embedding(codes[-1], codebook)
    return torch.stack(codes, 1)


def excess(x: Tensor, codebooks: Tensor, codes: Tensor) -> Tensor:
    """By how much each code misses the nearest entry of its prefix's residual, in float64, over |r|^2 + |E|^2."""
    residual, gaps = x.double(), []
    for codebook, chosen in zip(codebooks.double(), codes.t(), strict=True):
        entry = codebook[chosen]
        scale = residual.square().sum(1) + entry.square().sum(1)
        # From differences: torch.cdist multiplies out, which costs half of float64's digits at near-ties.
        distances = (residual[:, None] - codebook).square().sum(2)
        gaps.append((distances.gather(1, chosen[:, None])[:, 0] - distances.min(1).values) / scale)
        residual = residual - entry
    return torch.stack(gaps, 1)


def make(rows: int, dim: int, entries: int, stages: int, device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows and codebooks whose stages shrink, as those of a trained quantizer do; NaN lies around each."""
    torch.manual_seed(seed)
    x = torch.randn(rows, dim)
    codebooks = torch.randn(stages, entries, dim) * 0.8 ** torch.arange(stages)[:, None, None]
    return between_nan(x.to(device)), between_nan(codebooks.to(device))


@pytest.fixture(params=["tree", "dot"])
def path(request, monkeypatch) -> str:
    """Both ways of scoring at every size, in blocks so small that a few rows and entries make many programs."""
    dot = request.param == "dot"
    rows, entries, depth = (16, 16, 16) if dot else (4, 8, 32)
    blocks = launch.SearchBlocks(rows, entries, depth, dot, keys=2, warps=4, buffers=2, precision="ieee")
    monkeypatch.setattr(launch, "search_blocks", lambda *args: blocks)
    return request.param


@pytest.mark.parametrize(("rows", "dim", "entries", "stages"), CASES)
def test_every_code_is_nearest_in_float64(rows, dim, entries, stages, device, guards):
    x, codebooks = make(rows, dim, entries, stages, device)
    codes = search(x, codebooks)
    assert codes.shape == (rows, stages)
    assert codes.dtype == torch.int64
    assert len(guards.buffers) == 3
    assert codes.min() >= 0
    assert codes.max() < entries
    assert excess(x, codebooks, codes).max() <= 1e-6


@pytest.mark.parametrize("rows", [1, 21])
@pytest.mark.parametrize(("dim", "entries", "stages"), SMALL)
def test_small_blocks_and_either_order(rows, dim, entries, stages, path, order, device, guards):
    x, codebooks = make(rows, dim, entries, stages, device)
    codes = search(x, codebooks)
    assert len(guards.buffers) == 3
    assert torch.equal(codes, naive(x, codebooks))


@pytest.mark.parametrize("rows", [5, 20])
def test_exact_ties_go_to_the_lowest_index(rows, path, order, device, guards):
    x, codebooks = make(rows, 24, 40, 3, device)
    # Twins in the same slice, in the next, in the last; the nearest entry is often one of them.
    twins = {0: (3, 17, 39), 4: (5, 6, 20), 18: (30, 31)}
    for first, others in twins.items():
        codebooks[:, others] = codebooks[:, [first]]
    picks = torch.randint(0, 40, (rows, 3), device=device)
    x.copy_(summed(picks, codebooks, None))
    codes = search(x, codebooks)
    assert torch.equal(codes, naive(x, codebooks))
    ties = {other for others in twins.values() for other in others}
    assert not ties & set(codes.flatten().tolist())
    assert set(twins) & set(codes.flatten().tolist())


@pytest.mark.parametrize("rows", [3, 17])
def test_equal_entries_and_zeros_give_code_0(rows, path, device):
    x, codebooks = make(rows, 24, 40, 2, device)
    codebooks.zero_()
    assert search(x, codebooks).eq(0).all()
    codebooks.fill_(0.3)
    assert search(torch.zeros_like(x), codebooks).eq(0).all()


@pytest.mark.parametrize("rows", [16, 32])
@pytest.mark.parametrize("dim", [64, 250])
def test_near_ties_are_told_apart_as_well_as_by_pytorch(rows, dim, device):
    """Two entries at distances that differ by 1e-3 .. 1e-7 |r|^2: float32 may miss the smallest, PyTorch's does too."""
    misses = {"triton": 0.0, "torch": 0.0}
    for power in range(3, 8):
        torch.manual_seed(power)
        x = torch.randn(rows, dim, dtype=torch.float64)
        direction = F.normalize(torch.randn(rows, 2, dim, dtype=torch.float64), dim=2)
        direction = direction - (direction * F.normalize(x)[:, None]).sum(2, True) * F.normalize(x)[:, None]
        direction = F.normalize(direction, dim=2) * x.norm(dim=1)[:, None, None] * 0.5
        # Row i's nearest two of all entries are 2i, farther by the gap, and 2i + 1.
        direction[:, 0] *= (1 + 10.0**-power / 0.25) ** 0.5
        codebooks = (x[:, None] + direction).reshape(1, 2 * rows, dim).float().to(device)
        x = x.float().to(device)
        codes = {"triton": search(x, codebooks), "torch": naive(x, codebooks)}
        for name in misses:
            gaps = excess(x, codebooks, codes[name])
            misses[name] += float(gaps.sum())
            assert gaps.max() <= 1e-6
        if power <= 5:
            assert torch.equal(codes["triton"][:, 0].cpu(), 2 * torch.arange(rows) + 1)
    assert misses["triton"] <= misses["torch"] + 1e-6


@pytest.mark.parametrize("rows", [16, 17])
def test_scores_are_as_close_to_float64_as_those_of_pytorch(rows, device):
    """The scores themselves, read from the keys that a search leaves."""
    x, codebooks = make(rows, 512, 64, 1, device)
    with Guards() as guards:
        search(x, codebooks)
    keys = guards.buffers[2][MARGIN:-MARGIN].view(rows, -1)
    exact = codebooks[0].double().square().sum(1) / 2 - x.double() @ codebooks[0].double().t()
    half = codebooks[0].square().sum(1) / 2
    torch_scores = torch.addmm(half, x, codebooks[0].t(), alpha=-1)
    bits = keys >> 32
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int32)
    scores, index = bits.view(torch.float32), keys & 0xFFFFFFFF
    assert index.unique(dim=1).shape == index.shape  # a different entry a slice
    error = (scores - exact.gather(1, index)).abs()
    limit = (torch_scores - exact).abs()
    assert error.max() <= 1.5 * limit.max()
    assert error.square().mean() <= 1.5 * limit.square().mean()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_rows_of_nan_and_inf_stay_in_the_codebook_and_leave_others_alone(path, order, device):
    x, codebooks = make(18, 24, 21, 3, device)
    expected = naive(x, codebooks)
    x[1, 3], x[4] = float("nan"), float("nan")
    x[7, 5], x[11] = float("inf"), -float("inf")
    x[13, 0] = torch.tensor(-1, dtype=torch.int32).view(torch.float32)  # a NaN with its sign set
    codes = search(x, codebooks)
    assert codes.min() >= 0
    assert codes.max() < 21
    finite = x.isfinite().all(1)
    assert torch.equal(codes[finite], expected[finite])


@pytest.mark.parametrize("total", [8, 19, 33])
def test_more_rows_than_a_chunk(total, path, device, monkeypatch):
    x, codebooks = make(total, 24, 21, 3, device)
    expected = search(x, codebooks)
    monkeypatch.setattr(rvq, "CHUNK", 8)
    with Guards() as guards:
        assert torch.equal(search(x, codebooks), expected)
    assert max(buffer.numel() - 2 * MARGIN for buffer in guards.buffers[1:]) <= 3 * 8 * 24


def test_equal_inputs_give_equal_codes_and_no_rows_give_none(device):
    x, codebooks = make(20, 24, 21, 3, device)
    assert torch.equal(search(x, codebooks), search(x.clone(), codebooks))
    assert search(x[:0], codebooks).shape == (0, 3)


def test_layouts_that_are_not_contiguous(device):
    x, codebooks = make(18, 24, 21, 3, device)
    with pytest.raises(ValueError, match=r"search: x \[18, 24\] has the strides \(1, 18\), but must be contiguous"):
        search(x.t().contiguous().t(), codebooks)
    with pytest.raises(ValueError, match=r"search: codebooks .* must be contiguous"):
        search(x, codebooks.mT.contiguous().mT)
    with backend("triton"):
        assert torch.equal(residual_codes(x.t().contiguous().t(), list(codebooks)), search(x, codebooks))


@pytest.mark.parametrize("name", ["x", "codebooks", "half_norms"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_search_refuses_other_dtypes(name, dtype, device):
    x, codebooks = make(3, 24, 21, 2, device)
    given = {"x": x, "codebooks": codebooks, "half_norms": half_norms(codebooks)}
    given[name] = given[name].to(dtype)
    with pytest.raises(ValueError, match=rf"search: {name} is {dtype}, but must be torch\.float32"):
        rvq.search(**given)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x", (3, 23), r"codebooks is \[Q, K, D\] \(N = 3, D = 23.*\), not \[2, 21, 24\]"),
        ("x", (24,), r"x is \[N, D\] .*, not \[24\]"),
        ("codebooks", (21, 24), r"codebooks is \[Q, K, D\] .*, not \[21, 24\]"),
        ("codebooks", (2, 0, 24), r"half_norms is .*, not \[2, 21\]"),
        ("half_norms", (21, 2), r"half_norms is \[Q, K\] .*, not \[21, 2\]"),
    ],
)
def test_search_refuses_other_shapes(name, shape, message, device):
    given = {"x": (3, 24), "codebooks": (2, 21, 24), "half_norms": (2, 21), name: shape}
    with pytest.raises(ValueError, match=message):
        rvq.search(**{key: torch.zeros(size, device=device) for key, size in given.items()})


def test_empty_axes_and_mixed_devices_are_refused(device):
    for shape in ((0, 21, 24), (2, 0, 24), (2, 21, 0)):
        with pytest.raises(ValueError, match="is 0"):
            rvq.search(torch.zeros(3, shape[2]), torch.zeros(shape), torch.zeros(shape[:2]))
    x, codebooks = make(3, 24, 21, 2, device)
    with pytest.raises(ValueError, match="codebooks is on meta"):
        rvq.search(x, codebooks.to("meta"), half_norms(codebooks))
    with pytest.raises(ValueError, match="not on meta"):
        rvq.search(x.to("meta"), codebooks.to("meta"), half_norms(codebooks).to("meta"))
