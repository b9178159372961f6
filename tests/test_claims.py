"""What `python -m bench.claims` measures for README, on a second of speech: that streams are pushed, and lines made."""

import pytest

from bench import claims
from xcodec_fast import StreamingXcodec


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
    short, longer = _figures(claims.arithmetic(tiny, codes), "ms: ", " times")
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


def test_times(tiny, speech):
    assert all(took > 0 for _, took in _figures(claims.busy_cores(tiny, speech[:16000]), "takes ", " ms"))
    first, apart = claims.first_calls(tiny, speech[:16000])
    assert _figures([first], "takes ", " ms")[0][1] > 0
    assert "60 to 100 ms" in apart


def test_resamplers(tiny):
    assert [line.split(" by ")[1:] for line in claims.resamplers(tiny)] == [
        ["36.6 ms, to it", "36.6"],
        ["40.1 ms, to it", "57.7"],
        ["115.8 ms, to it", "115.8"],
    ]


def test_many_lengths(tiny):
    lines = list(claims.many_lengths(tiny, 8))
    assert [line.partition(":")[0] for line in lines] == ["ours", "ours, bounds of 256", "ours, bounds of 128", "eager"]
    assert all(took > 0 for _, took in _figures(lines, "takes ", " ms"))
