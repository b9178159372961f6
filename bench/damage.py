"""Files of codes, damaged at random."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import torch

from xcodec_fast import XcodecModel, clip_codes, load_codes, save_codes

from .tally import Count


def damaged_containers(count: int, model: XcodecModel) -> Count:
    """Files of codes with bytes flipped, cut, doubled, replaced, moved: refused by ValueError, or read as they were."""
    found, draw = Count(f"damaged files of codes ({count:,})"), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        whole = []
        for index, suffix in enumerate((".xcodec", ".xcodec", ".npz")):
            codes = torch.randint(
                1024, (1, 8 if index else 3, 40 + index), generator=torch.Generator().manual_seed(index)
            )
            path = Path(folder) / f"whole{index}{suffix}"
            save_codes(path, clip_codes(codes, model, samples=320 * codes.shape[2] - 7))
            whole.append((path.read_bytes(), load_codes(path), Path(folder) / f"damaged{suffix}"))
        for step in range(count):
            data, clip, path = draw.choice(whole)
            while (damaged := _damaged(data, draw)) == data:
                pass
            path.write_bytes(damaged)
            try:
                read = load_codes(path)
                same = read.info == clip.info and torch.equal(read.audio_codes, clip.audio_codes)
                found.expect(same, f"{step}: read as something else")
            except ValueError:
                found.expect(True, "")
            except Exception as error:
                found.expect(False, f"{step}: {error!r}")
            found.remember(step, count)
    return found


def _damaged(data: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at, length = draw.randrange(len(damaged) + 1), draw.choice((1, 1, 2, 8, 100))
        piece = damaged[at : at + length]
        match draw.randrange(5):
            case 0 if piece:
                damaged[at] ^= 1 << draw.randrange(8)
            case 1:
                damaged[at : at + length] = draw.randbytes(len(piece))
            case 2:
                del damaged[at : at + length]
            case 3:
                damaged[at:at] = piece or draw.randbytes(length)
            case 4:
                damaged = damaged[at:] + damaged[:at] if draw.random() < 0.5 else damaged[:at]
    return bytes(damaged)
