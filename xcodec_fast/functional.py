"""One function per operation of the model: its formula, its PyTorch branch, and where a Triton kernel takes over.

The PyTorch branch is the specification, and what the kernels are tested against and differentiated by. A CPU takes it
with gradients; without, `cpu`.
Tensors are `[B, C, T]` at every edge; the kernels' results are channels-last in memory, so that one after the other
nothing is copied.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec_fast import cpu
from xcodec_fast.derived import derived
from xcodec_fast.dispatch import precision, uses_triton, with_gradients
from xcodec_fast.intervals import Interval, keep
from xcodec_fast.kernels import layouts
from xcodec_fast.plain import is_plain, keeps_its_weight

# Kernels, unlike the layouts of their weights, are imported where they run: Triton may be absent.

Then = Tensor | Literal["gelu", "elu"] | None  # what follows: Snake with this alpha, "gelu", "elu", or nothing


def snake(x: Tensor, alpha: Tensor) -> Tensor:
    """x + sin(alpha x)^2 / (alpha + 1e-9), channel by channel (Snake, arXiv 2006.08195, as in DAC).

    x: `[B, C, T]`; alpha: `[1, C, 1]`.
    """
    if uses_triton(x, alpha):
        from xcodec_fast.kernels import snake as kernel

        return with_gradients(
            lambda x, alpha: kernel.snake(_rows(x), alpha.flatten()).transpose(1, 2), _snake, x, alpha
        )
    return _snake(x, alpha)


def _snake(x: Tensor, alpha: Tensor) -> Tensor:
    if alpha.dtype == torch.float16:  # which holds neither 1e-9 nor 1e9: alpha = 0 is to give x in it too
        inverse = (alpha.float() + 1e-9).reciprocal().clamp(-65504, 65504).half()
    else:
        inverse = (alpha + 1e-9).reciprocal()
    if torch.is_grad_enabled() and (x.requires_grad or alpha.requires_grad):
        return x + inverse * torch.sin(alpha * x).square()
    # One buffer instead of four: the CPU decodes 10 s 1.28 times as fast, 1 s 1.11 times.
    return (x * alpha).sin_().square_().mul_(inverse).add_(x)


def conv1d(
    x: Tensor,
    conv: nn.Conv1d | nn.ConvTranspose1d,
    interval: Interval | None = None,
    *,
    skip: Tensor | None = None,
    then: Then = None,
    keep_y: bool = True,
    padding: int | None = None,
) -> tuple[Any, Any]:
    """y = conv(x) + skip, s = then(y). `[B, C, T]` -> `[B, C', T']` twice; None for what is not asked for.

    conv: an nn.Conv1d, or an nn.ConvTranspose1d of kernel 2 * stride; interval: of x, which counts as zero outside;
    padding: in place of the layer's own and of its output padding.
    """
    alpha, kind = (then, None) if isinstance(then, Tensor) else (None, then)
    if not _has_kernel(conv) or not uses_triton(x, conv, skip, alpha, *_bounds(interval)):
        x = keep(x, interval)
        if _suits_cpu(x, conv, skip):
            return _on_cpu(x, conv, skip, then, keep_y, padding)
        if padding is None:
            y = conv(x)
        elif is_plain(conv, but_for_global_hooks=True):
            y = _convolved(x, conv, conv.weight, conv.bias, padding)
        else:
            raise TypeError(f"a stream reads a layer's weight, but {conv} has hooks, or a class or forward of its own")
        y = y if skip is None else y + skip
        return y if keep_y else None, _activated(y, then)

    def formula(x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor | None, alpha: Tensor | None) -> Any:
        y = _convolved(keep(x, interval), conv, weight, bias, padding)
        y = y if skip is None else y + skip
        s = _activated(y, kind if alpha is None else alpha)
        return tuple(out for out in (y if keep_y else None, s) if out is not None)

    def kernels(x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor | None, alpha: Tensor | None) -> Any:
        outputs = _conv_kernel(x, conv, weight, bias, interval, skip, kind, alpha, keep_y, padding)
        return tuple(out.transpose(1, 2) for out in outputs if out is not None)

    outputs = iter(with_gradients(kernels, formula, x, conv.weight, conv.bias, skip, alpha))
    return next(outputs) if keep_y else None, None if then is None else next(outputs)


def _suits_cpu(x: Tensor, conv: Any, skip: Tensor | None) -> bool:
    may = x.ndim == 3 and _has_kernel(conv) and keeps_its_weight(conv)
    return may and cpu.suits((conv.weight, conv.bias), x, skip)


def _has_kernel(conv: Any) -> bool:
    """Plain convolutions, and transposed ones of two taps; an adapter in a layer's place computes for itself.

    Of a transposed one, output padding beyond the padding asks for positions that no tap reaches.
    """
    if not is_plain(conv) or isinstance(conv.padding, str):
        return False
    if isinstance(conv, nn.ConvTranspose1d):
        two_taps = conv.kernel_size[0] == 2 * conv.stride[0] and conv.dilation[0] == 1
        return conv.groups == 1 and two_taps and conv.output_padding[0] <= int(conv.padding[0])
    return isinstance(conv, nn.Conv1d) and conv.groups == 1 and conv.padding_mode == "zeros"


def _activated(y: Tensor, then: Then) -> Tensor | None:
    if then is None:
        return None
    if isinstance(then, Tensor):
        return _snake(y, then)
    return F.gelu(y) if then == "gelu" else F.elu(y)


def _convolved(
    x: Tensor,
    conv: nn.Conv1d | nn.ConvTranspose1d,
    weight: Tensor,
    bias: Tensor | None,
    padding: int | None = None,
) -> Tensor:
    padding, output_padding = _paddings(conv, padding)
    if isinstance(conv, nn.ConvTranspose1d):
        return F.conv_transpose1d(x, weight, bias, conv.stride[0], padding, output_padding)
    return F.conv1d(x, weight, bias, conv.stride[0], padding, conv.dilation[0])


def _on_cpu(
    x: Tensor,
    conv: nn.Conv1d | nn.ConvTranspose1d,
    skip: Tensor | None,
    then: Then,
    keep_y: bool,
    padding: int | None,
) -> tuple[Tensor | None, Tensor | None]:
    padding, output_padding = _paddings(conv, padding)
    weight, bias, stride = conv.weight, conv.bias, conv.stride[0]
    if isinstance(conv, nn.ConvTranspose1d):
        y = cpu.conv_transpose1d(x, weight, bias, stride, padding, output_padding)
    else:
        y = cpu.conv1d(x, weight, bias, stride=stride, padding=padding, dilation=conv.dilation[0])
    if skip is not None:  # in place: as a part of oneDNN's convolution it makes one of one tap 10 times as slow
        y += skip
    if then == "gelu" and not keep_y:
        return None, torch.ops.aten.gelu_(y)
    return y if keep_y else None, _activated(y, then)


def _paddings(conv: nn.Conv1d | nn.ConvTranspose1d, padding: int | None) -> tuple[int, int]:
    return (int(conv.padding[0]), conv.output_padding[0]) if padding is None else (padding, 0)


def _conv_kernel(
    x: Tensor,
    conv: nn.Conv1d | nn.ConvTranspose1d,
    weight: Tensor,
    bias: Tensor | None,
    interval: Interval | None,
    skip: Tensor | None,
    kind: str | None,
    alpha: Tensor | None,
    keep_y: bool,
    padding: int | None,
) -> tuple[Tensor | None, Tensor | None]:
    from xcodec_fast.kernels import conv1d as kernel

    mode = precision(x)
    padding, output_padding = _paddings(conv, padding)
    options: dict[str, Any] = {
        "stride": conv.stride[0],
        "padding": padding,
        "interval": _span(interval, x),
        "activation": kind if alpha is None else "snake",
        "alpha": None if alpha is None else alpha.flatten(),
        "keep_y": keep_y,
        "precision": mode,
    }
    if isinstance(conv, nn.ConvTranspose1d):
        taps = derived(layouts.two_taps_tf32 if mode == "tf32" else layouts.two_taps, weight)
        return kernel.conv_transpose1d(_rows(x), taps, bias, output_padding=output_padding, **options)
    taps = derived(layouts.by_taps_tf32 if mode == "tf32" else layouts.by_taps, weight)
    skip = None if skip is None else _rows(skip)
    return kernel.conv1d(_rows(x), taps, bias, dilation=conv.dilation[0], skip=skip, **options)


def residual_unit(
    x: Tensor,
    s: Tensor,
    conv1: nn.Conv1d,
    alpha2: Tensor,
    conv2: nn.Conv1d,
    alpha: Tensor,
    interval: Interval | None = None,
    keep_y: bool = True,
) -> tuple[Any, Any]:
    """y = x + conv2(snake(conv1(s), alpha2)), and snake(y, alpha) of the layer that follows.

    x: `[B, C, T]`; s: snake(x), from whoever made x; y, None unless `keep_y`, and its snake: like x.
    """
    if not (_is_whole(conv1, conv2, x.shape[1]) and uses_triton(x, s, conv1, alpha2, conv2, alpha, *_bounds(interval))):
        _, h = conv1d(s, conv1, interval, then=alpha2, keep_y=False)
        return conv1d(h, conv2, skip=x, then=alpha, keep_y=keep_y)

    def formula(x: Tensor, s: Tensor, w1: Tensor, b1: Tensor, a2: Tensor, w2: Tensor, b2: Tensor, a: Tensor) -> Any:
        y = x + _convolved(_snake(_convolved(keep(s, interval), conv1, w1, b1), a2), conv2, w2, b2)
        return (y, _snake(y, a)) if keep_y else (_snake(y, a),)

    def kernels(x: Tensor, s: Tensor, w1: Tensor, b1: Tensor, a2: Tensor, w2: Tensor, b2: Tensor, a: Tensor) -> Any:
        from xcodec_fast.kernels import residual_unit

        mode = precision(x)
        by_taps = layouts.by_taps_tf32 if mode == "tf32" else layouts.by_taps
        outputs = residual_unit.residual_unit(
            _rows(s),
            _rows(x),
            derived(by_taps, w1),
            b1,
            a2.flatten(),
            derived(by_taps, w2).flatten(1),
            b2,
            a.flatten(),
            dilation=conv1.dilation[0],
            interval=_span(interval, x),
            keep_y=keep_y,
            precision=mode,
        )
        return tuple(out.transpose(1, 2) for out in outputs if out is not None)

    tensors = (x, s, conv1.weight, conv1.bias, alpha2, conv2.weight, conv2.bias, alpha)
    *y, s = with_gradients(kernels, formula, *tensors)
    return y[0] if keep_y else None, s


def _is_whole(conv1: Any, conv2: Any, channels: int) -> bool:
    """Whether the kernel of the residual unit computes these layers: biased, of `channels`, the second 1 x 1."""
    if channels not in layouts.UNIT_CHANNELS or not (_has_kernel(conv1) and _has_kernel(conv2)):
        return False
    (taps,), (dilation,) = conv1.kernel_size, conv1.dilation
    same = taps % 2 == 1 and conv1.stride == (1,) and conv1.padding == (dilation * (taps // 2),)
    pointwise = conv2.kernel_size == conv2.stride == (1,) and conv2.padding == (0,)
    widths = {conv1.in_channels, conv1.out_channels, conv2.in_channels, conv2.out_channels}
    return same and pointwise and widths == {channels} and None not in (conv1.bias, conv2.bias)


def _rows(x: Tensor) -> Tensor:
    """`[B, C, T]` -> `[B, T, C]`, contiguous."""
    return x.transpose(1, 2).contiguous()


def _bounds(interval: Interval | None) -> tuple[Tensor, ...]:
    return () if interval is None else (interval.start, interval.length)


def _span(interval: Interval | None, x: Tensor) -> Tensor | None:
    """int32 `[B, 2]`: start and end, within x `[B, C, T]`."""
    if interval is None:
        return None
    return torch.stack([interval.start, interval.start + interval.length], 1).clamp(0, x.shape[2]).int()
