"""The command line, `xcodec-fast`. An error is one line on stderr and exit code 1; 2 for a wrong command line."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from xcodec_fast import transcode
from xcodec_fast.audio import AUDIO_SUFFIXES, check_audio_suffix
from xcodec_fast.cli_evaluate import evaluation
from xcodec_fast.cli_options import (
    Bandwidth,
    ChunkMs,
    Force,
    LeftContextMs,
    LookaheadMs,
    Model,
    Mono,
    OnDevice,
    OutputDir,
    Paths,
    SampleRate,
    Suffix,
    Window,
    as_sample_rate,
    as_streaming,
    as_window,
    check_fit,
    input_files,
)
from xcodec_fast.cli_paths import pair_paths
from xcodec_fast.cli_report import report
from xcodec_fast.cli_stream import stream
from xcodec_fast.cli_train import train
from xcodec_fast.cli_usage import UsageError, usage_line
from xcodec_fast.cli_work import Device, Models, as_line, each_file, printable
from xcodec_fast.codes_info import ClipCodes, CodesInfo
from xcodec_fast.config import CONFIG_FILE
from xcodec_fast.container import SUFFIXES, CodesSuffix, check_suffix, load_codes, save_codes
from xcodec_fast.convert import convert_checkpoint
from xcodec_fast.demo import run_demo
from xcodec_fast.describe import codes_text, describe, size_text, windows_text
from xcodec_fast.model import XcodecModel
from xcodec_fast.whole import make_folder
from xcodec_fast.words import counted

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _commands(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """X-Codec, the 16 kHz neural audio codec."""
    if show_version:
        print(version("xcodec-fast"))
        raise typer.Exit


@app.command()
def encode(
    paths: Paths,
    output_dir: OutputDir = None,
    suffix: Suffix = None,
    model: Model = "xcodec-tiny",
    bandwidth: Bandwidth = None,
    device: OnDevice = Device.auto,
    window: Window = "auto",
    chunk_ms: ChunkMs = None,
    lookahead_ms: LookaheadMs = None,
    left_context_ms: LeftContextMs = None,
    mono: Mono = False,
    force: Force = False,
) -> None:
    """Audio to codes. OUTPUT ends in .xcodec (packed bits) or .npz (for numpy)."""
    how = _how_to_encode(bandwidth, window, chunk_ms, lookahead_ms, left_context_ms, mono)
    if suffix is not None and output_dir is None:
        raise typer.BadParameter(f"{suffix} goes with --output-dir alone: OUTPUT has its own", param_hint="--suffix")
    pairs = pair_paths(paths, output_dir, suffix or CodesSuffix.xcodec, force, AUDIO_SUFFIXES)
    for _, output in pairs:
        check_suffix(output)
    loaded = Models(device).load(model)
    check_fit(loaded, bandwidth, how["streaming"])

    def work(source: Path, output: Path, progress: transcode.OnProgress) -> str:
        clip = transcode.encode_file(loaded, source, **how, progress=progress)
        make_folder(output.parent)
        save_codes(output, clip)
        return f"{source} -> {output}: {_summary(clip.info)}, {size_text(output, clip.info)}"

    each_file(pairs, work, force)


@app.command()
def decode(
    paths: Paths,
    output_dir: OutputDir = None,
    model: Annotated[str | None, typer.Option(help="Of the codes, where the file does not name a known one.")] = None,
    device: OnDevice = Device.auto,
    sample_rate: SampleRate = None,
    force: Force = False,
) -> None:
    """Codes to audio. OUTPUT's suffix names the format, such as .wav, .flac or .ogg."""
    rate = as_sample_rate(sample_rate)
    pairs = pair_paths(paths, output_dir, ".wav", force, SUFFIXES)
    for _, output in pairs:
        check_audio_suffix(output)
    models = Models(device)

    def work(source: Path, output: Path, progress: transcode.OnProgress) -> str:
        clip = load_codes(source)
        return _decode(models.load_for(source, clip.info, model), source, clip, output, rate, progress)

    each_file(pairs, work, force)


