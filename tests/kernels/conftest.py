"""Fixtures: where the kernels run, and in which order their programs do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import triton

from .guards import Guards, reversed_grid

INTERPRETED = triton.knobs.runtime.interpret


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture
def guards() -> Iterator[Guards]:
    """While it lasts, what `torch.empty` gives is poisoned and has margins, which are checked at the end."""
    with Guards() as active:
        yield active


@pytest.fixture(params=["forward", "backward"] if INTERPRETED else ["device"])
def order(request: pytest.FixtureRequest) -> Iterator[str]:
    """The order of the programs of a launch. The interpreter has one, hiding races; they show in the reverse."""
    if request.param == "backward":
        with reversed_grid():
            yield request.param
    else:
        yield request.param
