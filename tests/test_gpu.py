"""On a GPU: the model as users call it reaches the kernels, and is transformers' at equal precision settings."""

import copy
from typing import Any

import pytest
import torch
import transformers

from xcodec_fast import StreamingXcodecBatch, XcodecFeatureExtractor, backend
from xcodec_fast.derived import derived, forget_derived

from .equality import first_differences

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm GPU"),
]
CUDNN: Any = torch.backends.cudnn  # whose type stubs lack `conv`
CONFIGS = ["hubert", "wavlm", "hubert-layer", "codebook-300", "ratio-3"]


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that were launched."""
    from triton.runtime.jit import JITFunction

    names = []
    run = JITFunction.run

    def counted(self, *args, **options):
        names.append(self.fn.__module__.rpartition(".")[2])
        return run(self, *args, **options)

    monkeypatch.setattr(JITFunction, "run", counted)
    return names


@pytest.fixture(params=["tf32", "ieee"])
def float32(request):
    """PyTorch's two settings for float32 convolutions; multiplications in IEEE both times, as is the default."""
    before = CUDNN.conv.fp32_precision
    CUDNN.conv.fp32_precision = request.param
    yield request.param
    CUDNN.conv.fp32_precision = before


def test_the_references_example_reaches_the_kernels(pair, speech, launched):
    """No `no_grad`, and weights that require gradients; then gradients that are those of the PyTorch branch."""
    model = copy.deepcopy(pair("hubert").ours).cuda()
    inputs = XcodecFeatureExtractor(hop_length=320)(speech[:16000], sampling_rate=16000, return_tensors="pt")
    output = model(**inputs.to("cuda"))
    assert {"rvq", "rvq_decode", "conv1d", "residual_unit"} <= set(launched)

    def gradient():
        model.zero_grad()
        model.decode(output.audio_codes).audio_values.square().mean().backward()
        return model.fc2.weight.grad.clone()

    ours = gradient()
    with backend("torch"):
        expected = gradient()
    assert (ours - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("name", CONFIGS)
def test_parity_with_transformers(pair, speech, float32, name):
    """First differences of codes, and audio, each measured against float64 beside what transformers itself loses."""
    ours = copy.deepcopy(pair(name).ours).cuda()
    theirs = transformers.XcodecModel(pair(name).reference.config).eval().cuda()
    theirs.load_state_dict(ours.state_dict())
    exact = copy.deepcopy(ours).double()
    audio = torch.stack([speech[5000 * row : 5000 * row + 32000] for row in range(4)])[:, None].cuda()
    with torch.inference_mode():
        codes = [model.encode(audio.to(model.dtype)).audio_codes for model in (exact, ours, theirs)]
        waves = [model.decode(codes[0]).audio_values.double() for model in (exact, ours, theirs)]
    frames = [int((found != codes[0]).any(1).sum()) for found in codes[1:]]
    errors = [float((wave - waves[0]).norm() / waves[0].norm()) for wave in waves[1:]]
    print(f"{name}, {float32}: frames unlike float64's, ours {frames[0]}, transformers {frames[1]}; audio {errors}")
    assert frames[0] <= 2 * frames[1] + 2
    assert errors[0] <= 2 * errors[1] + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_decodes_close_to_float32(pair, speech, dtype):
    model = copy.deepcopy(pair("hubert").ours).cuda()
    codes = model.encode(speech[None, None, :16000].cuda()).audio_codes
    with torch.inference_mode():
        expected = model.double().decode(codes).audio_values
        actual = model.to(dtype).decode(codes).audio_values.double()
        with backend("torch"):
            branch = model.decode(codes).audio_values.double()
    assert (actual - expected).norm() <= 1.5 * (branch - expected).norm()


def test_decode_compiles_as_one_graph(pair):
    model = copy.deepcopy(pair("hubert").ours).cuda()
    codes = torch.randint(1024, (1, 8, 20), device="cuda")
    with torch.inference_mode():
        expected = model.decode(codes).audio_values
        actual = torch.compile(model.decode, fullgraph=True)(codes).audio_values
    assert (actual - expected).norm() < 2e-3 * expected.norm()


def _slowly_doubled(x):
    torch.cuda._sleep(100_000_000)
    return 2 * x


def test_what_one_stream_derived_another_reads_whole():
    x = torch.ones(1000, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        derived(_slowly_doubled, x)
    assert derived(_slowly_doubled, x).eq(2).all()


def _unchanged(model):
    pass


def _changed_in_place(model):
    with torch.no_grad():
        for weight in (model.fc.weight, model.acoustic_decoder.conv1.weight):
            weight.mul_(1.01)


def _changed_through_data(model):
    for weight in (model.fc.weight, model.acoustic_decoder.conv1.weight):
        weight.data.mul_(1.01)
    forget_derived()


def _pushed(streams, clip):
    """Codes of two rows, of which the second ends early, in the pieces that pushes give."""
    pieces = [
        streams.push([clip[at : at + 1600], clip[at : at + 1600] if at < 9000 else None])
        for at in range(0, len(clip), 1600)
    ]
    return [*pieces, streams.flush()]


def _heard(streams, pieces):
    """The audio of each row's codes."""
    heard = [streams.push_codes([row if row.shape[-1] else None for row in piece]) for piece in pieces]
    return [torch.cat(row, -1) for row in zip(*heard, streams.flush_codes(), strict=True)]


@pytest.mark.parametrize("float32", ["ieee"], indirect=True)
@pytest.mark.parametrize("options", [{}, {"decode_lookahead_ms": 40}], ids=["exact", "windows"])
def test_streams_as_cuda_graphs(pair, speech, float32, options):
    """Captured and not, codes and audio agree; so they do after weights change.

    Within a capture the libraries may choose other algorithms, so a few codes may differ as those of two
    implementations do; audio is compared of the same codes.
    """
    model = copy.deepcopy(pair("hubert").ours).cuda()
    graphs, plain = (StreamingXcodecBatch(model, 2, chunk_ms=80, cuda_graph=on, **options) for on in (True, False))
    for change in (_unchanged, _changed_in_place, _changed_through_data):
        change(model)
        pieces, expected = (_pushed(streams, speech[:24000]) for streams in (graphs, plain))
        for row in (0, 1):
            codes, wanted = (torch.cat([piece[row] for piece in made], -1) for made in (pieces, expected))
            assert codes.shape == wanted.shape
            assert first_differences(wanted, codes).sum() <= max(2, codes.numel() / 1000)
        for audio, wanted in zip(*(_heard(streams, expected) for streams in (graphs, plain)), strict=True):
            assert audio.shape == wanted.shape
            assert (audio - wanted).norm() < 2e-3 * wanted.norm()


@pytest.mark.parametrize("name", ["hubert", "wavlm"])
def test_captured_calls(pair, speech, float32, name):
    """What the calls give, of every clip of that shape; and of the weights as they are."""
    model = copy.deepcopy(pair(name).ours).cuda()
    captured = model.capture((1, 1, 16000))
    for _ in range(2):
        for clip in speech[:32000].cuda().view(2, 1, 1, 16000):
            with torch.inference_mode():
                codes = model.encode(clip).audio_codes
                assert captured.encode(clip).audio_codes.equal(codes)
                torch.testing.assert_close(captured.decode(codes).audio_values, model.decode(codes).audio_values)
        with torch.no_grad():
            model.fc2.weight.mul_(2)
