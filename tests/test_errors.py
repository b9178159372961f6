"""Bad input to encode, decode and forward: the right exception, naming the value and what is allowed."""

import pytest
import torch

from xcodec_fast import XcodecModel

AUDIO = torch.zeros(2, 1, 3200)
CODES = torch.zeros(2, 8, 5, dtype=torch.long)


def _with(value: float) -> torch.Tensor:
    audio = AUDIO.clone()
    audio[1, 0, 7] = value
    return audio


def _mask(*lengths: int) -> torch.Tensor:
    return (torch.arange(3200) < torch.tensor(lengths)[:, None]).int()


def _holes() -> torch.Tensor:
    mask = _mask(3200, 3200)
    mask[1, 5] = 0
    return mask


@pytest.mark.parametrize(
    ("audio", "options", "error", "words"),
    [
        ([0.0] * 3200, {}, TypeError, ["input_values[0]", "float"]),
        (AUDIO.numpy(), {}, TypeError, ["an ndarray"]),
        (None, {}, TypeError, ["but is None"]),
        (AUDIO[:, 0], {}, ValueError, ["[2, 3200]", "[B, 1, T]"]),
        (AUDIO[0, 0], {}, ValueError, ["[3200]"]),
        (AUDIO.expand(2, 2, 3200), {}, ValueError, ["2 channels", "mono"]),
        (AUDIO[:0], {}, ValueError, ["[0, 1, 3200]"]),
        (AUDIO[..., :0], {}, ValueError, ["row 0", "0 samples", "80"]),
        (AUDIO[..., :79], {}, ValueError, ["79 samples", "80"]),
        (AUDIO.double(), {}, ValueError, ["float64", "float32"]),
        (AUDIO.short(), {}, ValueError, ["int16", "float32", "divide it by 32768, and convert it with .to("]),
        (AUDIO.to("meta"), {}, ValueError, ["meta", "cpu"]),
        (_with(float("nan")), {}, ValueError, ["1 NaN or infinite of 6400"]),
        (_with(float("-inf")), {}, ValueError, ["1 NaN or infinite of 6400"]),
        (AUDIO, {"bandwidth": 3}, ValueError, ["3 kbps", "[0.5, 1, 1.5, 2, 4]"]),
        (AUDIO, {"bandwidth": "2"}, TypeError, ["bandwidth", "str"]),
        (AUDIO, {"padding_mask": [[1]]}, TypeError, ["padding_mask", "list"]),
        (AUDIO, {"padding_mask": _mask(3200)}, ValueError, ["[1, 3200]", "[2, 3200]"]),
        (AUDIO, {"padding_mask": _mask(3200, 0)}, ValueError, ["row 1", "0 of 3200"]),
        (AUDIO, {"padding_mask": _holes()}, ValueError, ["row 1", "holes"]),
        (AUDIO, {"padding_mask": _mask(3200, 3200).flip(1) * 2}, ValueError, ["0 and 1", "holds 2"]),
        (AUDIO, {"padding_mask": _mask(3200, 3200).float()}, ValueError, ["float32"]),
    ],
)
@pytest.mark.parametrize("call", ["encode", "forward"])
def test_encode(tiny: XcodecModel, call, audio, options, error, words):
    with pytest.raises(error) as raised:
        getattr(tiny, call)(audio, **options)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("codes", "error", "words"),
    [
        ([[[0]]], TypeError, ["audio_codes", "list"]),
        (CODES[0], ValueError, ["[8, 5]", "[B, Q, F]"]),
        (CODES.float(), ValueError, ["float32", "integers"]),
        (CODES.bool(), ValueError, ["bool", "integers, of torch.int64, torch.int32"]),
        (CODES[:0], ValueError, ["[0, 8, 5]"]),
        (CODES[:, :0], ValueError, ["[2, 0, 5]"]),
        (CODES[..., :0], ValueError, ["[2, 8, 0]"]),
        (CODES.repeat(1, 2, 1), ValueError, ["16 stages", "8"]),
        (CODES.to("meta"), ValueError, ["meta", "cpu"]),
        (CODES + 1024, IndexError, ["1024", "0..1023"]),
        (CODES - 1, IndexError, ["-1", "0..1023"]),
    ],
)
def test_decode(tiny: XcodecModel, codes, error, words):
    with pytest.raises(error) as raised:
        tiny.decode(codes)
    for word in words:
        assert word in str(raised.value)
    with pytest.raises(error):
        tiny(AUDIO, audio_codes=codes)


def test_value_checks_can_be_left_out(tiny: XcodecModel):
    assert tiny.encode(_with(float("nan")), check=False).audio_codes.shape == (2, 8, 10)
    with pytest.raises(ValueError, match="must have the shape"):
        tiny.encode(AUDIO[0], check=False)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_codes_of_any_integer_type_are_decoded(tiny: XcodecModel, dtype):
    codes = torch.arange(80).view(2, 8, 5)
    assert torch.equal(tiny.decode(codes).audio_values, tiny.decode(codes.to(dtype)).audio_values)


def test_a_mask_that_rounds_up_to_the_clip_changes_nothing(tiny: XcodecModel, speech):
    audio = speech[None, None, :3200].clone()
    audio[..., 2881:] = 0
    codes = tiny.encode(audio).audio_codes
    for mask in (_mask(3200), _mask(2881), _mask(3000).bool()):
        assert torch.equal(tiny.encode(audio, padding_mask=mask).audio_codes, codes)
        assert torch.equal(tiny(audio, padding_mask=mask).audio_codes, codes)
