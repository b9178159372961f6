"""Files of codes that are damaged, forged or something else: one clear error each."""

import dataclasses
import io
import json
import re
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xcodec_fast import load_codes, save_codes
from xcodec_fast.windows import Windows

from .codes import a_clip, assert_same

_quiet = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _load(path, data):
    """What is read, or the error, one line that names the file."""
    path.write_bytes(data)
    try:
        return load_codes(path)
    except ValueError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return message


def _refused(path, data, words="."):
    message = _load(path, data)
    assert isinstance(message, str)
    assert re.search(words, message), message


@pytest.fixture(scope="module", params=[".xcodec", ".npz"])
def good(request, tmp_path_factory):
    """A small file: its suffix and bytes."""
    path = tmp_path_factory.mktemp("good") / f"a{request.param}"
    save_codes(path, a_clip(frames=3, windows=Windows(2, 1, 1)))
    return request.param, path.read_bytes()


def test_truncation_at_every_length(tmp_path, good):
    suffix, data = good
    for length in range(len(data)):
        _refused(tmp_path / f"a{suffix}", data[:length])


def test_bytes_after_the_end(tmp_path, good):
    suffix, data = good
    for tail in (b"\0", b"tail"):
        words = "goes on after its end" if suffix == ".xcodec" else "does not begin and end as a zip"
        _refused(tmp_path / f"a{suffix}", data + tail, words)
    if suffix == ".npz":
        _refused(tmp_path / "a.npz", b"prefix" + data, "does not begin and end as a zip")


def test_flipped_bits(tmp_path, good):
    suffix, data = good
    path = tmp_path / f"a{suffix}"
    original = tmp_path / f"original{suffix}"
    original.write_bytes(data)
    expected = load_codes(original)
    for position in range(0, 8 * len(data), 1 if suffix == ".xcodec" else 7):  # a zip is slow to open
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        read = _load(path, flipped)
        if not isinstance(read, str):  # a zip has bytes that mean nothing, such as times
            assert suffix == ".npz"
            assert_same(read, expected)


@pytest.mark.parametrize("suffix", [".xcodec", ".npz"])
@_quiet
@given(data=st.binary(max_size=400), prefix=st.sampled_from([b"", b"\x89XCODEC\n", b"\x89XCODEC\n\1\0", b"PK\3\4"]))
def test_random_bytes(tmp_path, suffix, data, prefix):
    _refused(tmp_path / f"a{suffix}", prefix + data)


def _with_checksum(data):
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(8, 92), value=st.binary(min_size=1, max_size=8))
def test_fields_that_are_forged_with_their_checksum(tmp_path, offset, value):
    """Either refused, or codes of the size that the file has room for."""
    save_codes(tmp_path / "good.xcodec", a_clip(frames=3))
    data = bytearray((tmp_path / "good.xcodec").read_bytes())
    size = len(data)
    data[offset : offset + len(value)] = value
    read = _load(tmp_path / "a.xcodec", _with_checksum(bytes(data[:size])))
    if not isinstance(read, str):
        assert read.audio_codes.numel() <= 8 * size


FORGED = {
    "newer version": (8, "<H", 2, "newer version"),
    "unknown flag": (12, "<I", 2, "newer version"),
    "stereo": (30, "<H", 2, "contradict"),
    "huge frames": (32, "<Q", 2**63, "contradict"),
    "huge payload": (88, "<Q", 2**62, "contradict"),
    "long header": (10, "<H", 60000, "contradict"),
    "no samples": (40, "<Q", 0, "samples is 0"),
    "samples past the codes": (40, "<Q", 961, "cover 960"),
    "another duration": (52, "<Q", 10**9, "not the same duration"),
    "no rate": (48, "<I", 0, "original_rate is 0"),
    "a code past the codebook": (24, "<I", 513, "is damaged: audio_codes holds the code"),
    "windows of nothing": (12, "<I", 1, "chunk is 0"),
    "windows unsaid": (60, "<I", 5, "contradict"),
    "context before unsaid": (64, "<I", 5, "contradict"),
    "context after unsaid": (68, "<I", 5, "contradict"),
    "no printable name": (96, "<B", 27, "model_id must be printable"),
    "no UTF-8": (96, "<B", 255, "decode"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_said_of_a_forged_field(tmp_path, what):
    offset, layout, value, words = FORGED[what]
    save_codes(tmp_path / "good.xcodec", a_clip(frames=3))
    data = bytearray((tmp_path / "good.xcodec").read_bytes())
    struct.pack_into(layout, data, offset, value)
    _refused(tmp_path / "a.xcodec", _with_checksum(bytes(data)), words)


def _npz(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in members.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, value, allow_pickle=True)
            archive.writestr(f"{name}.npy", data.getvalue())
    return path.read_bytes()


def _metadata(**changes):
    fields = dataclasses.asdict(a_clip().info)
    return np.array(json.dumps({**fields, "codebooks": fields["codebooks"].hex(), **changes}))


_CODES = np.zeros((8, 5), np.uint16)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"codes": _CODES}, "it lacks metadata, but must have codes and metadata: save_codes"),
        ({"metadata": _metadata()}, "it lacks codes, but"),
        ({"metadata": np.array(["{}"]), "codes": _CODES}, "metadata is no string"),
        ({"metadata": np.array("[1]"), "codes": _CODES}, "no JSON object"),
        ({"metadata": np.array("{"), "codes": _CODES}, "not an .npz file of codes"),
        ({"metadata": np.array({"a": 1}, dtype=object), "codes": _CODES}, "holds Python objects"),
        ({"metadata": _metadata(frames=4), "codes": _CODES}, "samples is 1593"),
        (
            {"metadata": _metadata(frames=2**39, samples=320 * 2**39, original_samples=320 * 2**39), "codes": _CODES},
            "codes is uint16",
        ),
        ({"metadata": _metadata(frames="5"), "codes": _CODES}, "frames is '5'"),
        ({"metadata": _metadata(more=1), "codes": _CODES}, "more"),
        ({"metadata": _metadata(codebooks="zz"), "codes": _CODES}, "not an .npz file of codes"),
        ({"metadata": _metadata(windows={"chunk": 1.5, "left": 0, "lookahead": 0}), "codes": _CODES}, "chunk is 1.5"),
        ({"metadata": _metadata(), "codes": _CODES.astype(np.int64)}, "codes is int64"),
        ({"metadata": _metadata(), "codes": _CODES[:, :4]}, r"codes is uint16 \[8, 4\]"),
        ({"metadata": _metadata(), "codes": _CODES + 1024}, "holds the code 1024, but must be in 0..1023"),
        ({"metadata": _metadata(), "codes": np.zeros((8, 5), object)}, "holds Python objects"),
    ],
)
def test_an_npz_of_something_else(tmp_path, members, words):
    _refused(tmp_path / "b.npz", _npz(tmp_path / "a.npz", **members), words)


def test_an_npz_that_would_unpack_to_much_more(tmp_path):
    data = _npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, metadata=_metadata(), codes=np.zeros(10**8, np.uint8))
    assert len(data) < 200_000
    _refused(tmp_path / "b.npz", data, "compressed")
