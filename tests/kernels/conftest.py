"""Fixtures: where the kernels run, and in which order their programs do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import triton
from torch import Tensor

from xcodec_fast.kernels import layouts

from .guards import Guards, reversed_grid

INTERPRETED = triton.knobs.runtime.interpret
# How float32 is multiplied. The interpreter multiplies exactly; of "tf32" it shows the rounding before.
PRECISIONS = ["ieee"] if torch.version.hip else ["ieee", "tf32", "tf32x3"]


def as_read(operand: Tensor, precision: str) -> Tensor:
    """An operand in float64, as a product of this precision reads it."""
    return (layouts.to_tf32(operand.float()) if precision == "tf32" else operand).double()


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture
def guards() -> Iterator[Guards]:
    """While it lasts, what kernels write to is poisoned and has margins, which are checked at the end."""
    with Guards() as active:
        yield active
    assert active.buffers, "no kernel has asked for memory in a way that is guarded"


@pytest.fixture(params=["forward", "backward"] if INTERPRETED else ["device"])
def order(request: pytest.FixtureRequest) -> Iterator[str]:
    """The order of the programs of a launch. The interpreter has one, hiding races; they show in the reverse."""
    if request.param == "backward":
        with reversed_grid():
            yield request.param
    else:
        yield request.param
