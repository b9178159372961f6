"""Every operation of the default model that has a kernel, at its shapes: ours against PyTorch, eager and compiled.

The three take turns in one process, once all agree with float64. On a GPU each is a CUDA graph of one call, timed by
events, so the host's time is in none of them; of the RVQ, torch.compile makes the graph (mode="reduce-overhead"), and
"cold" runs find the L2 cache overwritten. Ours takes and gives channels-last memory, as between layers of our model,
PyTorch the layout of its own.

GB/s and TFLOP/s are ours, of what the operation must do at least: each input, parameter and output moved once, each
product and sum counted. Beside them, what they are of a large copy and of a large PyTorch matmul in the same precision
(of float32, on plain cores: three TF32 products can be above 100 %).

Without a GPU ours is the PyTorch branch, at small sizes; under TRITON_INTERPRET=1 the interpreted kernels, to try the
bench itself.
"""

from __future__ import annotations

import copy
import gc
import statistics
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xcodec_fast import backend
from xcodec_fast.dispatch import precision
from xcodec_fast.seeding import fill_codebooks, spread

from .operations import Decode, Search, Snake, Unit, default_model, layers
from .timing import (
    DEVICE,
    DTYPES,
    GPU,
    INTERPRETED,
    ROUNDS,
    TOLERANCE,
    Captured,
    Launched,
    assert_agreement,
    copy_rate,
    excess,
    matmul_rate,
    precision_set,
    seconds,
)

LONG, STEP = (8, 10.0), (1, 0.16)  # clips and seconds: a batch of files, and one step of a stream
SECOND = (8, 1.0)
MODES = [("tf32", STEP), ("tf32", LONG), ("bfloat16", LONG), ("float32", LONG)] if GPU else [("float32", STEP)]
SNAKES = [(mode, size) for size in (LONG, SECOND) for mode in ("float32", "bfloat16")] if GPU else MODES
ROWS = (1, 8, 16, 64, 500, 25000) if GPU else (1, 64)
# The codebooks of a search of few rows may have left the cache.
SEARCHES = [(rows, cold) for rows in ROWS for cold in ((False, True) if GPU and rows < 500 else (False,))]
LAYERS = layers()
CASES = list(LAYERS) if GPU else [name for name in LAYERS if name.startswith(("transposed 1024", "unit 64", "HuBERT"))]
_device_seconds = 0.0


def _named(value: Any) -> str | None:
    """A size in a test's name."""
    return f"{value[0]}x{value[1]:g}s" if isinstance(value, tuple) else None


def device_clock() -> float:
    """Seconds that ours has taken so far: what pytest-benchmark reads, so that its statistics are the device's."""
    return _device_seconds


pytestmark = pytest.mark.benchmark(timer=device_clock)


@pytest.mark.parametrize(("rows", "cold"), SEARCHES)
def test_rvq_search(benchmark, record_kernel, rows, cold):
    operation = _search()
    books = torch.stack(list(operation.codebooks))
    x = torch.randn(rows, books.shape[2], device=DEVICE)
    # Codes are judged by what they miss, and the reference's by ten times that: its |r|^2 costs it precision.
    limits = {"ours": 1e-6, "eager": 1e-5, "compiled": 1e-5}

    def judge(who: str, outputs: tuple[Tensor, ...]) -> float:
        missed = excess(x, books, outputs[0])
        assert missed <= limits[who], f"{who}: a code misses the nearest by {missed:.1e}, {limits[who]:.0e} is allowed"
        return missed

    moved = books.nbytes + x.nbytes + 8 * rows * len(books)
    label = f"RVQ search, {rows} rows" + (", cold" if cold else "")
    _compare(benchmark, record_kernel, label, "float32", operation, (x,), judge, 2 * books.numel() * rows, moved, cold)


@pytest.mark.parametrize("rows", [8, 500, 25000] if GPU else [8])
def test_rvq_decode(benchmark, record_kernel, rows):
    model = default_model()
    projection = copy.deepcopy(model.fc2).to_empty(device=DEVICE)
    spread(projection)
    operation = _frozen(Decode(list(_search().codebooks), projection))
    codes = torch.randint(model.config.codebook_size, (rows, len(operation.codebooks)), device=DEVICE)
    # What must be read is a table of C values an entry, or those of its rows that the codes name.
    size, channels = model.config.codebook_size, projection.out_features
    moved = codes.nbytes + 4 * channels * (min(rows, size) * codes.shape[1] + rows + 1)
    judge = _judged(operation, (codes,), "float32")
    label = f"RVQ decode, {rows} rows"
    _compare(benchmark, record_kernel, label, "float32", operation, (codes,), judge, 0, moved, False)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("mode", "size"), MODES, ids=_named)
