"""Files of codes: what is written is read, in the documented layout, whole or not at all."""

import json
import math
import struct
import zlib
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xcodec_fast import clip_codes, load_codes, save_codes
from xcodec_fast.bits import pack, packed_length, unpack
from xcodec_fast.windows import Windows

from .codes import a_clip, assert_same

_quiet = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("suffix", [".xcodec", ".npz", ".NPZ"])
@_quiet
@given(
    codebook_size=st.integers(2, 65536),
    quantizers=st.integers(1, 12),
    frames=st.integers(1, 300),
    seed=st.integers(0, 1000),
    model_id=st.one_of(st.text(max_size=60).filter(str.isprintable), st.just("m" * 255)),
    windows=st.none() | st.builds(Windows, st.integers(1, 2**32 - 1), st.integers(0, 9), st.integers(0, 9)),
)
def test_what_is_written_is_read(tmp_path, suffix, codebook_size, quantizers, frames, seed, model_id, windows):
    clip = a_clip(codebook_size, quantizers, frames, seed, model_id=model_id, windows=windows)
    path = tmp_path / f"a{suffix}"
    save_codes(path, clip)
    assert_same(load_codes(path), clip)
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
    clip = a_clip(300, 3, 2, windows=Windows(1000, 100, 50), original_rate=44100, original_samples=1745)
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
    clip = a_clip()
    save_codes(tmp_path / "a.npz", clip)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["codes"].dtype == np.uint16
        assert np.array_equal(archive["codes"], clip.audio_codes[0])
        assert json.loads(str(archive["metadata"]))["model_id"] == "xcodec-tiny"


def test_codes_of_a_model(tmp_path, tiny, pair):
    codes = tiny.encode(torch.randn(1, 1, 3200) / 10).audio_codes
    for shape in (codes, codes[0], codes.int()):
        save_codes(tmp_path / "a.xcodec", clip_codes(shape, tiny))
        read = load_codes(tmp_path / "a.xcodec", tiny)
        assert torch.equal(read.audio_codes, codes)
        assert torch.equal(tiny.decode(read.audio_codes).audio_values, tiny.decode(codes).audio_values)
    assert (read.info.samples, read.info.original_samples, read.info.original_rate) == (3200, 3200, 16000)
    assert read.info.kbps == 4
    with pytest.raises(ValueError, match=r"made by the model 'xcodec-tiny' with the codebooks .* but the model '', in"):
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
        save_codes(tmp_path / "a.wav", a_clip())
    with pytest.raises(TypeError, match=r"clip_codes\(audio_codes, model\) give them, but is a Tensor"):
        save_codes(tmp_path / "a.xcodec", cast(Any, torch.zeros(1, 8, 3)))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_codes(tmp_path / "no" / "a.xcodec", a_clip())
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_codes(tmp_path / "a.xcodec")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load_codes(tmp_path)
    (tmp_path / "folder.xcodec").mkdir()
    with pytest.raises(OSError, match="no regular file"):
        save_codes(tmp_path / "folder.xcodec", a_clip())


@pytest.mark.parametrize("suffix", [".xcodec", ".npz"])
@pytest.mark.parametrize("there_before", [False, True])
def test_a_crash_in_the_middle_leaves_what_was_there(tmp_path, monkeypatch, suffix, there_before):
    path = tmp_path / f"a{suffix}"
    if there_before:
        save_codes(path, a_clip(seed=1))
    before = path.read_bytes() if there_before else None
    long = a_clip(frames=100_000)
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
