"""What is computed from parameters follows every change of them, and is neither saved nor copied."""

import copy
import gc
import sys
import threading
import weakref

import pytest
import torch

from xcodec_fast import XcodecModel
from xcodec_fast.derived import derived, forget_derived, kept_by_graph, weights_mark
from xcodec_fast.kernels.layouts import by_taps


@pytest.fixture
def model():
    return XcodecModel.from_pretrained("xcodec-tiny")


def _positional(model):
    return model.semantic_model.encoder.pos_conv_embed


def _state(model, speech):
    """Features, which read the folded positional weight, and codes."""
    audio = speech[None, None, :8000]
    return model._extract_semantic_features(audio), model.quantizer.encode(model._embed(audio).detach())


def _assert_fresh(model, speech):
    cached = _state(model, speech)
    forget_derived()
    fresh = _state(model, speech)
    for was, now in zip(cached, fresh, strict=True):
        assert torch.equal(was, now)


def test_computed_once(model, speech):
    _state(model, speech)
    with torch.no_grad():
        weight = _positional(model)._weight()
        _state(model, speech)
        assert _positional(model)._weight() is weight
    assert not weight.requires_grad
    assert _positional(model)._weight().requires_grad  # where gradients are wanted, nothing is cached


def _fused_optimizer_step(model):
    """Writes the parameters without counting a version."""
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.SGD(model.parameters(), lr=0.1, fused=True).step()


def _optimizer_step(model):
    parameters = [p for p in model.parameters() if p.dtype.is_floating_point]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    torch.optim.SGD(parameters, lr=0.1).step()


def _edit_in_inference_mode(model):
    with torch.inference_mode():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.mul_(1.3)


def _load(model):
    model.load_state_dict({name: tensor * 1.2 for name, tensor in model.state_dict().items()})


def _load_assigned(model):
    model.load_state_dict({name: tensor * 1.2 for name, tensor in model.state_dict().items()}, assign=True)


def _round_trip(model):
    model.to(torch.bfloat16).to(torch.float32)


def _new_codebook(model):
    codebook = model.quantizer.quantizers[0].codebook
    codebook.embed = torch.randn_like(codebook.embed)


CHANGES = [
    _optimizer_step,
    _fused_optimizer_step,
    _edit_in_inference_mode,
    _load,
    _load_assigned,
    _round_trip,
    _new_codebook,
]


@pytest.mark.parametrize("change", CHANGES)
def test_rebuilt_after(model, speech, change):
    before = _state(model, speech)
    change(model)
    _assert_fresh(model, speech)
    assert any(not torch.equal(a, b) for a, b in zip(before, _state(model, speech), strict=True))


def test_parameters_swapped_in_for_one_call_are_used(model):
    """In a loop their memory comes to lie where an earlier call's was."""
    conv, x = _positional(model), torch.randn(1, 20, 32)
    name = "conv.parametrizations.weight.original1"
    with torch.no_grad():
        for _ in range(30):
            direction = torch.randn_like(conv.get_parameter(name))
            called = torch.func.functional_call(conv, {name: direction}, (x,))
            twin = copy.deepcopy(conv)
            twin.get_parameter(name).copy_(direction)
            assert torch.equal(called, twin(x))
            del direction


def test_an_optimizers_step_while_another_thread_derives():
    """It goes through what is kept, to which the other adds."""
    done, parameter = threading.Event(), torch.nn.Parameter(torch.zeros(2))
    sources = [torch.randn(1, 1, 1) for _ in range(20000)]

    def derive():
        for source in sources:
            derived(by_taps, source)
        done.set()

    parameter.grad = torch.ones(2)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread = threading.Thread(target=derive)
        thread.start()
        while not done.is_set():
            optimizer.step()
    finally:
        thread.join()
        sys.setswitchinterval(interval)


