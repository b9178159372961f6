"""Codes as `.npz`, for numpy: `codes`, uint16 `[Q, F]`, and `metadata`, a string of JSON with `CodesInfo`'s fields."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xcodec_fast.codes_info import CodesInfo
from xcodec_fast.windows import Windows

_LONGEST_METADATA = 1 << 16


def write_npz(path: Path, codes: np.ndarray, info: CodesInfo) -> None:
    """Writes codes `[Q, F]`, each below 65536."""
    metadata = json.dumps({**asdict(info), "codebooks": info.codebooks.hex()})
    with open(path, "wb") as file:  # to a name, numpy may add a suffix
        np.savez(file, codes=codes.astype(np.uint16), metadata=np.array(metadata))


def read_npz(path: Path) -> tuple[np.ndarray, CodesInfo]:
    """Codes uint16 `[Q, F]`. Raises ValueError that says what is wrong with the file."""
    data = path.read_bytes()
    try:
        # Nothing before or after: zipfile would look for the archive anywhere.
        if not data.startswith(b"PK\3\4") or data[-22:-18] != b"PK\5\6":
            raise ValueError("it does not begin and end as a zip archive")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if missing := {"codes.npy", "metadata.npy"} - {*archive.namelist()}:
                lacks = " and ".join(sorted(name.removesuffix(".npy") for name in missing))
                raise ValueError(
                    f"it lacks {lacks}, but must have codes and metadata: "
                    "save_codes(path, clip_codes(codes, model)) writes both"
                )
            metadata = _member(archive, "metadata", _LONGEST_METADATA)
            if metadata.dtype.kind != "U" or metadata.ndim != 0:
                raise ValueError("metadata is no string")
            info = _info(json.loads(str(metadata)))
            codes = _member(archive, "codes", 2 * info.quantizers * info.frames + 4096)
    except MemoryError:
        raise
    except Exception as error:  # what zipfile and numpy raise on damage is of a dozen kinds
        raise ValueError(f"{path} is not an .npz file of codes: {error}") from error
    if codes.dtype != np.uint16 or codes.shape != (info.quantizers, info.frames):
        raise ValueError(
            f"{path} is damaged: codes is {codes.dtype} {list(codes.shape)}, but must be uint16 "
            f"{[info.quantizers, info.frames]}"
        )
    return codes, info


def _member(archive: zipfile.ZipFile, name: str, longest: int) -> np.ndarray:
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > longest:
        raise ValueError(f"{name} is compressed or longer than {longest} bytes")
    # read() checks the member's CRC, and what is stored is no longer than the file.
    data = io.BytesIO(archive.read(entry))
    version = np.lib.format.read_magic(data)
    if version != (1, 0):
        raise ValueError(f"{name} has the array format {version}, but must have (1, 0)")
    shape, column_major, dtype = np.lib.format.read_array_header_1_0(data)
    values = data.read()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not read")
    if dtype.itemsize * np.prod(shape, dtype=object) != len(values):
        raise ValueError(f"{name} has {len(values)} bytes, which are no {dtype} {list(shape)}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if column_major else "C")


def _info(fields: Any) -> CodesInfo:
    if not isinstance(fields, dict):
        raise ValueError("metadata is no JSON object")
    windows = fields.get("windows")
    fields = {**fields, "codebooks": bytes.fromhex(fields["codebooks"])}
    return CodesInfo(**{**fields, "windows": None if windows is None else Windows(**windows)})
