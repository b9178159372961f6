"""The demo: one clip through the codec, with what it became as audio, a picture and figures."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape

from xcodec_fast.audio import load_audio, save_audio
from xcodec_fast.container import clip_codes, load_codes, save_codes
from xcodec_fast.describe import codes_text, size_text
from xcodec_fast.features import XcodecFeatureExtractor
from xcodec_fast.hub import ASSETS
from xcodec_fast.model import XcodecModel
from xcodec_fast.plot import plot_round_trip
from xcodec_fast.whole import make_folder, written_whole

SPEECH = ASSETS / "speech.flac"
CODES, ORIGINAL, RECONSTRUCTION, PICTURE = "codes.xcodec", "original.wav", "reconstruction.wav", "roundtrip.png"


def run_demo(audio_path: Path | None, output_dir: Path, console: Console) -> None:
    """A file, by default the bundled clip, to codes with `xcodec-tiny` and back; writes them, two WAVs and a PNG.

    Raises OSError where a file cannot be read or written, ValueError where it is not audio.
    """
    if audio_path and any((output_dir / name).resolve() == audio_path.resolve() for name in (ORIGINAL, RECONSTRUCTION)):
        raise ValueError(f"{audio_path} would be overwritten by the demo's own: give another --output-dir")
    model = XcodecModel.from_pretrained("xcodec-tiny")
    extractor = XcodecFeatureExtractor.from_pretrained("xcodec-tiny")
    rate = extractor.sampling_rate
    audio = load_audio(audio_path or SPEECH, rate)
    make_folder(output_dir)

    console.print(
        f"audio           {escape(str(audio_path or 'bundled speech clip'))}: {len(audio.samples) / rate:.2f} s"
    )
    if audio.file_rate != rate:
        console.print(f"                resampled from {audio.file_rate} Hz to {rate} Hz")
    if audio.file_channels > 1:
        console.print(f"                mixed down from {audio.file_channels} channels to mono")
    console.print("model           xcodec-tiny (embedded)")

    inputs = extractor(audio.samples, sampling_rate=rate, return_tensors="pt")
    with torch.inference_mode():
        started = time.perf_counter()
        codes = model.encode(inputs["input_values"]).audio_codes
        encoded = time.perf_counter()
        save_codes(
            output_dir / CODES,
            clip_codes(
                codes,
                model,
                samples=len(audio.samples),
                original_rate=audio.file_rate,
                original_samples=audio.file_samples,
            ),
        )
        saved = load_codes(output_dir / CODES, model)
        loaded = time.perf_counter()
        values = model.decode(saved.audio_codes).audio_values
        decoded = time.perf_counter()
    reconstruction = values[0, 0, : len(audio.samples)].numpy()

    seconds = inputs["input_values"].shape[-1] / rate
    console.print(f"input_values    {list(inputs['input_values'].shape)}")
    console.print(f"audio_codes     {list(codes.shape)}: {codes_text(saved.info)}")
    console.print(f"{CODES}    {size_text(output_dir / CODES, saved.info)}")
    console.print(f"audio_values    {list(values.shape)}")
    for name, spent in (("encode", encoded - started), ("decode", decoded - loaded)):
        console.print(
            f"{name}          {1000 * spent:.0f} ms, {seconds / spent:.1f}x real time (first call, {model.device})"
        )

    save_audio(output_dir / ORIGINAL, audio.samples, rate)
    save_audio(output_dir / RECONSTRUCTION, reconstruction, rate)
    written = [CODES, ORIGINAL, RECONSTRUCTION]
    try:
        with written_whole(output_dir / PICTURE) as temporary:
            plot_round_trip(temporary, audio.samples, reconstruction, codes[0].numpy(), rate)
        written.append(PICTURE)
    except ImportError as error:
        console.print(error, style="yellow", markup=False)
    console.print(f"wrote           {escape(', '.join(str(output_dir / name) for name in written))}")
