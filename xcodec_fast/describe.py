"""What a file of codes or a checkpoint holds, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from xcodec_fast.codes_info import ClipCodes, CodesInfo
from xcodec_fast.config import XcodecConfig
from xcodec_fast.container import SUFFIXES, load_codes
from xcodec_fast.hub import EMBEDDED
from xcodec_fast.model import XcodecModel
from xcodec_fast.words import counted


def describe(name: str) -> Iterator[str]:
    """Lines on a file of codes, or on a model by its name. Raises as `load_codes` and `XcodecConfig` do."""
    path = Path(name)
    is_codes = name not in EMBEDDED and (path.is_file() or path.suffix.lower() in SUFFIXES)
    fields = _codes_fields(path) if is_codes else _model_fields(name)
    for label, value in fields:
        yield f"{label:<16}{value}"


def windows_text(info: CodesInfo) -> str:
    """In what the codes were made."""
    if info.windows is None:
        return "none, encoded at once"
    chunk, left, lookahead = (
        f"{frames * info.hop_length / info.sample_rate:g}"
        for frames in (info.windows.chunk, info.windows.left, info.windows.lookahead)
    )
    return f"of {chunk} s, each with {left} s of context before and {lookahead} s after"


def codes_text(info: CodesInfo) -> str:
    """How many codes there are."""
    return f"{counted(info.quantizers, 'stage')} x {counted(info.frames, 'frame')}, {info.kbps:.2f} kbps"


def size_text(path: Path, info: CodesInfo) -> str:
    """Size of a file of codes, and the bit rate with all that is in it."""
    size = path.stat().st_size
    return f"{size} bytes, {size * 8 / info.seconds / 1000:.2f} kbps in all"


def _codes_fields(path: Path) -> Iterator[tuple[str, str]]:
    info = _load(path).info
    yield "file", f"{path}, {size_text(path, info)}"
    yield "model", info.model_id or "not named"
    yield "codebooks", info.codebooks.hex()
    yield "audio", f"{info.seconds:.3f} s, {counted(info.samples, 'sample')} at {info.sample_rate} Hz"
    yield "original", f"{counted(info.original_samples, 'sample')} at {info.original_rate} Hz"
    yield "codes", codes_text(info)
    yield "windows", windows_text(info)


def _load(path: Path) -> ClipCodes:
    try:
        return load_codes(path)
    except ValueError as error:
        if path.suffix.lower() in SUFFIXES:
            raise
        raise ValueError(f"{error}: give codes, {' or '.join(SUFFIXES)}, or a model's name or folder") from error


def _model_fields(name: str) -> Iterator[tuple[str, str]]:
    config = XcodecConfig.from_pretrained(name)
    with torch.device("meta"):
        model = XcodecModel(config)
    semantic = config.semantic_model_config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    entries = config.num_quantizers * config.codebook_size * config.hidden_size
    yield "model", name
    yield "parameters", f"{parameters:,}"
    yield "codebooks", f"{entries:,} values, which are buffers; {parameters + entries:,} with the parameters"
    yield "audio", f"{config.sample_rate} Hz, mono"
    yield "frames", f"{config.sample_rate / config.hop_length:g} per second, {config.hop_length} samples each"
    yield "codes", f"{config.num_quantizers} stages of {config.codebook_size}, {config.hidden_size} values each"
    yield "bandwidths", f"{', '.join(f'{bandwidth:g}' for bandwidth in config.target_bandwidths)} kbps"
    yield "semantic", f"{semantic.model_type}, {semantic.num_hidden_layers} layers of {semantic.hidden_size}"
