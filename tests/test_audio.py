"""Audio files: any format and rate, piece by piece as at once, written whole or not at all."""

import numpy as np
import pytest
import soundfile

from xcodec_fast.audio import AudioReader, audio_writer, load_audio, save_audio
from xcodec_fast.transcode import encode_file

RATE = 16000


def test_files_are_read_as_mono_and_resampled_and_written_without_wrapping(tmp_path):
    time = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "tone.flac", np.stack([tone, np.zeros_like(tone)], 1), 48000)
    audio = load_audio(tmp_path / "tone.flac", 16000)
    assert (audio.sample_rate, audio.file_rate, audio.file_channels) == (16000, 48000, 2)
    with pytest.raises(ValueError, match=r"tone\.flac has 2 channels"):
        load_audio(tmp_path / "tone.flac", 16000, mono=False)
    expected = 0.5 * tone[::3]
    assert audio.samples.shape == expected.shape
    assert np.abs(audio.samples - expected)[100:-100].max() < 1e-3
    save_audio(tmp_path / "loud.wav", np.array([0.5, 1.5, -1.5]), 16000)
    assert np.abs(soundfile.read(tmp_path / "loud.wav")[0] - [0.5, 1, -1]).max() < 1e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_place_of_what_is_not_finite(tmp_path, bad, channels):
    """In the file's time, whatever piece it is read in and rate it is wanted at; of the channel that has it."""
    samples = np.zeros((200_000, channels), np.float32)
    samples[[132_300, 132_301], 0] = bad
    if channels == 2:
        samples[132_301:, 1] = -bad
    soundfile.write(tmp_path / "a.wav", samples, 44100, "FLOAT")
    with pytest.raises(ValueError, match=rf"sample 132300 of .*a\.wav, at 3 s, is {bad}; all must be finite"):
        load_audio(tmp_path / "a.wav", RATE)


@pytest.mark.filterwarnings("error")
def test_channels_as_loud_as_can_be(tmp_path):
    """Their sum is beyond float32, their mean is not; infinities of either sign are no NaN, as their sum is."""
    loud = np.full((9, 2), 3e38, np.float32)
    soundfile.write(tmp_path / "a.wav", loud, RATE, "FLOAT")
    assert np.array_equal(load_audio(tmp_path / "a.wav", RATE).samples, loud[:, 0])
    soundfile.write(tmp_path / "a.wav", [[np.inf, -np.inf]], RATE, "FLOAT")
    with pytest.raises(ValueError, match=r"sample 0 of .*a\.wav, at 0 s, is inf; all must be finite"):
        load_audio(tmp_path / "a.wav", RATE)


def test_any_number_of_samples_is_read_at_a_time(wav, speech):
    file = wav(150_000, 44100)
    whole = load_audio(file, RATE).samples
    for size in (999, 70_000, 10**6):
        with AudioReader(file, RATE) as reader:
            pieces = [reader.read(size) for _ in range(len(whole) // size + 2)]
        assert np.array_equal(np.concatenate(pieces), whole)
        assert {len(piece) for piece in pieces[:-2]} <= {size}


def test_extreme_rates(tmp_path):
    """An hour of 1 Hz is little to read at a time, but much when it is resampled."""
    soundfile.write(tmp_path / "slow.wav", 0.1 * np.ones(3600), 1)
    with AudioReader(tmp_path / "slow.wav", RATE) as reader:
        reader.read(RATE)
        assert sum(map(len, reader._ready)) < 3600 * RATE / 3  # soxr gives nothing before it has 800 samples
    soundfile.write(tmp_path / "fast.wav", np.zeros(9), 2_000_000)
    with pytest.raises(ValueError, match=r"fast\.wav has a sample rate of 2000000 Hz, but it must be in 1\.\.1000000"):
        load_audio(tmp_path / "fast.wav", RATE)


_SUFFIXES = ["wav", "flac", "ogg", "oga", "opus", "mp3", "aiff", "aif", "au", "w64", "caf", "rf64"]


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_formats_that_are_written_and_read(tmp_path, tiny, suffix, speech):
    save_audio(tmp_path / f"a.{suffix}", speech[:RATE].numpy(), RATE)
    clip = encode_file(tiny, tmp_path / f"a.{suffix}")
    assert clip.info.samples == RATE


@pytest.mark.parametrize(
    ("name", "samples", "rate", "error", "words"),
    [
        ("a.txt", np.zeros(9), RATE, ValueError, "suffix must be that of an audio format"),
        ("a", np.zeros(9), RATE, ValueError, "suffix must be that of an audio format"),
        ("a.sd2", np.zeros(9), RATE, ValueError, "suffix must be that of an audio format"),
        ("a.wav", np.zeros((2, 9)), RATE, ValueError, r"must be floats \[n\], but are float64 \[2, 9\]"),
        ("a.wav", np.zeros(9, int), RATE, ValueError, "but are int64"),
        ("a.wav", np.array([0, np.nan]), RATE, ValueError, "NaN or infinite"),
        ("a.wav", np.zeros(9), 16000.5, ValueError, "sample_rate is 16000.5"),
        ("a.wav", np.zeros(9), 0, ValueError, "sample_rate is 0"),
        ("a.wav", np.zeros(9), 1000001, ValueError, r"sample_rate is 1000001, .* in 1\.\.1000000"),
        ("a.mp3", np.zeros(9), 12345, OSError, "cannot be written at 12345 Hz"),
        ("no/a.wav", np.zeros(9), RATE, FileNotFoundError, "there is no folder"),
    ],
)
def test_audio_that_cannot_be_written_leaves_nothing(tmp_path, name, samples, rate, error, words):
    with pytest.raises(error, match=words):
        save_audio(tmp_path / name, samples, rate)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_disk_that_is_full(tmp_path, suffix, speech):
    """A limit of the system stops the writing as a full disk does: at once, within, and at the last byte."""
    resource = pytest.importorskip("resource")
    file, before = tmp_path / f"a.{suffix}", resource.getrlimit(resource.RLIMIT_FSIZE)
    save_audio(file, speech[:RATE].numpy(), RATE)
    size = file.stat().st_size
    file.unlink()
    for limit in (0, 20, size // 2, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError, match=rf"a\.{suffix} cannot be written: File too large$"):
                save_audio(file, speech[:RATE].numpy(), RATE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_middle_leaves_what_was_there(tmp_path):
    save_audio(tmp_path / "a.wav", np.zeros(5), RATE)
    before = (tmp_path / "a.wav").read_bytes()

    def interrupted():
        with audio_writer(tmp_path / "a.wav", RATE) as append:
            append(np.ones(10**6))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a.wav").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "a.wav"]


def test_a_damaged_file_says_so(tmp_path, speech):
    save_audio(tmp_path / "a.flac", np.resize(speech.numpy(), 20 * RATE), RATE)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"a\.flac is damaged: "):
        load_audio(tmp_path / "a.flac", RATE)
