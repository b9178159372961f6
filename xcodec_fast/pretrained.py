"""Models as checkpoints: `from_pretrained`, `save_pretrained`, and where and of what type the weights are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from xcodec_fast.checkpoint import load_state_dict, read_state_dict, write_checkpoint
from xcodec_fast.config import XcodecConfig
from xcodec_fast.derived import forget_derived_from
from xcodec_fast.hub import Source


class PretrainedModel(nn.Module):
    """A model made from an `XcodecConfig` alone.

    model_id: the embedded model, the hub id, or the folder's name that it was loaded from; "" for a new one.
    """

    config: XcodecConfig
    model_id: str = ""

    def __init__(self, config: XcodecConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' type, which audio must have too."""
        return next(self.parameters()).dtype

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Or memory on the device that is left would be held on to. What other models have, their CUDA graphs may read.
        forget_derived_from([*self.parameters(), *self.buffers()])
        return super()._apply(fn, recurse)

    @classmethod
    @torch.inference_mode(False)  # else what is loaded within such a mode could never be trained or decoded outside
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | int | None = None,
        device_map: torch.device | str | int | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> Self:
        """Loads a checkpoint, in eval mode.

        Args:
            name_or_path: an embedded model ("xcodec-tiny"), else a folder, else a hub id.
            dtype: None for the one that config.json names, else the weights'; `torch_dtype` is its older name.
            device: where to; `device_map` is the reference's name for it, "auto" the first GPU, else the CPU.
            revision, cache_dir, token, subfolder, local_files_only: of the hub.
            trust_remote_code: accepted, never acted on.

        Raises:
            FileNotFoundError: no such checkpoint, or a file of it is missing.
            ValueError: a damaged file, a required tensor missing or of another shape, an unknown dtype.
        """
        source = Source(name_or_path, revision, cache_dir, token, subfolder, local_files_only)
        placement = _as_device(device, device_map)
        config = XcodecConfig.from_source(source)
        state = read_state_dict(source)
        stored = next(tensor.dtype for tensor in state.values() if tensor.is_floating_point())
        named = config.dtype or getattr(config, "torch_dtype", None)
        with torch.device("meta"):
            model = cls(config)
        load_state_dict(model, state, _as_dtype(dtype, torch_dtype, named) or stored, placement)
        model.model_id = source.model_id()
        return model.eval()

    def save_pretrained(self, save_directory: str | Path, *, max_shard_size: int | str = "5GB") -> None:
        """Writes config.json and safetensors that the reference loads too, into a folder, created if need be.

        A file of an earlier save is replaced when the new one is whole.
        """
        write_checkpoint(self.state_dict(), self.config, self.dtype, save_directory, max_shard_size)


def _as_device(device: Any, device_map: Any) -> torch.device:
    if device is not None and device_map is not None:
        raise ValueError(f"give device ({device!r}) or device_map ({device_map!r}), not both")
    chosen = device if device is not None else device_map
    if chosen is None:
        return torch.device("cpu")
    if chosen == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if isinstance(chosen, bool) or not isinstance(chosen, str | int | torch.device):
        raise TypeError(f"device_map must be one device or 'auto', but is {chosen!r}")
    allowed = "'cpu', 'cuda', 'cuda:N', 'mps' or another of torch's devices, a GPU's number, or 'auto'"
    try:
        named = torch.device(chosen)
    except RuntimeError as error:
        # Numbers name the devices of the accelerator that is there.
        reason = "there is no GPU" if isinstance(chosen, int) else f"it must be {allowed}"
        raise ValueError(f"device {chosen!r} cannot be used: {reason}") from error
    try:
        return torch.empty(0, device=named).device
    except (RuntimeError, AssertionError) as error:  # torch's own kinds for "not there" and "built without it"
        first = str(error).splitlines()[0].partition(". ")[0].removesuffix(".")
        raise ValueError(f"device {chosen!r} cannot be used: {first}") from error


def _as_dtype(*candidates: torch.dtype | str | None) -> torch.dtype | None:
    for candidate in candidates:
        if candidate is None or candidate == "auto":
            continue
        found = getattr(torch, candidate.removeprefix("torch."), None) if isinstance(candidate, str) else candidate
        if not isinstance(found, torch.dtype) or not found.is_floating_point:
            raise ValueError(f"dtype is {candidate!r}, but must be a floating-point type such as 'float32', 'bfloat16'")
        return found
    return None