def test_layer(benchmark, record_kernel, name, mode, size):
    (batch, duration), (make, rate) = size, LAYERS[name]
    operation: Any = make().to_empty(device=DEVICE)
    spread(operation)
    _frozen(operation.to(DTYPES[mode]))
    is_unit = isinstance(operation, Unit)
    channels, count = (operation.conv1.in_channels, 2) if is_unit else (operation.conv.in_channels, 1)
    inputs = tuple(_random(batch, channels, round(rate * duration), dtype=DTYPES[mode]) for _ in range(count))
    with torch.inference_mode(), precision_set(mode):
        tensors = (*inputs, *operation.parameters(), *operation(*inputs))
    if GPU:
        kernels = "ieee" if mode == "bfloat16" or torch.version.hip else "tf32x3" if mode == "float32" else "tf32"
        with precision_set(mode):
            assert precision(inputs[0]) == kernels
    moved, flops = sum(tensor.nbytes for tensor in tensors), 2 * operation.products(*inputs)
    label = f"{name}, {batch} x {duration:g} s"
    judge = _judged(operation, inputs, mode)
    _compare(benchmark, record_kernel, label, mode, operation, inputs, judge, flops, moved, False)


@pytest.mark.parametrize("channels", [64, 512])
@pytest.mark.parametrize(("mode", "size"), SNAKES, ids=_named)
def test_snake(benchmark, record_kernel, channels, mode, size):
    batch, duration = size
    operation = Snake(channels).to(DEVICE)
    spread(operation)
    _frozen(operation.to(DTYPES[mode]))
    # As many positions as that level of the decoder has.
    rate = LAYERS[f"unit {channels} d9"][1]
    x = _random(batch, channels, round(rate * duration), dtype=DTYPES[mode])
    label = f"Snake {channels}, {batch} x {duration:g} s"
    _compare(
        benchmark, record_kernel, label, mode, operation, (x,), _judged(operation, (x,), mode), 0, 2 * x.nbytes, False
    )


def _compare(
    benchmark: Any,
    record: Callable[..., None],
    label: str,
    mode: str,
    operation: Any,
    inputs: tuple[Tensor, ...],
    judge: Callable[[str, tuple[Tensor, ...]], float],
    flops: int,
    moved: int,
    cold: bool,
) -> None:
    """Judges the three, then times them in turns, and records what that says."""
    torch.compiler.reset()
    graphs_itself = GPU and isinstance(operation, Search)
    compiled = torch.compile(operation, mode="reduce-overhead" if graphs_itself else None, dynamic=False)
    ours_inputs = inputs if isinstance(operation, Search | Decode) else tuple(map(_channels_last, inputs))
    for tensor in inputs if graphs_itself else ():
        torch._dynamo.mark_static_address(tensor)  # or each of its replays would begin with a copy
    with torch.inference_mode(), precision_set(mode):
        with backend("triton" if GPU or INTERPRETED else "torch"):
            contenders: dict[str, Any] = {"ours": Captured(lambda: operation.ours(*ours_inputs))}
        contenders["eager"] = Captured(lambda: operation(*inputs))
        contenders["compiled"] = (Launched if graphs_itself else Captured)(lambda: compiled(*inputs))
        errors = {name: judge(name, contender.outputs) for name, contender in contenders.items()}
        spent: dict[str, list[float]] = {name: [] for name in contenders}

        def timed(name: str) -> None:
            global _device_seconds
            with backend("triton" if name == "ours" and INTERPRETED else "torch"):
                spent[name].append(seconds(contenders[name].run, cold))
            if name == "ours":
                _device_seconds += spent[name][-1]

        def rivals() -> None:
            timed("eager")
            timed("compiled")

        benchmark.pedantic(timed, args=("ours",), setup=rivals, rounds=ROUNDS, warmup_rounds=3 if GPU else 1)
    took = {name: statistics.median(times[-ROUNDS:]) for name, times in spent.items()}
    numbers: dict[str, float] = {f"{name} (ms)": 1000 * value for name, value in took.items()}
    numbers |= {f"{name} / ours": took[name] / took["ours"] for name in ("eager", "compiled")}
    numbers |= {"GB/s": moved / took["ours"] / 1e9, "of copy": moved / took["ours"] / copy_rate()}
    if flops:
        numbers |= {"TFLOP/s": flops / took["ours"] / 1e12, "of matmul": flops / took["ours"] / matmul_rate(mode)}
    benchmark.extra_info.update(numbers, errors=errors, mode=mode, bytes=moved, flops=flops)
    record(label, mode, numbers, errors["ours"])
    contenders.clear()
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()


def _judged(operation: nn.Module, inputs: tuple[Tensor, ...], mode: str) -> Callable[[str, tuple[Tensor, ...]], float]:
    """Compares outputs with the operation's formula in float64."""
    exact = copy.deepcopy(operation).double()
    with torch.inference_mode():
        expected = exact(*(x.double() if x.is_floating_point() else x for x in inputs))
    wanted = expected if isinstance(expected, tuple) else (expected,)
    return lambda who, outputs: assert_agreement(wanted, outputs, TOLERANCE[mode] * (1 if who == "ours" else 5), who)


@cache
def _search() -> Search:
    """With codebooks that are filled as the tests fill them: what a stage meets, blurred."""
    quantizer = copy.deepcopy(default_model().quantizer).to_empty(device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        fill_codebooks(quantizer, torch.randn(2048, default_model().config.codebook_dim))
    operation = Search([entries.to(DEVICE) for entries in quantizer.codebooks])
    return _frozen(operation)


def _frozen(operation: Any) -> Any:
    return operation.requires_grad_(False).eval()


def _random(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, device=DEVICE).to(dtype)


def _channels_last(x: Tensor) -> Tensor:
    return x.transpose(1, 2).contiguous().transpose(1, 2)
