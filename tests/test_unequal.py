"""Rows of unequal lengths give each clip's own codes and audio, whatever lies in the padding."""

import copy

import numpy as np
import pytest
import torch

from xcodec_fast import XcodecFeatureExtractor

from .equality import assert_same_audio, excess
from .pairs import CONFIGS

# Every length class of the acoustic padding, the shortest clip, and one hop.
LENGTHS = (9871, 16000, 80, 320, 4879, 12345, 6711, 25919)


def _clips(speech, hop=320):
    stretched = [length * hop // 320 for length in LENGTHS]
    return [speech[2000 * i : 2000 * i + n] for i, n in enumerate(stretched)]


def _batch(clips, garbage):
    """Audio `[B, 1, T]` with `garbage` past each clip's end, and its mask."""
    samples = max(map(len, clips))
    audio, mask = torch.full((len(clips), 1, samples), garbage), torch.zeros(len(clips), samples, dtype=torch.long)
    for row, clip in enumerate(clips):
        audio[row, 0, : len(clip)] = clip
        mask[row, : len(clip)] = 1
    return audio.to(clips[0].dtype), mask


def _padded(clip, hop):
    return torch.nn.functional.pad(clip, (0, -len(clip) % hop))


def _assert_rows(model, output, clips):
    """Each row holds its clip's codes and zeros after them; counts first differences as `equality` does."""
    books = torch.stack([stage.codebook.embed for stage in model.quantizer.quantizers])
    first_differences = decisions = 0
    for row, clip in enumerate(clips):
        alone = model.encode(clip[None, None]).audio_codes
        frames = alone.shape[2]
        assert output.audio_codes_mask[row].tolist() == [i < frames for i in range(output.audio_codes.shape[2])]
        assert not output.audio_codes[row, :, frames:].any()
        own = output.audio_codes[row : row + 1, :, :frames]
        different = own != alone
        first = different & (different.cumsum(1) == 1)
        assert (excess(books, model._embed(clip[None, None]), own)[first] <= 1e-4).all()
        first_differences += int(first.sum())
        decisions += own.numel()
    print(f"{first_differences} first differences in {decisions} decisions")
    assert first_differences <= decisions / 1000


@pytest.mark.parametrize("name", CONFIGS)
def test_a_list(pair, speech, name):
    ours = pair(name).ours
    clips = _clips(speech, ours.config.hop_length)
    with torch.no_grad():
        _assert_rows(ours, ours.encode(clips), clips)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("garbage", [0.4, float("nan")])
def test_a_mask_over_garbage(pair, speech, name, garbage):
    ours = pair(name).ours
    hop = ours.config.hop_length
    clips = _clips(speech, hop)
    audio, mask = _batch(clips, garbage)
    with torch.no_grad():
        output = ours.encode(audio, padding_mask=mask)
        assert output.audio_codes.shape[2] == -(-audio.shape[2] // hop)
        _assert_rows(ours, output, [_padded(clip, hop) for clip in clips])


@pytest.mark.parametrize("name", CONFIGS)
def test_embeddings_in_double_precision(pair, speech, name):
    """At 1e-11 a missing mask shows, even where it would turn no code."""
    ours = copy.deepcopy(pair(name).ours).double()
    clips = [clip.double() for clip in _clips(speech, ours.config.hop_length)]
    caught = []
    hook = ours.fc.register_forward_hook(lambda *args: caught.append(args[2]))
    ours.encode(clips)
    hook.remove()
    for row, clip in enumerate(clips):
        alone = ours._embed(clip[None, None])[0].t()
        assert (caught[0][row, : len(alone)] - alone).abs().max() <= 1e-11 * alone.abs().max().clamp(min=1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decode(pair, name, dtype):
    ours = copy.deepcopy(pair(name).ours).to(dtype)
    config = ours.config
    frames = (9, 1, 14, 14)
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(config.codebook_size, (4, config.num_quantizers, 14), generator=generator)
    mask = torch.arange(14) < torch.tensor(frames)[:, None]
    with torch.no_grad():
        audio = ours.decode(codes, audio_codes_mask=mask.int()).audio_values
        assert audio.shape == (4, 1, 14 * config.hop_length)
        for row, count in enumerate(frames):
            end = count * config.hop_length
            assert_same_audio(ours.decode(codes[row : row + 1, :, :count]).audio_values, audio[row : row + 1, :, :end])
            assert not audio[row, :, end:].any()


def test_the_extractors_batch(pair, speech):
    """`encode(**extractor(clips))` gives each clip what the reference gives for the extractor's single clip."""
    both = pair("wavlm")
    extractor = XcodecFeatureExtractor(hop_length=320)
    clips = [clip.numpy() for clip in _clips(speech)[:3]]
    batch = extractor(clips, sampling_rate=16000, return_tensors="pt")
    output = both.ours(**batch)
    assert torch.equal(both.ours.encode(**batch).audio_codes, output.audio_codes)
    assert output.audio_values.shape == batch.input_values.shape
    for row, clip in enumerate(clips):
        single = extractor(clip, sampling_rate=16000, return_tensors="pt")["input_values"]
        expected = both.reference(single)
        frames = expected.audio_codes.shape[2]
        assert torch.equal(output.audio_codes[row, :, :frames], expected.audio_codes[0])
        end = single.shape[2]
        assert_same_audio(expected.audio_values, output.audio_values[row : row + 1, :, :end])
        assert not output.audio_values[row, :, end:].any()


def test_lists_of_arrays_and_of_one(tiny, speech):
    clips = _clips(speech)[:2]
    codes = tiny.encode(clips).audio_codes
    assert torch.equal(tiny.encode(tuple(clips)).audio_codes, codes)
    assert torch.equal(tiny.encode([clip.numpy().astype(np.float64) for clip in clips]).audio_codes, codes)
    single = tiny.encode(clips[:1])
    assert torch.equal(single.audio_codes, tiny.encode(clips[0][None, None]).audio_codes)
    assert single.audio_codes_mask.all()


def test_the_mask_is_given_back_only_where_lengths_were_given(tiny, speech):
    audio = speech[None, None, :3200]
    assert list(tiny.encode(audio)) == ["audio_codes"]
    assert list(tiny(audio)) == ["audio_codes", "audio_values"]
    mask = torch.ones(1, 3200)[..., :3200].int()
    assert list(tiny(audio, padding_mask=mask)) == ["audio_codes", "audio_values", "audio_codes_mask"]
    assert isinstance(tiny.encode(audio, padding_mask=mask, return_dict=False), torch.Tensor)
    assert len(tiny(audio, padding_mask=mask, return_dict=False)) == 2


def test_a_mask_rounds_each_row_up_to_the_hop(tiny, speech):
    """Also beyond a batch whose length is no multiple of it."""
    audio = speech[None, None, :3300]
    mask = torch.ones(1, 3300, dtype=torch.bool)
    output = tiny(audio, padding_mask=mask)
    expected = tiny.encode(_padded(audio[0, 0], 320)[None, None]).audio_codes
    assert torch.equal(output.audio_codes, expected)
    assert output.audio_values.shape == (1, 1, 3300)


def test_given_codes_are_decoded_by_the_same_mask(tiny, speech):
    audio, mask = _batch(_clips(speech)[:3], 0.0)
    output = tiny(audio, padding_mask=mask)
    again = tiny(audio, audio_codes=output.audio_codes, padding_mask=mask)
    assert torch.equal(again.audio_values, output.audio_values)
    assert torch.equal(again.audio_codes_mask, output.audio_codes_mask)


CODES = torch.zeros(2, 8, 5, dtype=torch.long)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([[1] * 5] * 2, TypeError, ["audio_codes_mask", "list"]),
        (torch.ones(2, 4).bool(), ValueError, ["[2, 4]", "[2, 5]"]),
        (torch.ones(2, 5), ValueError, ["float32"]),
        (torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0]]), ValueError, ["row 1", "holes"]),
        (torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]), ValueError, ["row 1", "0 of 5"]),
    ],
)
def test_bad_masks_of_codes(tiny, mask, error, words):
    with pytest.raises(error) as raised:
        tiny.decode(CODES, audio_codes_mask=mask)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("clips", "options", "error", "words"),
    [
        ([], {}, ValueError, ["empty list"]),
        ([torch.zeros(400), [0.0]], {}, TypeError, ["input_values[1]", "list"]),
        ([torch.zeros(400), torch.zeros(1, 400)], {}, ValueError, ["input_values[1]", "[1, 400]"]),
        ([torch.zeros(400).double()], {}, ValueError, ["input_values[0]", "float64"]),
        ([np.zeros(400, np.int16)], {}, ValueError, ["input_values[0] is an array of int16"]),
        ([torch.zeros(400), torch.zeros(79)], {}, ValueError, ["row 1", "79 samples", "80"]),
        ([torch.zeros(400), torch.full((400,), torch.inf)], {}, ValueError, ["400 NaN or infinite"]),
        ([torch.zeros(400)], {"padding_mask": torch.ones(1, 400)}, ValueError, ["padding_mask", "list"]),
    ],
)
def test_bad_lists(tiny, clips, options, error, words):
    for call in (tiny.encode, tiny.forward):
        with pytest.raises(error) as raised:
            call(clips, **options)
        for word in words:
            assert word in str(raised.value)
