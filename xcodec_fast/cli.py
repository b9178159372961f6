"""The command line, `xcodec-fast`. Every error is one line on stderr with exit code 1; a wrong option is typer's, 2."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xcodec_fast.demo import run_demo

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """X-Codec, the 16 kHz neural audio codec."""


@app.command()
def demo(
    audio: Annotated[
        Path | None, typer.Argument(help="Any file that soundfile reads; a speech clip if left out.")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Where the WAVs and the PNG go; created.")] = Path("demo"),
) -> None:
    """Encode and decode a clip with the embedded model; write both as WAV, and a picture."""
    run_demo(audio, output_dir, Console(highlight=False, soft_wrap=True))


def main() -> None:
    """Entry point of the `xcodec-fast` command."""
    try:
        app()
    except (OSError, ValueError) as error:
        print(f"xcodec-fast: {error}", file=sys.stderr)
        sys.exit(1)
