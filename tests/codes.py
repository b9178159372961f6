"""Codes of a clip to write and read."""

from __future__ import annotations

import numpy as np
import torch

from xcodec_fast.codes_info import ClipCodes, CodesInfo


def a_clip(codebook_size=1024, quantizers=8, frames=5, seed=0, **fields):
    codes = np.random.default_rng(seed).integers(0, codebook_size, (1, quantizers, frames))
    info = CodesInfo(
        **{
            "sample_rate": 16000,
            "hop_length": 320,
            "codebook_size": codebook_size,
            "quantizers": quantizers,
            "frames": frames,
            "samples": frames * 320 - 7,
            "original_rate": 16000,
            "original_samples": frames * 320 - 7,
            "codebooks": bytes(range(16)),
            "model_id": "xcodec-tiny",
            **fields,
        }
    )
    return ClipCodes(torch.from_numpy(codes), info)


def assert_same(read, written):
    assert read.info == written.info
    assert read.audio_codes.dtype == torch.int64
    assert torch.equal(read.audio_codes, written.audio_codes)
