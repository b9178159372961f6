"""What makes a captured step stale, as far as it can be told without a GPU."""

import copy

import pytest
import torch

from xcodec_fast import cuda_graph
from xcodec_fast.cuda_graph import Basis
from xcodec_fast.derived import forget_derived


@pytest.fixture
def model(tiny):
    return copy.deepcopy(tiny)


def _written_in_place(model):
    with torch.no_grad():
        model.fc.weight.mul_(2)


def _replaced(model):
    model.fc.weight = torch.nn.Parameter(model.fc.weight.detach().clone())


def _written_through_data(model):
    model.fc.weight.data.mul_(2)
    forget_derived()


def _fused_step(model):
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    torch.optim.SGD([model.fc.weight], lr=0.1, fused=True).step()


def _moved(model):
    model.to("cpu")


@pytest.mark.parametrize("change", [_written_in_place, _replaced, _written_through_data, _fused_step, _moved])
def test_a_changed_model_is_noticed(model, change):
    basis = Basis(model)
    change(model)
    assert basis.has_changed()
    assert not Basis(model).has_changed()


def test_use_is_no_change(model, speech):
    basis = Basis(model)
    model.decode(model.encode(speech[None, None, :3200]).audio_codes)
    assert not basis.has_changed()


def test_another_precision_is_noticed(model, monkeypatch):
    basis = Basis(model)
    monkeypatch.setattr(cuda_graph, "precision", lambda x: "tf32" if x is next(model.parameters()) else "")
    assert basis.has_changed()
