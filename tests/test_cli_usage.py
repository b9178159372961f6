"""A wrong command line: one line that names the option, its value and what is allowed, and exit code 2."""

import os

import pytest

from .commands import refused


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("encode", "missing argument 'INPUT OUTPUT'; "),
        ("encode a", "give one input and one output, or --output-dir with any number of inputs, not 1 path; "),
        ("decode a", "give one input and one output, or --output-dir with any number of inputs, not 1 path; "),
        ("roundtrip a b c", "give one input and one output, or --output-dir with any number of inputs, not 3 paths; "),
        ("encode a b --no-such-option", "no such option: --no-such-option"),
        ("encode a b --bandwidth", "option '--bandwidth' requires an argument"),
        ("encode a b --window x", "--window 'x' is neither a number of seconds above 0 nor 'none'"),
        ("encode a b --window 0", "--window '0' is neither"),
        ("encode a b --window inf", "--window 'inf' is neither"),
        ("encode a b --window 5 --chunk-ms 80", "--window '5' does not go with --chunk-ms, --lookahead-ms and"),
        ("encode a b --suffix .npz", "--suffix .npz goes with --output-dir alone"),
        ("encode a b --device tpu", "--device 'tpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        ("encode a b --bandwidth x", "--bandwidth 'x' "),
        ("roundtrip a b --lookahead-ms -1", "--lookahead-ms is -1 ms, but must be at least 0 and finite"),
        ("decode a b --sample-rate x", "--sample-rate 'x' is neither 'original' nor a rate of 1..1000000 Hz"),
        ("decode a b --sample-rate -5", "--sample-rate '-5' is neither"),
        ("stream a --input-rate 0", "--input-rate "),
        ("streaming-report a --chunk-ms 40,x", "--chunk-ms '40,x' is no list of numbers of ms, such as 20,40"),
        ("streaming-report a --chunk-ms 40,-1", "--chunk-ms is -1 ms, but must be above 0"),
        ("no-such-command", "no such command 'no-such-command'"),
    ],
)
def test_what_needs_no_model(run, arguments, line):
    result = run(*arguments.split())
    refused(result, code=2)
    assert result.err.startswith(f"xcodec-fast: {line}")


@pytest.mark.parametrize("command", ["encode in.wav a.xcodec", "roundtrip in.wav a.wav", "streaming-report in.wav"])
@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--bandwidth 3", "--bandwidth 3 kbps is not supported; it must be one of [0.5, 1, 1.5, 2, 4]"),
        ("--bandwidth nan", "--bandwidth nan kbps is not supported"),
        ("--chunk-ms 50", "--chunk-ms is 50 ms, but must be a multiple of the frame, 20 ms"),
    ],
)
def test_what_the_model_has_not(run, tone, command, option, line):
    tone()
    result = run(*command.split(), *option.split())
    refused(result, code=2)
    assert result.err.startswith(f"xcodec-fast: {line}")
    assert os.listdir() == ["in.wav"]


def test_no_command_is_the_help(run):
    result = run()
    assert (result.code, result.err) == (2, "")
    assert "Usage:" in result.out
