"""The command `stream` through pipes: the live stream's codes and audio, signals, and readers that leave."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import time
from typing import Any

import numpy as np
import pytest
import soxr
import torch

from xcodec_fast import StreamingXcodec
from xcodec_fast.cli_stream import _encoded, _in_time, _whole_samples
from xcodec_fast.raw_pipe import RawFormat, codes_bytes, pcm_bytes

from .commands import refused

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and signals of POSIX")
COMMAND = [sys.executable, "-m", "xcodec_fast", "stream"]
STAGES = 8


def _streamed(data, *arguments):
    """What was written; on stderr there is the note on the weights and what `note` names."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(b"note: ") for line in done.stderr.splitlines()), done.stderr
    return done.stdout, done.stderr.decode()


def _live(model, samples, **options):
    live = StreamingXcodec(model, **options)
    return torch.cat([live.push(samples), live.flush()], -1)


def _floats(speech, samples):
    return speech[:samples].numpy().astype("<f4")


def _integers(speech, samples):
    return np.rint(speech[:samples].numpy() * 32767).astype("<i2")


def test_codes_are_the_live_streams(tiny, speech, tmp_path):
    """From a pipe as 16-bit integers with an odd byte behind them, and from a file as floats at the pace of a clock."""
    samples = _integers(speech, 16123)
    out, err = _streamed(samples.tobytes() + b"x", "--chunk-ms", 80, "--lookahead-ms", 40, "--bandwidth", 4)
    assert out == codes_bytes(_live(tiny, samples, chunk_ms=80, lookahead_ms=40))
    assert "note: the input ends with 1 of the 2 bytes of a sample: they were left out" in err
    file = tmp_path / "a.raw"
    floats = np.resize(_floats(speech, 48000), 48123)
    file.write_bytes(floats.tobytes())
    started = time.monotonic()
    out, _ = _streamed(b"", file, "--input-format", "f32le", "--input-rate", 48000, "--realtime")
    assert time.monotonic() - started > 1
    assert out == codes_bytes(_live(tiny, floats, sample_rate=48000))


