"""What streams should give, by the words of their definition, and ways to cut audio and codes into pushes."""

from __future__ import annotations

import random
from typing import Any

import torch
import torch.nn.functional as F

from xcodec_fast import StreamingXcodec, XcodecModel


def settings_of(model: XcodecModel, chunk: int, left: int, lookahead: int, **more: Any) -> dict[str, Any]:
    """Keywords for frames."""
    frame = 1000 * model.config.hop_length / model.config.sample_rate
    return {"chunk_ms": frame * chunk, "left_context_ms": frame * left, "lookahead_ms": frame * lookahead, **more}


def defined_codes(model, clip, chunk, left, lookahead):
    """Codes of a clip `[T]`: of every window alone, those of its chunk."""
    hop = model.config.hop_length
    frames = -(-len(clip) // hop)
    audio = F.pad(clip, (0, frames * hop - len(clip)))
    kept = []
    for first in range(0, frames, chunk):
        last = min(first + chunk, frames)
        start, stop = max(0, first - left), min(frames, first + chunk + lookahead)
        window = audio[start * hop : stop * hop]
        kept.append(model.encode(window[None, None]).audio_codes[..., first - start : last - start])
    return torch.cat(kept, -1)


def defined_audio(model, codes, chunk, lookahead):
    """Low-latency audio of codes `[1, Q, F]`: of every window alone, that of its chunk, begun with a crossfade."""
    hop, context = model.config.hop_length, model.acoustic_decoder.context()
    frames, kept, tail = codes.shape[-1], [], None
    weight = (torch.arange(hop, dtype=model.dtype) + 0.5) / hop
    for first in range(0, frames, chunk):
        start, last = max(0, first - context), min(frames, first + chunk)
        window = codes[..., start : min(frames, first + chunk + lookahead)]
        audio = model.decode(window).audio_values[..., (first - start) * hop :]
        own = audio[..., : (last - first) * hop].clone()
        if tail is not None and lookahead:
            own[..., :hop] = (1 - weight) * tail + weight * own[..., :hop]
        tail = audio[..., (last - first) * hop :][..., :hop]
        kept.append(own)
    return torch.cat(kept, -1)


def cut(length, seed, sizes):
    """Consecutive (begin, end) of random sizes."""
    rng, begin = random.Random(seed), 0
    while begin < length:
        end = min(length, begin + rng.choice(sizes))
        yield begin, end
        begin = end


def encoded(stream: StreamingXcodec, clip, cuts):
    """Codes of a clip pushed in pieces, and flushed."""
    return torch.cat([*(stream.push(clip[begin:end]) for begin, end in cuts), stream.flush()], -1)


def decoded(stream: StreamingXcodec, codes, cuts):
    """Audio of codes pushed in pieces, and flushed."""
    return torch.cat([*(stream.push_codes(codes[..., begin:end]) for begin, end in cuts), stream.flush_codes()], -1)


def assert_same_state(one, other):
    """Two states, or parts of them, bit for bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


def random_codes(model, frames, stages=None, seed=0):
    """`[1, Q, F]`, of all stages unless told."""
    config = model.config
    shape = (1, stages or config.num_quantizers, frames)
    return torch.randint(0, config.codebook_size, shape, generator=torch.Generator().manual_seed(seed))