@app.command()
def roundtrip(
    paths: Paths,
    output_dir: OutputDir = None,
    model: Model = "xcodec-tiny",
    bandwidth: Bandwidth = None,
    device: OnDevice = Device.auto,
    window: Window = "auto",
    chunk_ms: ChunkMs = None,
    lookahead_ms: LookaheadMs = None,
    left_context_ms: LeftContextMs = None,
    sample_rate: SampleRate = None,
    mono: Mono = False,
    force: Force = False,
) -> None:
    """Audio to codes and back to audio, to hear what a bandwidth costs."""
    how = _how_to_encode(bandwidth, window, chunk_ms, lookahead_ms, left_context_ms, mono)
    rate = as_sample_rate(sample_rate)
    pairs = pair_paths(paths, output_dir, ".wav", force, AUDIO_SUFFIXES)
    for _, output in pairs:
        check_audio_suffix(output)
    loaded = Models(device).load(model)
    check_fit(loaded, bandwidth, how["streaming"])

    def work(source: Path, output: Path, progress: transcode.OnProgress) -> str:
        clip = transcode.encode_file(loaded, source, **how, progress=progress)
        return _decode(loaded, source, clip, output, rate, progress)

    each_file(pairs, work, force)


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The authors' .pth.")],
    config_yaml: Annotated[Path, typer.Argument(metavar="CONFIG_YAML", help="The yaml that it was trained with.")],
    output_dir: Annotated[Path, typer.Argument(metavar="FOLDER", help="Created; --model takes it.")],
    force: Force = False,
) -> None:
    """A checkpoint of the original authors to a folder that this package and transformers load."""
    if (output_dir / CONFIG_FILE).exists() and not force:
        raise FileExistsError(f"{output_dir} holds a checkpoint already: --force replaces it")
    model = convert_checkpoint(checkpoint, config_yaml, output_dir)
    print(f"{checkpoint} -> {output_dir}: {sum(tensor.numel() for tensor in model.state_dict().values()):,} values")


@app.command()
def info(name: Annotated[str, typer.Argument(metavar="FILE_OR_MODEL")]) -> None:
    """What a file of codes, or a model as --model takes it, holds."""
    for line in describe(name):
        print(printable(line))


@app.command()
def demo(
    audio: Annotated[
        Path | None, input_files("AUDIO", "Any file that soundfile reads; a speech clip if left out.")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Where the files go; created.")] = Path("demo"),
) -> None:
    """Encode and decode a clip with the embedded model; write the codes, both as WAV, and a picture."""
    run_demo(audio, output_dir, Console(highlight=False, soft_wrap=True))


app.command()(stream)
app.command("streaming-report")(report)
app.command("evaluate")(evaluation)
app.command()(train)


def _how_to_encode(
    bandwidth: float | None,
    window: str,
    chunk_ms: float | None,
    lookahead_ms: float | None,
    left_context_ms: float | None,
    mono: bool,
) -> dict[str, Any]:
    """The options as keywords of `encode_file`."""
    return {
        "bandwidth": bandwidth,
        "window": as_window(window),
        "streaming": as_streaming(chunk_ms, lookahead_ms, left_context_ms, window),
        "mono": mono,
    }


def _decode(
    model: XcodecModel,
    source: Path,
    clip: ClipCodes,
    output: Path,
    rate: int | Literal["original"] | None,
    progress: transcode.OnProgress,
) -> str:
    written_rate = clip.info.original_rate if rate == "original" else rate or clip.info.sample_rate
    make_folder(output.parent)
    samples = transcode.decode_file(model, clip, output, sample_rate=written_rate, progress=progress)
    return f"{source} -> {output}: {_summary(clip.info)}, {counted(samples, 'sample')} at {written_rate} Hz"


def _summary(codes: CodesInfo) -> str:
    windows = "" if codes.windows is None else f", in windows {windows_text(codes)}"
    return f"{codes.seconds:.2f} s{windows}, {codes_text(codes)}"


def main() -> None:
    """Entry point of the `xcodec-fast` command. XCODEC_FAST_DEBUG=1 shows where an error comes from."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files are removed
    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        if line := usage_line(error):
            print(printable(f"xcodec-fast: {line}"), file=sys.stderr)
        sys.exit(2)
    except typer.Abort:  # Ctrl-C, by older typers
        sys.exit(130)
    except Exception as error:
        if os.environ.get("XCODEC_FAST_DEBUG"):
            raise
        print(as_line(error), file=sys.stderr)
        sys.exit(1)
