"""Reliability in large numbers: what went wrong, and the memory before and after. `python -m bench.soak`"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from xcodec_fast import StreamingXcodec, StreamingXcodecBatch, StreamSettings, XcodecConfig, XcodecModel
from xcodec_fast.seeding import seeded_model

from .damage import damaged_containers
from .machine import header
from .speech import RATE, speech_clip
from .tally import Count

_FRAME_MS = 20
_ROWS = 16
SMALL = XcodecConfig(
    acoustic_model_config={"encoder_hidden_size": 8, "decoder_hidden_size": 64, "hidden_size": 24},
    semantic_model_config={
        "model_type": "hubert",
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 80,
        "conv_dim": [24] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
)


@torch.inference_mode()
def random_pushes(count: int, clip: Tensor) -> Count:
    """Audio and codes in pieces of random sizes: the codes of `encode(streaming=...)` bit by bit, `decode`'s audio."""
    found, draw = Count(f"random cuts into pushes ({count:,}), each of random settings"), random.Random(1)
    model = seeded_model(SMALL, clip[None, None, :RATE], seed=0)
    decoder_ms = _FRAME_MS * model.acoustic_decoder.context()
    for step in range(count):
        rate = draw.choice((RATE, RATE, RATE, 8000, 44100, 48000))
        settings: dict[str, Any] = {
            "chunk_ms": _FRAME_MS * draw.randint(1, 20),
            "lookahead_ms": _FRAME_MS * draw.choice((0, 0, 1, 5)),
            "left_context_ms": _FRAME_MS * draw.choice((0, 3, 28, 50)),
        }
        exact = draw.random() < 0.5
        lookahead = None if exact else draw.randrange(0, decoder_ms, _FRAME_MS)
        bandwidth = draw.choice(model.config.target_bandwidths)
        more: dict[str, Any] = {"bandwidth": bandwidth, "sample_rate": rate, "decode_lookahead_ms": lookahead}
        begin = draw.randrange(len(clip) - RATE)
        piece = clip[begin : begin + draw.randint(1, RATE // 2)]
        cut = StreamingXcodec(model, **settings, **more)
        codes = _through(cut.push, cut.flush, piece, draw)
        audio = _through(cut.push_codes, cut.flush_codes, codes, draw)
        given, want, streaming = _resampled(piece, rate, RATE), codes[..., :0], StreamSettings(**settings)
        if len(given):
            want = model.encode(given[None, None], bandwidth, streaming=streaming, window_batch=1).audio_codes
        if exact and len(given):
            heard = _resampled(model.decode(want).audio_values[0, 0], RATE, rate)[None, None]
        else:
            once = StreamingXcodec(model, **settings, **more)
            heard = torch.cat([once.push_codes(want), once.flush_codes()], -1)
        found.expect(
            torch.equal(codes, want) and _near(audio, heard), f"{step}: {settings}, {more}, {len(piece)} samples"
        )
        found.remember(step, count)
    return found


def _near(audio: Tensor, heard: Tensor) -> bool:
    """To 1e-4 of the peak; a sample at 48 kHz may be none at 16, and so no audio."""
    if audio.shape != heard.shape or not heard.numel():
        return audio.shape == heard.shape
    return float((audio - heard).abs().max()) <= 1e-4 * float(heard.abs().max())


def _resampled(samples: Tensor, rate: int, target: int) -> Tensor:
    """The whole at once."""
    return samples if rate == target else torch.from_numpy(soxr.resample(samples.numpy(), rate, target))


def _through(push: Callable[[Any], Tensor], flush: Callable[[], Tensor], whole: Tensor, draw: random.Random) -> Tensor:
    """Pushed in pieces of random sizes along the last axis, and flushed."""
    outputs, at, most = [], 0, draw.choice((whole.shape[-1], 1 + whole.shape[-1] // 3, 1 + whole.shape[-1] // 20))
    while at < whole.shape[-1]:
        size = draw.randint(0, most)
        outputs.append(push(whole[..., at : at + size]))
        at += size
    return torch.cat([*outputs, flush()], -1)


def a_long_stream(seconds: int, model: XcodecModel, clip: Tensor) -> Count:
    """48 kHz audio through one stream, both ways: every frame and every sample comes."""
    found = Count(f"one stream of {seconds:,} s at 48 kHz, both ways: seconds and ends")
    stream, frames, samples = StreamingXcodec(model, sample_rate=48000), 0, 0
    audio = np.resize(np.repeat(clip.numpy(), 3), 48000 * 10)
    for second in range(seconds):
        piece = audio[48000 * (second % 10) :][:48000]
        for begin in range(0, 48000, 4800):
            codes = stream.push(piece[begin : begin + 4800])
            heard = stream.push_codes(codes)
            frames, samples = frames + codes.shape[-1], samples + heard.shape[-1]
        late = 50 * (second + 1) - frames
        found.expect(0 <= late <= 10 and bool(heard.isfinite().all()), f"after {second + 1} s: {frames} frames")
        found.remember(second, seconds)
    rest = stream.flush()
    frames += rest.shape[-1]
    samples += stream.push_codes(rest).shape[-1] + stream.flush_codes().shape[-1]
    found.expect(frames == 50 * seconds, f"{frames} frames")
    found.expect(samples == 48000 * seconds, f"{samples} samples")
    return found


@torch.inference_mode()
def a_busy_batch(events: int, model: XcodecModel, clip: Tensor) -> Count:
    """Rows that begin, end, start anew, are kept and go on elsewhere: each stream has the codes that it has alone."""
    found, draw = (
        Count(f"{events:,} joins, resets, snapshots and ends in a batch of {_ROWS}: streams"),
        random.Random(2),
    )
    settings = StreamSettings(chunk_ms=80, lookahead_ms=20, left_context_ms=400)
    batch = StreamingXcodecBatch(model, _ROWS, **vars(settings))
    rows: dict[int, tuple[Tensor, int, list[Tensor]]] = {}
    kept: list[tuple[tuple[Tensor, int, list[Tensor]], dict[str, Any]]] = []
    for event in range(events):
        row, kind = draw.randrange(_ROWS), draw.choice(("keep", "reset", "end", "end"))
        if row not in rows and kept and draw.random() < 0.5:
            rows[row], state = kept.pop(draw.randrange(len(kept)))
            batch.load_state_dict(state, rows=[row])
        elif row not in rows:
            begin = draw.randrange(len(clip) - RATE)
            rows[row] = clip[begin : begin + draw.randint(1, RATE)], 0, []
        elif kind == "keep":
            kept.append((rows.pop(row), batch.state_dict(rows=[row])))
            batch.reset(rows=[row])
        elif kind == "reset":
            rows[row] = rows[row][0], 0, []
            batch.reset(rows=[row])
        else:
            audio, at, codes = rows.pop(row)
            codes.append(batch.flush(rows=[row])[row])
            want = model.encode(audio[None, None, :at], streaming=settings, window_batch=1).audio_codes if at else None
            got = torch.cat(codes, -1)
            found.expect(got.shape[-1] == 0 if want is None else torch.equal(got, want), f"event {event}, row {row}")
        pieces: list[Tensor | None] = [None] * _ROWS
        for index, (audio, at, codes) in list(rows.items()):
            if draw.random() < 0.7:
                pieces[index] = piece = audio[at : at + draw.randint(0, 4000)]
                rows[index] = audio, at + len(piece), codes
        for index, codes_now in enumerate(batch.push(pieces)):
            if index in rows:
                rows[index][2].append(codes_now)
        found.remember(event, events)
    return found


def main(share: float) -> int:
    """Prints the table; 1 where something came out wrong."""
    torch.set_num_threads(1)
    model, clip = XcodecModel.from_pretrained("xcodec-tiny"), speech_clip()
    print(*header(), "", sep="\n")
    print("| what | outcomes | wrong | resident after a tenth (MB) | at the end | takes (s) |")
    print("| --- | --- | --- | --- | --- | --- |")
    wrong: list[str] = []
    for run in (
        lambda: damaged_containers(round(100_000 * share), model),
        lambda: random_pushes(round(10_000 * share), clip),
        lambda: a_long_stream(round(3600 * share), model, clip),
        lambda: a_busy_batch(round(1000 * share), model, clip),
    ):
        started = time.perf_counter()
        found = run()
        took = time.perf_counter() - started
        cells = (
            found.what,
            f"{found.tried:,}",
            len(found.wrong),
            f"{found.start:.0f}",
            f"{found.end:.0f}",
            f"{took:.0f}",
        )
        print("|", " | ".join(map(str, cells)), "|", flush=True)
        wrong += found.wrong
    print(*wrong[:20], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the full numbers; 0.01 takes half a minute")
    sys.exit(main(parser.parse_args().share))
