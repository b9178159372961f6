"""A layer that is more than its formula is called, and a tensor that is more than its values stays with PyTorch."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations
from triton import knobs

from xcodec_fast import backend, dispatch
from xcodec_fast.functional import conv1d, residual_unit, snake
from xcodec_fast.linears import projections
from xcodec_fast.search import projected_sum, residual_codes

pytestmark = pytest.mark.skipif(not knobs.runtime.interpret, reason="kernels run on CPU tensors in the interpreter")

X, ALPHA = torch.randn(2, 16, 9), torch.rand(1, 16, 1) + 0.5
CODEBOOKS = list(torch.randn(3, 8, 16))
CODES = torch.randint(8, (5, 3))
LAYERS = {
    "conv": lambda: nn.Conv1d(16, 16, 3, padding=1),
    "transposed": lambda: nn.ConvTranspose1d(16, 16, 4, stride=2),
    "unit": lambda: nn.Conv1d(16, 16, 1),
    "projections": lambda: nn.Linear(16, 16),
    "sum": lambda: nn.Linear(16, 12),
}
OTHER = nn.Conv1d(16, 16, 7, padding=3)
RUN = {
    "conv": lambda layer, x: conv1d(x, layer, then=ALPHA),
    "transposed": lambda layer, x: conv1d(x, layer, then=ALPHA),
    "unit": lambda layer, x: residual_unit(x, snake(x, ALPHA), OTHER, ALPHA, layer, ALPHA),
    "projections": lambda layer, x: projections(x.transpose(1, 2), layer, layer),
    "sum": lambda layer, x: (projected_sum(CODES, CODEBOOKS, layer),),
}
operations = pytest.mark.parametrize("operation", LAYERS)


class Marked(torch.Tensor):
    pass


def _own_class(layer, calls):
    def forward(self, x):
        calls.append("class")
        return 2 * plain.forward(self, x)

    plain = type(layer)
    layer.__class__ = type("Own", (plain,), {"forward": forward})


def _own_forward(layer, calls):
    def forward(x):
        calls.append("instance")
        return 2 * type(layer).forward(layer, x)

    layer.forward = forward


def _own_weight(layer, calls):
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight
    calls.append("nothing to be called")


def _old_weight_norm(layer, calls):
    nn.utils.weight_norm(layer)
    layer.weight_g.data.mul_(2)  # reaches the weight in a pre-hook
    layer.register_forward_hook(lambda *_: calls.append("old weight norm"))


CHANGES = {
    "a forward hook": lambda layer, calls: layer.register_forward_hook(lambda *_: calls.append("hook") or 2 * _[2]),
    "a forward pre-hook": lambda layer, calls: layer.register_forward_pre_hook(
        lambda *_: calls.append("hook") or (2 * _[1][0],)
    ),
    "a backward hook": lambda layer, calls: layer.register_full_backward_hook(lambda *_: calls.append("hook")),
    "a backward pre-hook": lambda layer, calls: layer.register_full_backward_pre_hook(lambda *_: calls.append("hook")),
    "a class of its own": _own_class,
    "a forward of its own": _own_forward,
    "a weight that is no parameter": _own_weight,
    "the old weight norm": _old_weight_norm,
}


def _total(outputs):
    return sum(out.square().sum() for out in outputs)


@operations
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_layer_that_is_more_than_its_formula_is_called(operation, change):
    layer = LAYERS[operation]()
    calls: list[str] = []
    CHANGES[change](layer, calls)
    expected = RUN[operation](layer, X)
    _total(expected).backward()
    times = len(calls)
    assert times > 0
    with backend("triton"):
        actual = RUN[operation](layer, X)
        _total(actual).backward()
    assert len(calls) == times * (1 if change == "a weight that is no parameter" else 2)
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted)


@operations
def test_hooks_of_all_modules_are_called(operation):
    layer = LAYERS[operation]()
    calls: list[str] = []
    handle = register_module_forward_hook(lambda *_: calls.append("hook"))
    try:
        RUN[operation](layer, X)
        times = len(calls)
        with backend("triton"):
            RUN[operation](layer, X)
    finally:
        handle.remove()
    assert len(calls) == 2 * times > 0


@operations
def test_a_parametrized_layer_is_read_through_its_weight(operation, launched):
    layer = parametrizations.weight_norm(LAYERS[operation]())
    layer.parametrizations.weight.original0.data.mul_(2)
    expected = RUN[operation](layer, X)
    gradients = torch.autograd.grad(_total(expected), list(layer.parameters()))
    with backend("triton"):
        actual = RUN[operation](layer, X)
        found = torch.autograd.grad(_total(actual), list(layer.parameters()))
    assert launched or operation == "projections"
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-3)


@operations
def test_forward_mode_gradients_of_weights_are_refused_if_forced(operation):
    layer = LAYERS[operation]()
    names = {name: value.detach() for name, value in layer.named_parameters()}

    def called(weight):
        tensors = {**names, "weight": weight}
        return torch.func.functional_call(_Operation(operation, layer), {f"layer.{n}": t for n, t in tensors.items()})

    tangent = torch.randn_like(names["weight"])
    transforms = (
        lambda: torch.func.jvp(called, (names["weight"],), (tangent,)),
        lambda: torch.func.grad(called)(names["weight"]),
        lambda: torch.func.vmap(called)(torch.stack([names["weight"]] * 2)),
    )
    for transform in transforms:
        transform()
        with (
            backend("triton"),
            pytest.raises(ValueError, match="but a function transform is under way"),
        ):
            transform()
    with forward_ad.dual_level():
        layer = copy.deepcopy(layer)
        weight = forward_ad.make_dual(names["weight"], tangent)
        with (
            backend("triton"),
            pytest.raises(ValueError, match="but a tensor carries a forward-mode tangent"),
        ):
            called(weight)
        assert forward_ad.unpack_dual(called(weight)).tangent is not None


class _Operation(nn.Module):
    def __init__(self, operation, layer):
        super().__init__()
        self.operation, self.layer = operation, layer

    def forward(self):
        return _total(RUN[self.operation](self.layer, X))


def _dual(tensor):
    return forward_ad.make_dual(tensor, torch.ones_like(tensor))


@pytest.mark.parametrize(
    ("kind", "words"),
    [(_dual, "carries a forward-mode tangent"), (lambda tensor: tensor.as_subclass(Marked), "is a Marked")],
)
def test_every_tensor_that_takes_part_is_looked_at(kind, words):
    conv = nn.Conv1d(16, 16, 1)
    with forward_ad.dual_level():
        alpha, x = kind(ALPHA), kind(X)
        calls = (
            lambda: snake(x, ALPHA),
            lambda: snake(X, alpha),
            lambda: conv1d(X, conv, then=alpha),
            lambda: conv1d(X, conv, skip=x),
            lambda: residual_unit(X, X, OTHER, alpha, conv, ALPHA),
            lambda: residual_unit(X, x, OTHER, ALPHA, conv, ALPHA),
            lambda: projected_sum(CODES, [*CODEBOOKS[:2], kind(CODEBOOKS[2])], nn.Linear(16, 12)),
            lambda: residual_codes(X[0].t(), [*CODEBOOKS[:2], kind(CODEBOOKS[2])]),
        )
        for call in calls:
            call()
            with backend("triton"), pytest.raises(ValueError, match=f"the backend is 'triton', but a tensor {words}"):
                call()


def test_autocast_is_refused_if_forced():
    with torch.autocast("cpu", torch.bfloat16), backend("triton"):
        with pytest.raises(ValueError, match="the backend is 'triton', but autocast, which picks"):
            conv1d(X, OTHER)
        with torch.autocast("cpu", enabled=False):
            conv1d(X, OTHER)


def test_unforced_on_a_gpu_they_stay_with_pytorch(monkeypatch):
    """On CPU tensors that say that they lie on one."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(dispatch, "_is_old", lambda device: False)
    conv = nn.Conv1d(16, 16, 1)
    assert dispatch.uses_triton(X, ALPHA, conv, None)
    assert not dispatch.uses_triton(X, ALPHA.as_subclass(Marked))
    with forward_ad.dual_level():
        assert not dispatch.uses_triton(X, conv, _dual(ALPHA))
    with torch.autocast("cpu", torch.bfloat16):
        assert not dispatch.uses_triton(X)
    assert torch.func.vmap(lambda alpha: alpha * dispatch.uses_triton(X))(ALPHA).eq(0).all()


def test_codebooks_that_want_a_gradient_get_one(launched):
    codebooks = [codebook.clone().requires_grad_() for codebook in CODEBOOKS]
    frozen = nn.Linear(16, 12).requires_grad_(False)
    expected = torch.autograd.grad(projected_sum(CODES, codebooks, frozen).square().sum(), codebooks)
    assert launched == []
    with backend("triton"):
        actual = torch.autograd.grad(projected_sum(CODES, codebooks, frozen).square().sum(), codebooks)
    assert launched == ["rvq_decode"]
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("biases", [(True, True), (False, False), (False, True), (True, False)])
def test_projections_with_and_without_biases(biases):
    linears = [nn.Linear(16, 3 + index, bias) for index, bias in enumerate(biases)]
    x = X.transpose(1, 2)
    with torch.no_grad(), backend("triton"):
        for _ in range(2):
            torch.testing.assert_close(projections(x, *linears), tuple(linear(x) for linear in linears))
