"""X-Codec, the 16 kHz neural audio codec, as a fast drop-in PyTorch model."""

from xcodec_fast.config import AcousticConfig, HubertConfig, WavLMConfig, XcodecConfig
from xcodec_fast.container import clip_codes, load_codes, save_codes
from xcodec_fast.convert import convert_checkpoint
from xcodec_fast.dispatch import backend
from xcodec_fast.features import XcodecFeatureExtractor
from xcodec_fast.model import XcodecModel
from xcodec_fast.outputs import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec_fast.streaming import StreamingXcodec
from xcodec_fast.streaming_batch import StreamingXcodecBatch
from xcodec_fast.swap import accelerate, restore
from xcodec_fast.windows import StreamSettings

AutoFeatureExtractor = XcodecFeatureExtractor

__all__ = [
    "AcousticConfig",
    "AutoFeatureExtractor",
    "HubertConfig",
    "StreamSettings",
    "StreamingXcodec",
    "StreamingXcodecBatch",
    "WavLMConfig",
    "XcodecConfig",
    "XcodecDecoderOutput",
    "XcodecEncoderOutput",
    "XcodecFeatureExtractor",
    "XcodecModel",
    "XcodecOutput",
    "accelerate",
    "backend",
    "clip_codes",
    "convert_checkpoint",
    "load_codes",
    "restore",
    "save_codes",
]
