"""An hour of audio through one stream, both ways: every frame and sample comes, and memory stays flat."""

import os

import numpy as np
import pytest

from xcodec_fast import StreamingXcodec

SECONDS = 3600


def _resident_mb():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
def test_an_hour(tiny, speech):
    stream = StreamingXcodec(tiny, sample_rate=48000)
    clip = np.resize(np.repeat(speech.numpy(), 3), 48000 * 10)
    frames = samples = 0
    resident = []
    for second in range(SECONDS):
        piece = clip[48000 * (second % 10) :][:48000]
        for begin in range(0, 48000, 4800):
            codes = stream.push(piece[begin : begin + 4800])
            frames += codes.shape[-1]
            samples += stream.push_codes(codes).shape[-1]
        if second % 60 == 59:
            resident.append(_resident_mb())
    rest = stream.flush()
    frames += rest.shape[-1]
    samples += stream.push_codes(rest).shape[-1] + stream.flush_codes().shape[-1]
    print(
        f"{frames} frames, {samples} samples; resident after 1 min {resident[0]:.0f} MB, at the end {resident[-1]:.0f}"
    )
    assert frames == 50 * SECONDS
    assert samples == 48000 * SECONDS
    assert max(resident[2:]) < resident[1] + 30
