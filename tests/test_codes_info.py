"""What a file says of its codes: limits, durations, names, and what is computed from them."""

from dataclasses import replace

import pytest

from xcodec_fast.codes_info import bits_per_code

from .codes import a_clip


def test_what_is_computed():
    info = a_clip(codebook_size=1000, quantizers=4, frames=50, samples=15990, original_samples=15990).info
    assert (info.bits, info.seconds, info.kbps) == (10, 15990 / 16000, 2.0)
    assert [bits_per_code(size) for size in (2, 3, 4, 5, 1024, 1025)] == [1, 2, 2, 3, 10, 11]


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("sample_rate", 1, 1_000_000),
        ("hop_length", 1, 1 << 20),
        ("codebook_size", 2, 1 << 16),
        ("quantizers", 1, 1 << 10),
        ("frames", 1, 1 << 40),
        ("samples", 1, 1 << 60),
        ("original_rate", 1, 1_000_000),
        ("original_samples", 1, 1 << 60),
    ],
)
def test_limits(field, low, high):
    limits = f"must be an integer in {low}..{high}"
    for outside in (low - 1, high + 1, float(low), True):
        assert _refusal(field, outside) == f"{field} is {outside!r}, but {limits}"
    for within in (low, high):  # what else the fields say may not fit it
        assert limits not in _refusal(field, within)


def _refusal(field, value):
    """What is said of a clip's info with another value; nothing where it is taken."""
    try:
        replace(a_clip().info, **{field: value})
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("rate", "original_rate"), [(16000, 48000), (16000, 8000), (16000, 16000)])
def test_durations_may_differ_by_two_samples_of_the_coarser_rate(rate, original_rate):
    samples, coarser = 16000, min(rate, original_rate)
    same = samples * original_rate // rate
    most = 2 * original_rate // coarser
    for original_samples in (same - most, same + most):
        a_clip(frames=50, samples=samples, original_rate=original_rate, original_samples=original_samples)
    for original_samples in (same - most - 1, same + most + 1):
        with pytest.raises(ValueError, match="not the same duration"):
            a_clip(frames=50, samples=samples, original_rate=original_rate, original_samples=original_samples)


@pytest.mark.parametrize("name", ["a" * 255, "\u00fc" * 127, ""])
def test_names_that_can_be(name):
    assert a_clip(model_id=name).info.model_id == name


@pytest.mark.parametrize("name", ["a" * 256, "\u00fc" * 128, "a\nb", None])
def test_names_that_cannot_be(name):
    with pytest.raises(ValueError, match="model_id must be printable text of at most 255 bytes"):
        a_clip(model_id=name)
