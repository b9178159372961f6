"""The examples run without arguments, and do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from xcodec_fast import XcodecModel
from xcodec_fast.audio import load_audio
from xcodec_fast.demo import SPEECH
from xcodec_fast.windows import StreamSettings

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_call_in_real_time(tmp_path):
    result = subprocess.run(
        [sys.executable, EXAMPLES / "realtime.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    latency = re.fullmatch(
        r"latency (\d+) ms, (\d+) at most; promised are 493 ms and the computing", result.stdout.splitlines()[-1]
    )
    assert latency
    assert 400 < int(latency[1]) <= int(latency[2])

    model, given = XcodecModel.from_pretrained("xcodec-tiny"), load_audio(SPEECH, sample_rate=16000).samples
    with torch.inference_mode():
        codes = model.encode(
            torch.from_numpy(given)[None, None].float(), streaming=StreamSettings(chunk_ms=80)
        ).audio_codes
        expected = model.decode(codes).audio_values[0, 0, : len(given)].numpy()
    heard = load_audio(tmp_path / "realtime.wav", sample_rate=16000).samples
    # Through 48 kHz, int16 and back: codes may differ where they are nearly tied.
    assert len(heard) == len(expected)
    assert np.corrcoef(heard, expected)[0, 1] > 0.9


def test_a_file_that_is_not_there(tmp_path):
    command = [sys.executable, str(EXAMPLES / "realtime.py"), "absent.wav"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "realtime.py: absent.wav does not exist\n")