def test_gradients_reach_what_is_folded(model):
    conv = _positional(model)
    conv(torch.randn(1, 20, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in conv.parameters())
    torch.func.grad(lambda p: torch.func.functional_call(conv, p, (torch.ones(1, 20, 32),)).sum())(
        {name: p.detach() for name, p in conv.named_parameters()}
    )


def test_weight_norm_may_be_removed(model, speech):
    before = _state(model, speech)[0]
    torch.nn.utils.parametrize.remove_parametrizations(_positional(model).conv, "weight")
    torch.testing.assert_close(_state(model, speech)[0], before, rtol=1e-4, atol=1e-5)


def test_neither_saved_nor_copied(model, speech):
    names = set(model.state_dict())
    _state(model, speech)
    assert set(model.state_dict()) == names
    twin = copy.deepcopy(model)
    with torch.no_grad():
        own = _positional(model)._weight()
        assert _positional(model)._weight() is own
        assert _positional(twin)._weight() is not own


def test_usable_by_autograd_after_inference_mode(model, speech):
    with torch.inference_mode():
        _state(model, speech)
    weight = _positional(model)._weight()
    assert not weight.is_inference()
    assert torch.equal(_state(model, speech)[0], _state(copy.deepcopy(model), speech)[0])


def test_a_model_made_in_inference_mode_is_not_cached(speech):
    with torch.inference_mode():
        model = XcodecModel.from_pretrained("xcodec-tiny")
        _state(model, speech)
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.mul_(1.3)
        _assert_fresh(model, speech)


@pytest.mark.parametrize("taps", [1, 3])
def test_what_was_derived_goes_with_its_parameter(taps):
    weight = torch.nn.Parameter(torch.randn(8, 8, taps))
    with torch.no_grad():
        kept = weakref.ref(derived(by_taps, weight))
    assert kept() is not None
    del weight
    gc.collect()
    assert kept() is None


def test_moving_a_model_leaves_what_others_have(model):
    other = copy.deepcopy(model)
    shared = torch.nn.Parameter(torch.randn(8, 8, 3))
    with torch.no_grad():
        kept, gone = _positional(model)._weight(), weakref.ref(_positional(other)._weight())
        joined = weakref.ref(derived(_added, shared, other.fc.bias))
        other.to("cpu")
        assert gone() is None
        assert joined() is None
        assert _positional(model)._weight() is kept


def _added(x, y):
    return x.sum() + y


def test_tangents_are_not_lost(model):
    conv = _positional(model).conv.parametrizations.weight
    tangent = torch.ones_like(conv.original0)
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        magnitude = torch.autograd.forward_ad.make_dual(conv.original0.detach(), tangent)
        folded = derived(_added, magnitude, conv.original1.detach())
        assert torch.autograd.forward_ad.unpack_dual(folded).tangent is not None


def test_a_captured_graph_reads_and_keeps_what_was_derived_before(monkeypatch):
    weight = torch.nn.Parameter(torch.randn(4, 3, 2))
    with torch.no_grad():
        before = derived(by_taps, weight)
        monkeypatch.setattr("xcodec_fast.derived._is_captured", lambda sources: True)
        assert derived(by_taps, weight) is not before  # belongs to a graph of whose making nothing is known
        with kept_by_graph() as kept:
            assert derived(by_taps, weight) is before
            weight.mul_(2)
            after = derived(by_taps, weight)
    assert torch.equal(after, by_taps(weight))
    assert [value is before for value in kept] == [True]


def test_a_mark_tells_of_changes():
    weight = torch.nn.Parameter(torch.zeros(3))
    marks = [weights_mark([weight])]
    with torch.no_grad():
        weight.add_(1)
    marks.append(weights_mark([weight]))
    weight.data = torch.ones(3)
    marks.append(weights_mark([weight]))
    assert len(set(marks)) == 3
    assert weights_mark([weight]) == marks[-1]


@pytest.mark.parametrize("as_parameter", [False, True])
def test_an_optimizer_drops_what_derives_from_its_own_parameters_and_from_views_of_them(as_parameter):
    whole = torch.nn.Parameter(torch.ones(2, 12))
    with torch.no_grad():
        part, other = whole[1].view(2, 3, 2), torch.nn.Parameter(torch.ones(2, 3, 2))
        part = torch.nn.Parameter(part) if as_parameter else part
        kept, dropped, marks = (
            derived(by_taps, other),
            derived(by_taps, part),
            [weights_mark([t]) for t in (other, part)],
        )
    whole.grad = torch.ones_like(whole)
    torch.optim.SGD([whole], lr=0.1, fused=True).step()
    with torch.no_grad():
        assert derived(by_taps, other) is kept
        assert derived(by_taps, part) is not dropped
    assert [weights_mark([t]) == mark for t, mark in zip((other, part), marks, strict=True)] == [True, False]
