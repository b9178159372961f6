"""Files of codes: what is written is read, and whatever else is there is refused with one clear error."""

import dataclasses
import io
import json
import math
import re
import struct
import zipfile
import zlib
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xcodec_fast import clip_codes, load_codes, save_codes
from xcodec_fast.bits import pack, packed_length, unpack
from xcodec_fast.codes_info import ClipCodes, CodesInfo
from xcodec_fast.windows import Windows

_quiet = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _clip(codebook_size=1024, quantizers=8, frames=5, seed=0, **fields):
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


def _assert_same(read, written):
    assert read.info == written.info
    assert read.audio_codes.dtype == torch.int64
    assert torch.equal(read.audio_codes, written.audio_codes)


@pytest.mark.parametrize("suffix", [".xcodec", ".npz", ".NPZ"])
@_quiet
@given(
    codebook_size=st.integers(2, 65536),
    quantizers=st.integers(1, 12),
    frames=st.integers(1, 300),
    seed=st.integers(0, 1000),
    model_id=st.text(max_size=60).filter(str.isprintable),
    windows=st.none() | st.builds(Windows, st.integers(1, 2**32 - 1), st.integers(0, 9), st.integers(0, 9)),
)
def test_what_is_written_is_read(tmp_path, suffix, codebook_size, quantizers, frames, seed, model_id, windows):
    clip = _clip(codebook_size, quantizers, frames, seed, model_id=model_id, windows=windows)
    path = tmp_path / f"a{suffix}"
    save_codes(path, clip)
    _assert_same(load_codes(path), clip)
    if suffix == ".xcodec":
        bits = math.ceil(math.log2(codebook_size))
        assert path.stat().st_size == 96 + len(model_id.encode()) + math.ceil(frames * quantizers * bits / 8) + 4


@settings(deadline=None)
@given(bits=st.integers(1, 16), codes=st.integers(0, 200), seed=st.integers(0, 1000))
def test_codes_are_packed_as_one_big_number(bits, codes, seed):
    values = np.random.default_rng(seed).integers(0, 1 << bits, codes)
    number = 0
    for value in values:
        number = number << bits | int(value)
    length = packed_length(codes, bits)
    packed = b"".join(pack(values, bits))
    assert packed == (number << (8 * length - codes * bits)).to_bytes(length, "big")
    assert np.array_equal(unpack(packed, codes, bits), values)


@pytest.mark.parametrize("bits", [1, 9, 10])
def test_codes_longer_than_a_block(bits):
    values = np.random.default_rng(0).integers(0, 1 << bits, 150_001)
    packed = b"".join(pack(values, bits))
    assert len(packed) == packed_length(len(values), bits)
    assert np.array_equal(unpack(packed, len(values), bits), values)


def test_the_layout_is_the_documented_one(tmp_path):
    clip = _clip(300, 3, 2, windows=Windows(1000, 100, 50), original_rate=44100, original_samples=1745)
    save_codes(tmp_path / "a.xcodec", clip)
    data = (tmp_path / "a.xcodec").read_bytes()
    assert data[:8] == bytes.fromhex("89 58 43 4F 44 45 43 0A")
    assert struct.unpack_from("<HHIIIIHH", data, 8) == (1, 96 + 11, 1, 16000, 320, 300, 3, 1)
    assert struct.unpack_from("<QQ", data, 32) == (2, 633)
    assert struct.unpack_from("<IQ", data, 48) == (44100, 1745)
    assert struct.unpack_from("<III", data, 60) == (1000, 100, 50)
    assert data[72:88] == bytes(range(16))
    assert struct.unpack_from("<Q", data, 88) == (7,)
    assert data[96:107] == b"xcodec-tiny"
    bits = "".join(f"{code:09b}" for code in clip.audio_codes[0].T.flatten().tolist()) + "00"
    assert data[107:114] == int(bits, 2).to_bytes(7, "big")
    assert struct.unpack("<I", data[114:]) == (zlib.crc32(data[:114]),)


def test_npz_is_for_numpy(tmp_path):
    clip = _clip()
    save_codes(tmp_path / "a.npz", clip)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["codes"].dtype == np.uint16
        assert np.array_equal(archive["codes"], clip.audio_codes[0])
        assert json.loads(str(archive["metadata"]))["model_id"] == "xcodec-tiny"


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
    save_codes(path, _clip(frames=3, windows=Windows(2, 1, 1)))
    return request.param, path.read_bytes()


def test_truncation_at_every_length(tmp_path, good):
    suffix, data = good
    for length in range(len(data)):
        _refused(tmp_path / f"a{suffix}", data[:length])