def test_pcm_is_decoded(tiny, speech):
    samples = _floats(speech, 8100)
    out, _ = _streamed(samples.tobytes(), "--emit", "pcm", "--input-format", "f32le")
    expected = tiny.decode(_live(tiny, samples)).audio_values.detach().numpy().ravel()
    written = np.frombuffer(out, "<f4")
    assert len(written) == -(-8100 // 320) * 320
    assert np.abs(written - expected).max() < 1e-4


def test_pcm_at_another_rate_and_early(tiny, speech):
    samples = _integers(speech, 24000)
    options = ("--emit", "pcm", "--input-rate", 48000, "--decode-lookahead-ms", 20)
    out, _ = _streamed(samples.tobytes(), *options)
    live = StreamingXcodec(tiny, decode_lookahead_ms=20)
    codes = _live(tiny, samples, sample_rate=48000)
    audio = torch.cat([live.push_codes(codes), live.flush_codes()], -1)
    expected = soxr.resample(audio.numpy().ravel(), 16000, 48000)
    written = np.frombuffer(out, "<i2")
    assert len(written) == len(expected)
    assert np.abs(written / 32768 - expected.clip(-1, 1)).max() < 1e-3


def test_nothing_gives_nothing():
    assert _streamed(b"", "--emit", "pcm", "--input-rate", 44100)[0] == b""


def _unread(pipe):
    """Bytes that wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_flushes_the_tail(tiny, speech, stop):
    samples = _integers(speech, 6000)
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(samples.tobytes())
    process.stdin.flush()
    first = process.stdout.read(2 * 8 * STAGES * 2)  # two chunks of 8 frames, while the input is still open
    while _unread(process.stdin):
        time.sleep(0.01)
    process.send_signal(stop)
    rest = process.stdout.read()
    assert process.wait() == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert len(first + rest) == -(-6000 // 320) * STAGES * 2
    assert first + rest == codes_bytes(_live(tiny, samples))


def test_a_reader_that_leaves_is_no_error(speech):
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    data = _integers(speech, 16000).tobytes()
    process.stdin.write(data)
    process.stdin.flush()
    process.stdout.read(2)
    process.stdout.close()
    process.stdin.write(data)
    process.stdin.close()
    assert process.wait() == 0
    assert process.stderr.read() == b""


def test_bytes():
    audio = torch.tensor([-2.0, -1.0, -0.5, 0.0, 1.4 / 32768, 0.99999, 1.0])[None, None]
    expected = [-32768, -32768, -16384, 0, 1, 32767, 32767]
    assert np.frombuffer(pcm_bytes(audio, RawFormat.s16le), "<i2").tolist() == expected
    assert np.array_equal(np.frombuffer(pcm_bytes(audio, RawFormat.f32le), "<f4"), audio.numpy().ravel())
    codes = torch.tensor([[[1, 2], [300, 400]]])
    assert codes_bytes(codes) == bytes([1, 0, 300 % 256, 1, 2, 0, 400 % 256, 1])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--realtime",), 2, "--realtime goes with a FILE"),
        (("--decode-lookahead-ms", 20), 2, "--decode-lookahead-ms goes with --emit pcm alone"),
        (("a.raw", "--chunk-ms", 30), 2, "--chunk-ms is 30 ms, but must be a multiple of the frame, 20 ms"),
        (
            ("a.raw", "--emit", "pcm", "--decode-lookahead-ms", 340),
            2,
            "--decode-lookahead-ms is 340, but must be below 340",
        ),
        (("a.raw", "--bandwidth", 3), 2, "--bandwidth 3 kbps"),
        (("a.raw", "--model", "absent"), 1, "neither an embedded model"),
        (("absent.raw",), 1, "absent.raw does not exist"),
        ((".",), 1, "is not a file"),
        (("a.raw", "--threads", 1_000_000), 2, "--threads '1000000' must be 1024 or less"),
        (("a.raw", "--threads", 0), 2, "--threads '0' must be 1 or more"),
    ],
)
def test_options_that_cannot_be(run, tmp_path, arguments, code, words):
    (tmp_path / "a.raw").write_bytes(b"")
    refused(run("stream", *arguments), words, code=code)


@pytest.mark.parametrize("arguments", [("--input-format", "u8"), ("--emit", "wav"), ("--input-rate", 0)])
def test_wrong_options_are_typers(run, arguments):
    result = run("stream", "a.raw", *arguments)
    assert (result.code, result.out) == (2, "")


@pytest.mark.parametrize("terminal", ["stdin", "stdout"])
def test_terminals_are_refused(terminal):
    import pty

    main_end, end = pty.openpty()
    files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, terminal: end}
    done = subprocess.run(COMMAND, **files, stderr=subprocess.PIPE, check=False)
    os.close(end)
    os.close(main_end)
    assert done.returncode == 1
    assert f"{terminal} is a terminal".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("at", "seconds"), [(1, "0.000063"), (9000, "0.5625"), (16000, "1")])
def test_samples_that_are_not_finite_are_refused(tiny, speech, tmp_path, at, seconds):
    """With the place, after the codes of every chunk before it."""
    samples = _floats(speech, 24000).copy()
    samples[at] = np.nan
    (tmp_path / "a.raw").write_bytes(samples.tobytes())
    command = [*COMMAND, str(tmp_path / "a.raw"), "--input-format", "f32le", "--chunk-ms", "80"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout == codes_bytes(StreamingXcodec(tiny, chunk_ms=80).push(samples[:at]))
    assert f"sample {at} of the input, at {seconds} s, is nan; all must be finite\n".encode() in done.stderr


def test_a_file_is_written_chunk_by_chunk(tiny, speech, tmp_path):
    pieces = [_integers(speech, 16000), _integers(speech, 900)]
    live = StreamingXcodec(tiny, chunk_ms=80)
    lengths = [codes.shape[-1] for codes, _ in _encoded(live, pieces)]
    assert max(lengths) == 4
    assert sum(lengths) == -(-16900 // 320)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_output_that_is_full_is_named(speech):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            COMMAND, input=_integers(speech, 6000).tobytes(), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"xcodec-fast: stdout: No space left on device\n")


@pytest.mark.parametrize(("mark", "kind"), [(b"RIFF", "WAV"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3", "MP3")])
def test_audio_files_are_not_taken_for_pcm(mark, kind):
    with pytest.raises(ValueError, match=f"begins as {kind} files do"):
        list(_whole_samples([mark + bytes(60)], RawFormat.s16le))
    assert len(list(_whole_samples([bytes(60), mark + bytes(60)], RawFormat.s16le))) == 2


def test_falling_behind_the_clock_is_told(capsys):
    assert list(_in_time([bytes(10)] * 3, 100)) == [bytes(10)] * 3
    assert capsys.readouterr().err == ""
    for _ in _in_time([bytes(10)], 100):
        time.sleep(1.2)
    assert re.fullmatch(r"note: 1\.[1-3] s behind the clock at the end\n", capsys.readouterr().err)


def test_threads(tiny, speech):
    samples = _integers(speech, 8000)
    out, _ = _streamed(samples.tobytes(), "--threads", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert out == codes_bytes(_live(tiny, samples))
    finally:
        torch.set_num_threads(threads)
