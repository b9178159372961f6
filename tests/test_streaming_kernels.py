"""Streams through the kernels, in Triton's interpreter: the codes and the audio of the PyTorch branch's."""

import pytest
import torch
from triton import knobs

from xcodec_fast import StreamingXcodecBatch, backend

pytestmark = pytest.mark.skipif(not knobs.runtime.interpret, reason="kernels run on CPU tensors in the interpreter")


def _both_ways(model, clips):
    """Codes and audio of two rows, the second begun a push later."""
    batch = StreamingXcodecBatch(model, 2, chunk_ms=40, lookahead_ms=20, left_context_ms=40)
    pushed = [batch.push([clips[0][:640], None]), batch.push([clips[0][640:], clips[1]]), batch.flush()]
    first, second = (torch.cat(pieces, -1) for pieces in zip(*pushed, strict=True))
    heard = [batch.push_codes([first[..., :1], None]), batch.push_codes([first[..., 1:], second]), batch.flush_codes()]
    return (first, second), [torch.cat(pieces, -1) for pieces in zip(*heard, strict=True)]


def test_rows_of_different_starts(pair, speech, launched):
    model = pair("hubert").ours
    clips = speech[4000 : 4000 + 320 * 3], speech[9000 : 9000 + 320 + 77]
    codes, audio = _both_ways(model, clips)
    assert launched == []
    with backend("triton"):
        got_codes, got_audio = _both_ways(model, clips)
    assert {"conv1d", "rvq", "rvq_decode"} <= set(launched)
    for row, frames in enumerate((3, 2)):
        assert got_codes[row].shape[-1] == frames
        assert torch.equal(got_codes[row], codes[row])
        assert (got_audio[row] - audio[row]).abs().max() <= 1e-5
