"""What `python -m bench.claims` measures for README, on a second of speech: that streams are pushed, and lines made."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bench import claims, lengths
from xcodec_fast import StreamingXcodec

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and cores as Linux tells them")


@pytest.fixture(scope="module")
def codes(tiny, speech):
    return tiny.encode(speech[None, None, :16000]).audio_codes


@pytest.fixture
def pushed(monkeypatch):
    """The frames of every push of codes."""
    lengths, push = [], StreamingXcodec.push_codes

    def counted(self, codes, **more):
        lengths.append(codes.shape[-1])
        return push(self, codes, **more)

    monkeypatch.setattr(StreamingXcodec, "push_codes", counted)
    return lengths


def _figures(lines, *parts):
    """What stands between the words of lines, as numbers."""
    found = []
    for line in lines:
        before, _, rest = line.partition(parts[0])
        assert rest, line
        found.append((before, float(rest.partition(parts[1])[0].rstrip("%"))))
    return found


def test_exact_decoding(tiny, codes, pushed):
    single, double = _figures(claims.exact_decoding("tiny", tiny, codes), "exact decoding is ", " of the peak")
    assert 0 < single[1] < 1e-5
    assert 0 < double[1] < 1e-13
    assert pushed == 2 * [*50 * [1], *6 * [8], 2, *2 * [25]]


def test_arithmetic(tiny, codes, pushed):
    short, longer = _figures(claims.arithmetic("tiny", tiny, codes), "ms: ", " times")
    assert 1 < longer[1] < short[1] < 3
    assert set(pushed) == {1, 8}


def test_decoding_in_windows(tiny, codes, pushed):
    zero, forty, hundred = (far for _, far in _figures(claims.decoding_in_windows(tiny, codes), "at most ", " of"))
    assert zero > forty > hundred > 0
    assert set(pushed) == {1, 2, 4, 8, 25}


def test_long_files(tiny, speech):
    in_windows, in_tiles = claims.long_files(tiny, speech, 61)
    assert 0 < _figures([in_windows], "codes in windows: ", " of the first")[0][1] < 10
    assert 0 < _figures([in_tiles], "at most ", " of full")[0][1] < 1e-5


def test_busy_cores(tiny, speech, monkeypatch):
    """Two numbers of threads alone, then beside a process a core, none of which is left."""
    others, threads, before = [], [], torch.get_num_threads()
    start, times = subprocess.Popen, claims._push_times

    def started(*arguments):
        others.append(start(*arguments))
        return others[-1]

    def timed(*arguments):
        threads.append((torch.get_num_threads(), sum(other.poll() is None for other in others)))
        return times(*arguments)

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(claims, "_push_times", timed)
    lines = list(claims.busy_cores(tiny, speech[:16000]))
    cores = len(os.sched_getaffinity(0))
    assert threads == [(1, 0), (2, 0), (1, cores), (2, cores)]
    assert [line.partition(":")[0] for line in lines] == [
        f"{busy} busy processes, {count} threads" for count, busy in threads
    ]
    assert all(took > 0 for _, took in _figures(lines, "takes ", " ms"))
    assert all(other.poll() is not None for other in others)
    assert torch.get_num_threads() == before


def test_first_calls(tiny, speech):
    first, apart = claims.first_calls(tiny, speech[:16000])
    assert _figures([first], "takes ", " ms")[0][1] > 0
    assert "60 to 100 ms" in apart


def test_resamplers(tiny):
    assert [line.split(" by ")[1:] for line in claims.resamplers(tiny)] == [
        ["36.6 ms, to it", "36.6"],
        ["40.1 ms, to it", "57.7"],
        ["115.8 ms, to it", "115.8"],
    ]


def test_many_lengths(tiny, monkeypatch):
    """Each case has its own environment, whatever the caller's is, and its own line."""
    bounds, asked = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"), []

    def noted(command, env, **more):
        asked.append((command[1:4], int(command[5]), [env.get(name) for name in (*bounds, "XCODEC_FAST_BACKEND")]))
        return SimpleNamespace(stdout=f'{{"mb": [1, 2, 3], "new_ms": 4, "again_ms": {len(asked)}}}')

    monkeypatch.setattr(subprocess, "run", noted)
    for name in (*bounds, "XCODEC_FAST_BACKEND"):
        monkeypatch.setenv(name, "triton")
    cases = ("ours", "ours, 256 kept", "ours, backend torch", "transformers")
    assert list(claims.many_lengths("tiny", tiny, 16)) == [
        f"tiny, {case}: 1 MB, after 2 clips of unequal lengths 2, after 16 3; "
        f"encode of a new length 4 ms, of ten in turns {number}"
        for number, case in enumerate(cases, 1)
    ]
    ours, eager = (["-m", "bench.lengths", name] for name in ("ours", "eager"))
    assert asked == [
        (ours, 16, [None, None, None]),
        (ours, 16, ["256", "256", None]),
        (ours, 16, [None, None, "torch"]),
        (eager, 16, [None, None, None]),
    ]


def test_new_and_recurring_lengths(monkeypatch, tmp_path, tiny):
    """The n-th clip takes n ms."""
    seen, resident = [], iter((10, 20, 30))

    def timed(_, lengths):
        times = []
        for length in lengths:
            seen.append(length)
            times.append(len(seen))
        return times

    monkeypatch.setattr(lengths, "_times_ms", timed)
    monkeypatch.setattr(lengths, "memory_mb", lambda field: next(resident))
    tiny.save_pretrained(tmp_path)
    found = lengths.measured("ours", str(tmp_path), 16)
    warm_up, new, again = seen[:1], seen[1:17], seen[17:]
    assert warm_up == [16000]
    assert len(set(new)) == 16
    assert all(4000 <= length < 16000 for length in new)
    assert again == 4 * new[:10]
    assert found == {"mb": [10, 20, 30], "new_ms": 16.5, "again_ms": 47.5}


def test_lengths_are_encoded(tiny):
    """Of each length one time."""
    given = lengths._times_ms(tiny, [4000, 16000])
    assert len(given) == 2
    assert min(given) > 0