def test_bytes_after_the_end(tmp_path, good):
    suffix, data = good
    if suffix == ".xcodec":  # a zip's directory is looked for from the end
        for tail in (b"\0", b"tail", data):
            _refused(tmp_path / "a.xcodec", data + tail, "goes on after its end")


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
            _assert_same(read, expected)


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
    save_codes(tmp_path / "good.xcodec", _clip(frames=3))
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
    "a code past the codebook": (24, "<I", 513, "is damaged: it holds the code"),
    "windows of nothing": (12, "<I", 1, "chunk is 0"),
    "no printable name": (96, "<B", 27, "model_id must be printable"),
    "no UTF-8": (96, "<B", 255, "decode"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_said_of_a_forged_field(tmp_path, what):
    offset, layout, value, words = FORGED[what]
    save_codes(tmp_path / "good.xcodec", _clip(frames=3))
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
    fields = dataclasses.asdict(_clip().info)
    return np.array(json.dumps({**fields, "codebooks": fields["codebooks"].hex(), **changes}))


_CODES = np.zeros((8, 5), np.uint16)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"codes": _CODES}, "metadata"),
        ({"metadata": _metadata()}, "codes"),
        ({"metadata": np.array(["{}"]), "codes": _CODES}, "metadata is no string"),
        ({"metadata": np.array("[1]"), "codes": _CODES}, "no JSON object"),
        ({"metadata": np.array("{"), "codes": _CODES}, "not an .npz file of codes"),
        ({"metadata": np.array({"a": 1}, dtype=object), "codes": _CODES}, "no object"),
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
        ({"metadata": _metadata(), "codes": _CODES + 1024}, "holds the code 1024 of 0..1023"),
        ({"metadata": _metadata(), "codes": np.zeros((8, 5), object)}, "no object"),
    ],
)
def test_an_npz_of_something_else(tmp_path, members, words):
    _refused(tmp_path / "b.npz", _npz(tmp_path / "a.npz", **members), words)


def test_an_npz_that_would_unpack_to_much_more(tmp_path):
    data = _npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, metadata=_metadata(), codes=np.zeros(10**8, np.uint8))
    assert len(data) < 200_000
    _refused(tmp_path / "b.npz", data, "compressed")


def test_codes_of_a_model(tmp_path, tiny, pair):
    codes = tiny.encode(torch.randn(1, 1, 3200) / 10).audio_codes
    for shape in (codes, codes[0], codes.int()):
        save_codes(tmp_path / "a.xcodec", clip_codes(shape, tiny))
        read = load_codes(tmp_path / "a.xcodec", tiny)
        assert torch.equal(read.audio_codes, codes)
        assert torch.equal(tiny.decode(read.audio_codes).audio_values, tiny.decode(codes).audio_values)
    assert (read.info.samples, read.info.original_samples, read.info.original_rate) == (3200, 3200, 16000)
    assert read.info.kbps == 4
    with pytest.raises(ValueError, match="made by the model 'xcodec-tiny', whose codebooks are not those of the given"):
        load_codes(tmp_path / "a.xcodec", pair("hubert").ours)


@pytest.mark.parametrize(
    ("codes", "lengths", "error", "words"),
    [
        ([[[0]]], {}, TypeError, "audio_codes must be a torch.Tensor"),
        (torch.zeros(2, 8, 3, dtype=torch.long), {}, ValueError, r"\[2, 8, 3\], but must be of one clip"),
        (torch.zeros(1, 9, 3, dtype=torch.long), {}, ValueError, "9 stages"),
        (torch.zeros(1, 8, 3), {}, ValueError, "float32"),
        (torch.full((1, 8, 3), 1024), {}, IndexError, "holds 1024"),
        (torch.zeros(1, 8, 3, dtype=torch.long), {"samples": 961}, ValueError, "cover 960"),
        (torch.zeros(1, 8, 3, dtype=torch.long), {"samples": 640}, ValueError, "cover 960"),
        (torch.zeros(1, 8, 3, dtype=torch.long), {"original_rate": 8000}, ValueError, "not the same duration"),
    ],
)
def test_codes_that_cannot_be_a_clips(tiny, codes, lengths, error, words):
    with pytest.raises(error, match=words):
        clip_codes(codes, tiny, **lengths)


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.xcodec or \.npz"):
        save_codes(tmp_path / "a.wav", _clip())
    with pytest.raises(TypeError, match=r"as clip_codes\(audio_codes, model\) gives them, but is a Tensor"):
        save_codes(tmp_path / "a.xcodec", cast(Any, torch.zeros(1, 8, 3)))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_codes(tmp_path / "no" / "a.xcodec", _clip())
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_codes(tmp_path / "a.xcodec")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load_codes(tmp_path)
    (tmp_path / "folder.xcodec").mkdir()
    with pytest.raises(OSError, match="no regular file"):
        save_codes(tmp_path / "folder.xcodec", _clip())


@pytest.mark.parametrize("suffix", [".xcodec", ".npz"])
@pytest.mark.parametrize("there_before", [False, True])
def test_a_crash_in_the_middle_leaves_what_was_there(tmp_path, monkeypatch, suffix, there_before):
    path = tmp_path / f"a{suffix}"
    if there_before:
        save_codes(path, _clip(seed=1))
    before = path.read_bytes() if there_before else None
    long = _clip(frames=100_000)
    written: list[int] = []

    def fail(*_, **__):
        written.extend(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file() and file != path)
        raise OSError("disk full")

    if suffix == ".xcodec":
        blocks = iter(range(3))
        monkeypatch.setattr("xcodec_fast.container_xcodec.zlib.crc32", lambda *_: fail() if next(blocks) == 2 else 0)
    else:
        monkeypatch.setattr("numpy.lib.format.write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        save_codes(path, long)
    assert len(written) == 1
    assert (path.read_bytes() if path.exists() else None) == before
    assert list(tmp_path.iterdir()) == ([path] if there_before else [])
