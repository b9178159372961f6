"""The offline twin: the codes of a live stream from audio that is all there."""

import copy
from typing import Any

import pytest
import torch

from xcodec_fast import StreamingXcodec, StreamSettings

from .pairs import CONFIGS
from .streams import defined_codes, encoded, settings_of


@pytest.mark.parametrize("name", CONFIGS)
def test_windows_at_once(pair, speech, name):
    model = copy.deepcopy(pair(name).ours).double()
    clip = speech[3000 : 3000 + 6400 * model.config.hop_length // 320].double()
    for frames in ((4, 10, 3), (6, 30, 0)):
        settings, want = StreamSettings(**settings_of(model, *frames)), defined_codes(model, clip, *frames)
        for window_batch in (1, 3):
            codes = model.encode(clip[None, None], streaming=settings, window_batch=window_batch).audio_codes
            assert torch.equal(codes, want), (frames, window_batch)


def test_one_window_at_a_time_has_the_live_bits(tiny, speech):
    settings: dict[str, Any] = {"chunk_ms": 80, "lookahead_ms": 40, "left_context_ms": 600}
    live = encoded(StreamingXcodec(tiny, **settings), speech[:15000], [(0, 3333), (3333, 15000)])
    batch = speech[:15000][None, None]
    for window_batch in (1, None):
        twin = tiny.encode(batch, streaming=StreamSettings(**settings), window_batch=window_batch).audio_codes
        assert torch.equal(twin, live)


def test_rows_of_unequal_lengths(tiny, speech):
    clips, settings = [speech[:5000], speech[4000:4001], speech[:0].new_zeros(320)], StreamSettings(chunk_ms=80)
    output = tiny.encode(clips, streaming=settings)
    assert output.audio_codes_mask.sum(1).tolist() == [16, 1, 1]
    for clip, codes, own in zip(clips, output.audio_codes, output.audio_codes_mask, strict=True):
        alone = tiny.encode(clip[None, None], streaming=settings).audio_codes[0]
        assert torch.equal(codes[:, own], alone)
        assert not codes[:, ~own].any()


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (TypeError, "StreamSettings", {"streaming": {"chunk_ms": 80}}),
        (ValueError, "window_batch is 0", {"streaming": StreamSettings(), "window_batch": 0}),
        (ValueError, "window_batch is 4", {"window_batch": 4}),
        (ValueError, "chunk_ms is 50", {"streaming": StreamSettings(chunk_ms=50)}),
    ],
)
def test_errors(tiny, error, words, options):
    with pytest.raises(error, match=words):
        tiny.encode(torch.zeros(1, 1, 3200), **options)
