"""A call paced by the clock: 48 kHz int16 in pieces of 10 ms, codes, and 48 kHz audio again.

    python examples/realtime.py [FILE]    # any that soundfile reads; else the bundled clip

Writes realtime.wav, and prints how long a sample takes from its arrival to its being there to be played.
"""

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from xcodec_fast import StreamingXcodec, XcodecModel
from xcodec_fast.audio import load_audio, save_audio
from xcodec_fast.demo import SPEECH

RATE = 48000
PIECE = RATE // 100


def main(path: str | Path) -> None:
    torch.set_num_threads(1)  # a second one would wait for its core where other work has it
    stream = StreamingXcodec(XcodecModel.from_pretrained("xcodec-tiny"), chunk_ms=80, sample_rate=RATE)
    try:
        pcm = (load_audio(path, sample_rate=RATE).samples.clip(-1, 1) * 32767).astype(np.int16)
    except (OSError, ValueError) as error:
        sys.exit(f"realtime.py: {error}")

    stream.push_codes(stream.push(np.zeros(RATE, np.int16)))  # the first calls are slower
    stream.reset()

    heard, latencies_ms, played, sent = [], [], 0, 0
    start = time.perf_counter()
    for first in range(0, len(pcm), PIECE):
        time.sleep(max(0, start + (first + PIECE) / RATE - time.perf_counter()))  # a microphone has the piece by then
        wire = stream.push(pcm[first : first + PIECE]).mT.numpy().astype("<u2").tobytes()  # frame by frame
        sent += len(wire)
        audio = stream.push_codes(np.frombuffer(wire, "<u2").reshape(1, -1, 8).transpose(0, 2, 1))[0, 0].numpy()
        if len(audio):
            latencies_ms.append(1000 * (time.perf_counter() - start - played / RATE))
            played += len(audio)
            heard.append(audio)
    heard.append(stream.push_codes(stream.flush())[0, 0].numpy())
    heard.append(stream.flush_codes()[0, 0].numpy())
    save_audio("realtime.wav", np.concatenate(heard)[: len(pcm)], RATE)

    print(f"{len(pcm) / RATE:.2f} s in pieces of 10 ms, {sent} bytes of codes before the end, realtime.wav")
    promised = stream.latency_ms + stream.decode_latency_ms
    if latencies_ms and max(latencies_ms) > promised + 500:
        print("the computer fell behind: it, or what else runs on it, is too slow for this")
    took = f"{median(latencies_ms):.0f} ms, {max(latencies_ms):.0f} at most" if latencies_ms else "is all of the file"
    print(f"latency {took}; promised are {promised:.0f} ms and the computing")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else SPEECH)
