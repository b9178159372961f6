"""Which implementation of an operation runs: PyTorch's, or the Triton kernels."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from xcodec_fast.plain import why_not_plain

BACKENDS = ("torch", "triton")
VARIABLE = "XCODEC_FAST_BACKEND"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_cudnn: Any = torch.backends.cudnn  # whose type stubs lack `conv`
_forced: ContextVar[str | None] = ContextVar("backend", default=None)


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Forces "torch" or "triton" within a `with` block, over the environment variable XCODEC_FAST_BACKEND.

    Without either, Triton runs what lies on a GPU (NVIDIA's from compute capability 8.0 on) in float32, bfloat16 or
    float16, and PyTorch the rest: other types, the CPU, autocast, function transforms (torch.func), forward-mode
    gradients, subclasses of Tensor. Forced, "triton" raises ValueError on all these; it takes CPU tensors where
    TRITON_INTERPRET=1 was set before triton was imported. Under torch.compile it is PyTorch's branch that is compiled.
    Convolutions and linear layers with hooks, or of a class of their own, are called, whatever is forced. On a CPU,
    unless something is forced, oneDNN or BLAS computes what suits them (`cpu.py`).

    Raises ValueError on another name.
    """
    token = _forced.set(_checked(name, "the backend"))
    try:
        yield
    finally:
        _forced.reset(token)


def forced_backend() -> str | None:
    """What `backend` or the environment forces. Raises ValueError where that is no backend."""
    forced = _forced.get()
    if forced is None and (set_outside := os.environ.get(VARIABLE)):
        forced = _checked(set_outside, VARIABLE)
    return forced


def uses_triton(x: Tensor, *others: Tensor | nn.Module | None) -> bool:
    """Whether an operation on x, with other tensors and the parameters of layers, runs as a kernel.

    Raises ValueError where "triton" is forced and cannot.
    """
    if torch.compiler.is_compiling():
        return False
    forced = forced_backend()
    if forced == "torch" or (forced is None and not x.is_cuda):
        return False
    reason = _why_not(x) or _what_is_lost(x, *others)
    if reason and forced:
        raise ValueError(f"the backend is 'triton', but {reason}")
    return not reason


def _checked(name: str, what: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{what} is {name!r}, but must be one of {BACKENDS}")
    return name


def _why_not(x: Tensor) -> str:
    if not _has_triton():
        return "triton is not installed"
    if x.device.type == "cpu" and not _interpreted():
        return "the tensor is on the CPU, which Triton takes under TRITON_INTERPRET=1 only"
    if x.device.type not in ("cuda", "cpu"):
        return f"the tensor is on {x.device}, but must be on a CUDA or ROCm device"
    if x.is_cuda and _is_old(x.device):
        return f"{torch.cuda.get_device_name(x.device)} is older than compute capability 8.0"
    if x.dtype not in _DTYPES or (x.dtype == torch.bfloat16 and x.device.type == "cpu"):
        return f"the tensor is {x.dtype}, but must be one of {list(map(str, _DTYPES))} (no bfloat16 in the interpreter)"
    return ""


def _what_is_lost(x: Tensor, *others: Tensor | nn.Module | None) -> str:
    if torch.is_autocast_enabled(x.device.type):
        return "autocast, which picks a type for each operation, is on"
    tensors: list[Tensor | None] = [x]
    for other in others:
        if isinstance(other, nn.Module):  # parametrized ones have their parameters in submodules
            tensors += other.parameters() if other._modules else other._parameters.values()
        else:
            tensors.append(other)
    return why_not_plain(tensors)


@cache
def _is_old(device: torch.device) -> bool:
    return not torch.version.hip and torch.cuda.get_device_capability(device) < (8, 0)


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _interpreted() -> bool:
    from triton import knobs

    return bool(knobs.runtime.interpret)


def precision(x: Tensor) -> str:
    """How float32 is multiplied: "tf32", "tf32x3" (as good as float32), or "ieee"; from PyTorch's setting for convs.

    Where PyTorch asks for IEEE, NVIDIA's tensor cores reach it with three TF32 products; AMD's have no such mode.
    """
    if x.dtype != torch.float32 or not x.is_cuda or torch.version.hip:
        return "ieee"
    return "tf32" if _allows_tf32() else "tf32x3"


def arithmetic(x: Tensor) -> tuple[object, ...]:
    """All that decides how operations on x, and products with it, are carried out."""
    products = torch.backends.cuda.matmul.fp32_precision
    return forced_backend(), precision(x), products, torch.is_autocast_enabled(x.device.type)


def _allows_tf32() -> bool:
    try:
        return _cudnn.conv.fp32_precision == "tf32"
    except RuntimeError:  # settings of the old and the new kind were mixed
        return torch.backends.cudnn.allow_tf32


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Callable[..., Any], formula: Callable[..., Any], *tensors: Tensor | None) -> Any:
        ctx.formula = formula
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return kernels(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if torch.is_grad_enabled():  # create_graph=True: what is computed below would count as constant
            raise RuntimeError("the kernels have no second derivatives: compute them within backend('torch')")
        wanted = ctx.needs_input_grad[2:]
        with torch.enable_grad():
            inputs = [
                None if tensor is None else tensor.detach().requires_grad_(wants)
                for tensor, wants in zip(ctx.saved_tensors, wanted, strict=True)
            ]
            outputs = ctx.formula(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        # An output may depend on no input that wants a gradient: y does not on the alpha of the Snake after it.
        given = [
            (out, gradient)
            for out, gradient in zip(outputs, gradients, strict=True)
            if gradient is not None and out.requires_grad
        ]
        if not given:
            return None, None, *(None for _ in wanted)
        leaves = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
        roots, at_roots = zip(*given, strict=True)
        found = iter(torch.autograd.grad(roots, leaves, at_roots, allow_unused=True))
        return None, None, *(next(found) if wants else None for wants in wanted)


def with_gradients(kernels: Callable[..., Any], formula: Callable[..., Any], *tensors: Tensor | None) -> Any:
    """kernels(*tensors), whose gradients are those of formula(*tensors), computed anew in the backward pass."""
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return _Recomputed.apply(kernels, formula, *tensors)
    return kernels(*tensors)
