"""Makes a loaded `transformers.XcodecModel` run on ours, in place, and undoes it.

    hf_model.fc ------------------------------ one torch layer ---- ours.fc
    hf_model.acoustic_encoder.snake1.alpha --- one parameter ------ ours.acoustic_encoder.snake1.alpha
    hf_model.encode, decode, forward --------- answered by -------- ours.encode, decode, forward

Nothing is copied: what trains, moves, casts or loads the one does so to the other.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from xcodec_fast.model import XcodecModel
from xcodec_fast.outputs import ModelOutput, XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec_fast.plain import all_modules

ReferenceModel = TypeVar("ReferenceModel", bound=nn.Module)

_METHODS = ("encode", "decode", "forward")
_OUTPUTS = (XcodecEncoderOutput, XcodecDecoderOutput, XcodecOutput)
_KEY = "_xcodec_fast"
# Layers that both sides have alike. Shared whole, not by their weights, so that weight norm, adapters and hooks that
# are put on them keep working.
_SHARED = (nn.Conv1d, nn.ConvTranspose1d, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.Embedding)


def accelerate(hf_model: ReferenceModel) -> ReferenceModel:
    """Routes `encode`, `decode` and `forward` of a `transformers.XcodecModel` to ours, and returns it.

    It stays an instance of its class with its own parameters, so that saving, training, moving and copying it work as
    before. Outputs are of the reference's classes; with a list of clips or a padding mask, of ours, which have a mask
    too. Hooks and adapters on the model, its convolutions and linear layers are called, those on Snakes and on larger
    modules are not. Not for nn.DataParallel. Once more on the same model is nothing.

    Raises TypeError for another class, and for a subclass that has one of these methods of its own; ValueError where
    its config or layers are not those of an X-Codec.
    """
    reference = _reference_class(hf_model)
    if _KEY in vars(hf_model):
        return hf_model
    own = [name for name in _METHODS if getattr(type(hf_model), name) is not getattr(reference, name)]
    if own:
        raise TypeError(
            f"{type(hf_model).__name__} has {', '.join(own)} of its own, which would not be called any more"
        )
    ours = _model_of(hf_model)
    before = {name: vars(hf_model)[name] for name in _METHODS if name in vars(hf_model)}
    vars(hf_model)[_KEY] = _Swap(ours, all_modules(hf_model), before)
    for name in _METHODS:
        vars(hf_model)[name] = _Route(hf_model, name, sys.modules[reference.__module__])
    return hf_model


def restore(hf_model: ReferenceModel) -> ReferenceModel:
    """Undoes `accelerate`, and returns the model. One that was not accelerated stays as it is.

    Raises TypeError for another class.
    """
    _reference_class(hf_model)
    swap = vars(hf_model).pop(_KEY, None)
    if swap is not None:
        for name in _METHODS:
            if isinstance(vars(hf_model).get(name), _Route):  # else it was set since, and stays
                del vars(hf_model)[name]
                vars(hf_model).update({name: swap.before[name]} if name in swap.before else {})
    return hf_model


@dataclass
class _Swap:
    ours: XcodecModel
    modules: list[nn.Module]  # of the reference, when they were shared
    before: dict[str, Any]  # methods that were set on the instance itself, such as a device hook's


class _Route:
    """One method of the reference's, answered by ours; an object, since it must survive a copy and a pickle."""

    def __init__(self, hf_model: Any, name: str, reference: Any) -> None:
        self.hf_model = hf_model
        self.name = name
        self.outputs = {kind.__name__: getattr(reference, kind.__name__) for kind in _OUTPUTS}
        functools.update_wrapper(self, getattr(vars(hf_model)[_KEY].ours, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        swap = vars(self.hf_model)[_KEY]
        if not torch.compiler.is_compiling():
            modules = all_modules(self.hf_model)
            if modules != swap.modules:  # a layer was replaced since, as adapters do
                swap.ours, swap.modules = _model_of(self.hf_model), modules
        for name in ("return_dict", "target_bandwidths"):  # what a call asks of the config
            setattr(swap.ours.config, name, getattr(self.hf_model.config, name))
        output = getattr(swap.ours, self.name)(*args, **kwargs)
        if not isinstance(output, ModelOutput) or "audio_codes_mask" in output:
            return output
        return self.outputs[type(output).__name__](**output)


def _reference_class(model: Any) -> type:
    """The class that transformers defines, found without importing it."""
    for base in type(model).__mro__:
        if base.__name__ == "XcodecModel" and base.__module__.startswith("transformers."):
            return base
    raise TypeError(
        f"the model must be a transformers.XcodecModel, but is a {type(model).__module__}.{type(model).__name__}"
    )


def _model_of(hf_model: Any) -> XcodecModel:
    with torch.device("meta"):
        ours = XcodecModel(hf_model.config).eval()
    _share(ours, hf_model)
    return ours


def _share(ours: nn.Module, theirs: nn.Module, path: str = "") -> None:
    """Gives our module the layers and tensors of the reference's, name by name."""
    for kind in ("_parameters", "_buffers"):
        if vars(ours)[kind].keys() != vars(theirs)[kind].keys():
            raise ValueError(
                f"{path.rstrip('.') or 'the model'} has the {kind[1:]} {list(vars(theirs)[kind])}, "
                f"but an X-Codec of its config has {list(vars(ours)[kind])}"
            )
        # The dict itself: `.to()` and `load_state_dict(assign=True)` put new tensors into it.
        vars(ours)[kind] = vars(theirs)[kind]
    for name, child in ours.named_children():
        other = theirs._modules.get(name)
        if other is None:
            raise ValueError(f"the model has no {path}{name}, but an X-Codec of its config has")
        if isinstance(child, _SHARED):
            ours._modules[name] = other
        else:
            _share(child, other, f"{path}{name}.")
