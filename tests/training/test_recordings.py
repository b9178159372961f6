"""What is trained on: the manifest's clips, in their shares, never those held out, at one loudness."""

import numpy as np
import pytest
import soundfile

from xcodec_fast.training.recipe import Recipe
from xcodec_fast.training.recordings import Recordings


def _recordings(values, **change):
    recipe = Recipe.from_dict({**values, **change})
    return Recordings(recipe, 16000, 320)


def test_the_manifest_says_what_there_is(values, folder):
    assert [clip.name for clip in _recordings(values).clips] == ["a.wav", "b.wav", "c.wav"]
    (folder / "MANIFEST.csv").unlink()
    recordings = _recordings(values)
    assert [clip.name for clip in recordings.clips] == ["a.wav", "b.wav", "c.wav", "unlisted.wav"]
    assert recordings.seconds == 4


def test_what_is_held_out_is_not_trained_on(values):
    recordings = _recordings(values, held_out=2)
    names = [{clip.name for clip in clips} for clips in (recordings.clips, recordings.held_out)]
    assert len(names[0]) == 1
    assert names[0] | names[1] == {"a.wav", "b.wav", "c.wav"}
    again = _recordings(values, held_out=2)
    assert [clip.name for clip in again.held_out] == [clip.name for clip in recordings.held_out]


def test_shares_of_kinds(values, folder):
    recordings = _recordings(values, kinds={"speech": 0.2, "music": 0.8}, speed=0, mix=0, gain_db=0)
    chances = dict(zip([clip.name for clip in recordings.clips], recordings._chances, strict=True))
    assert chances == pytest.approx({"a.wav": 0.1, "b.wav": 0.1, "c.wav": 0.8})
    assert _recordings(values, kinds={"music": 1})._chances == pytest.approx([0, 0, 1])
    (folder / "MANIFEST.csv").unlink()
    assert _recordings(values, kinds={"music": 1})._chances == pytest.approx([0.25] * 4)


def test_crops_are_whole_and_of_one_loudness(values):
    crops = _recordings(values, gain_db=0, mix=0).crops(np.random.default_rng(1))
    assert crops.shape == (4, 1, 3200)
    loudness = 20 * crops.square().mean(-1).sqrt().log10()
    assert (loudness + 22).abs().max() < 1
    assert _recordings(values, gain_db=40).crops(np.random.default_rng(1)).abs().max() <= 0.9501


def test_the_same_seed_gives_the_same_crops(values):
    first, second = (_recordings(values).crops(np.random.default_rng(7)) for _ in range(2))
    assert first.equal(second)
    assert not first.equal(_recordings(values).crops(np.random.default_rng(8)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"held_out": 3}, "MANIFEST.csv has 3 recordings longer than a crop of 0.20 s; held_out is 3, and none"),
        ({"crop_frames": 100}, "has 0 recordings longer than a crop of 2.00 s"),
        ({"kinds": {"noise": 1}}, "kinds has 'noise', but no recording of .*MANIFEST.csv"),
    ],
)
def test_refusals(values, change, words):
    with pytest.raises(ValueError, match=words):
        _recordings(values, **change)


def test_folders_without_recordings(values, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="none holds no audio"):
        _recordings(values, audio=str(tmp_path / "none"))
    (tmp_path / "none" / "MANIFEST.csv").write_text("name\na.wav\n")
    with pytest.raises(ValueError, match="the columns file and kind"):
        _recordings(values, audio=str(tmp_path / "none"))


@pytest.mark.parametrize("kind", ["speech", ""])
def test_a_file_that_the_manifest_names_must_be_there(values, folder, kind):
    with (folder / "MANIFEST.csv").open("a") as file:
        file.write(f"gone.wav,{kind}\n")
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        _recordings(values)


def test_16_bit_samples_are_kept(values, folder):
    samples = np.random.default_rng(0).integers(-32768, 32768, 16000).astype(np.int16)
    samples[:2] = -32768, 32767
    soundfile.write(folder / "a.wav", samples, 16000)
    soundfile.write(folder / "b.wav", [1.5, -1.5, *np.zeros(15998)], 16000, subtype="FLOAT")
    first, second, _ = _recordings(values).clips
    assert np.array_equal(first.samples, samples)
    assert second.samples[:3].tolist() == [32767, -32768, 0]


def test_silence_is_not_raised_without_end(values, folder):
    soundfile.write(folder / "a.wav", np.zeros(16000), 16000)
    (folder / "MANIFEST.csv").write_text("file,kind\na.wav,speech\n")
    assert not _recordings(values).crops(np.random.default_rng(0)).any()
