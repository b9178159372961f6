"""What makes a captured step stale, as far as it can be told without a GPU."""

import copy

import pytest
import torch

from xcodec_fast import backend, dispatch
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


def _layer_replaced(model):
    model.fc2 = copy.deepcopy(model.fc2)


def _bias_added(model):
    assert model.acoustic_decoder.conv2.bias is not None
    model.fc2.bias = None
    basis = Basis(model)
    model.fc2.bias = torch.nn.Parameter(torch.zeros(model.fc2.out_features))
    assert basis.has_changed()


def _written_through_data(model):
    model.fc.weight.data.mul_(2)
    forget_derived()


def _fused_step(model):
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    torch.optim.SGD([model.fc.weight], lr=0.1, fused=True).step()


def _moved(model):
    model.to("cpu")


@pytest.mark.parametrize(
    "change", [_written_in_place, _replaced, _layer_replaced, _bias_added, _written_through_data, _fused_step, _moved]
)
def test_a_changed_model_is_noticed(model, change):
    basis = Basis(model)
    change(model)
    assert basis.has_changed()
    assert not Basis(model).has_changed()


def test_use_is_no_change(model, speech):
    basis = Basis(model)
    model.decode(model.encode(speech[None, None, :3200]).audio_codes)
    assert not basis.has_changed()


def test_another_models_training_is_no_change(model):
    basis, other = Basis(model), torch.nn.Parameter(torch.ones(3))
    other.grad = torch.ones(3)
    torch.optim.SGD([other], lr=0.1, fused=True).step()
    torch.nn.Linear(2, 2).double()
    copy.deepcopy(model).double()
    assert not basis.has_changed()


def test_other_arithmetic_is_noticed(model, monkeypatch):
    basis = Basis(model)
    with backend("torch"):
        assert basis.has_changed()
    with torch.autocast("cpu", torch.bfloat16):
        assert basis.has_changed()
    assert not basis.has_changed()
    products = torch.backends.cuda.matmul
    before, products.fp32_precision = products.fp32_precision, "tf32"
    try:
        assert basis.has_changed()
    finally:
        products.fp32_precision = before
    assert not basis.has_changed()
    monkeypatch.setattr(dispatch, "precision", lambda x: "tf32" if x is next(model.parameters()) else "")
    assert basis.has_changed()
