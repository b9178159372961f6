"""The `.xcodec` file: a header, the codes packed at ceil(log2 K) bits, and a checksum.

Numbers are little-endian and unsigned; a frame is `hop` samples.

    offset  bytes  field
         0      8  magic, 89 58 43 4F 44 45 43 0A ("\\x89XCODEC\\n")
         8      2  version, 1
        10      2  header length h: 96 + bytes of the model id
        12      4  flags: bit 0, the codes were made in windows; all others 0
        16      4  codec sample rate, Hz
        20      4  hop, samples
        24      4  codebook size K, 2 ... 65536
        28      2  quantizers Q
        30      2  channels, 1
        32      8  frames F
        40      8  samples at the codec's rate, (F - 1) * hop < samples <= F * hop
        48      4  original rate, Hz
        52      8  original samples, at the original rate
        60      4  window: frames of a chunk; like the next two 0 unless flag bit 0 is set
        64      4  window: frames of context before it
        68      4  window: frames of context after it
        72     16  hash of the model's codebooks, of all stages that it has: BLAKE2b (16 bytes) of the entries [K, D] as
                   bfloat16, stage after stage, row after row
        88      8  payload length, ceil(F * Q * ceil(log2 K) / 8) bytes
        96  h - 96  model id, UTF-8, at most 255 bytes
         h         payload: the codes, most significant bit first, frame after frame, stage after stage in each; zero
                   bits fill up the last byte
       end      4  CRC-32 (zlib's) of header and payload
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from xcodec_fast.bits import pack, packed_length, unpack
from xcodec_fast.codes_info import LONGEST_ID, CodesInfo, bits_per_code
from xcodec_fast.windows import Windows

_MAGIC = b"\x89XCODEC\n"
_VERSION = 1
_FIELDS = struct.Struct("<8sHHIIIIHHQQIQIII16sQ")
_CHECKSUM = struct.Struct("<I")
_IN_WINDOWS = 1


def write_xcodec(path: Path, codes: np.ndarray, info: CodesInfo) -> None:
    """Writes codes `[Q, F]`."""
    model_id = info.model_id.encode()
    windows = info.windows
    header = _FIELDS.pack(
        _MAGIC,
        _VERSION,
        _FIELDS.size + len(model_id),
        0 if windows is None else _IN_WINDOWS,
        info.sample_rate,
        info.hop_length,
        info.codebook_size,
        info.quantizers,
        1,
        info.frames,
        info.samples,
        info.original_rate,
        info.original_samples,
        *((0, 0, 0) if windows is None else (windows.chunk, windows.left, windows.lookahead)),
        info.codebooks,
        packed_length(codes.size, info.bits),
    )
    checksum = 0
    with open(path, "wb") as file:
        for piece in (header, model_id, *pack(codes.T.reshape(-1), info.bits)):
            checksum = zlib.crc32(piece, checksum)
            file.write(piece)
        file.write(_CHECKSUM.pack(checksum))


def read_xcodec(path: Path) -> tuple[np.ndarray, CodesInfo]:
    """Codes uint32 `[Q, F]`. Raises ValueError that says what is wrong with the file."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_FIELDS.size)
        if not start.startswith(_MAGIC):
            raise ValueError(f"{path} is no file of codes: neither .npz by its name nor .xcodec by its content")
        if len(start) < _FIELDS.size:
            raise ValueError(f"{path} is truncated: its header needs {_FIELDS.size} bytes, but it has {size}")
        _, version, header_length, flags, rate, hop, codebook_size, quantizers, channels, frames, *rest = (
            _FIELDS.unpack(start)
        )
        samples, original_rate, original_samples, chunk, left, lookahead, codebooks, payload_length = rest
        if version > _VERSION or flags & ~_IN_WINDOWS:
            raise ValueError(
                f"{path} was written by a newer version: format {version}, flags {flags:#x}; this one reads {_VERSION}"
            )
        # Nothing is read, or made room for, before all lengths agree with the file's.
        if not (
            version == _VERSION
            and channels == 1
            and (flags & _IN_WINDOWS or not (chunk or left or lookahead))
            and 2 <= codebook_size <= 1 << 16
            and _FIELDS.size <= header_length <= _FIELDS.size + LONGEST_ID
            and payload_length == packed_length(frames * quantizers, bits_per_code(codebook_size))
        ):
            raise ValueError(f"{path} is damaged: the fields of its header contradict each other")
        whole = header_length + payload_length + _CHECKSUM.size
        if size != whole:
            what = "is truncated" if size < whole else "goes on after its end"
            raise ValueError(f"{path} {what}: it has {size} bytes, but its header says {whole}")
        model_id = file.read(header_length - _FIELDS.size)
        payload = file.read(payload_length)
        checksum = file.read(_CHECKSUM.size)
    if checksum != _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(start + model_id))):
        raise ValueError(f"{path} is damaged: its checksum does not match its content")
    try:
        info = CodesInfo(
            rate,
            hop,
            codebook_size,
            quantizers,
            frames,
            samples,
            original_rate,
            original_samples,
            codebooks,
            model_id.decode(),
            Windows(chunk, left, lookahead) if flags & _IN_WINDOWS else None,
        )
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return unpack(payload, frames * quantizers, info.bits).reshape(frames, quantizers).T, info
