"""The configuration of a model: X-Codec's own, and those of its acoustic and semantic parts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from xcodec_fast.hub import Source, read_json, write_json
from xcodec_fast.words import kind_of

CONFIG_FILE = "config.json"


class _JsonConfig:
    """Reads and writes a `config.json` section; keys it does not know stay with it as attributes."""

    return_dict: bool = True
    dtype: Any = None

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # any key that a config.json holds

    def to_dict(self) -> dict[str, Any]:
        """Every key, known or not, as JSON types."""
        return {
            key: value.to_dict() if isinstance(value, _JsonConfig) else _as_json(value)
            for key, value in sorted(vars(self).items())
        }

    def _keep(self, unknown: Mapping[str, Any]) -> None:
        # vars(), not setattr: a stored key may have the name of a derived property, such as hop_length.
        vars(self).update(unknown)


def _as_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@dataclass
class _PartConfig(_JsonConfig):
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        known = {field.name for field in fields(cls)}
        config = cls(**{key: value for key, value in values.items() if key in known})
        config._keep({key: value for key, value in values.items() if key not in known})
        return config


@dataclass
class AcousticConfig(_PartConfig):
    """Shape of the DAC encoder and decoder; the defaults are X-Codec's. Ratios are strides, outermost first."""

    model_type: str = "dac"
    encoder_hidden_size: int = 64
    downsampling_ratios: list[int] | tuple[int, ...] = (8, 5, 4, 2)
    decoder_hidden_size: int = 1024
    upsampling_ratios: list[int] | tuple[int, ...] = (8, 5, 4, 2)
    hidden_size: int = 256

    @property
    def hop_length(self) -> int:
        """Samples per frame: the product of the downsampling ratios."""
        return math.prod(self.downsampling_ratios)


@dataclass
class SemanticConfig(_PartConfig):
    """What HuBERT and WavLM have in common; the defaults are the base models'."""

    model_type: str = "hubert"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    feat_extract_norm: str = "group"
    feat_extract_activation: str = "gelu"
    conv_dim: list[int] | tuple[int, ...] = (512,) * 7
    conv_stride: list[int] | tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: list[int] | tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    mask_time_prob: float = 0.05
    mask_feature_prob: float = 0.0


@dataclass
class HubertConfig(SemanticConfig):
    """HuBERT (arXiv 2106.07447)."""

    conv_pos_batch_norm: bool = False
    feat_proj_layer_norm: bool = True


@dataclass
class WavLMConfig(SemanticConfig):
    """WavLM (arXiv 2110.13900): HuBERT with a gated relative position bias."""

    model_type: str = "wavlm"
    num_buckets: int = 320
    max_bucket_distance: int = 800


_SEMANTIC_CONFIGS = {"hubert": HubertConfig, "wavlm": WavLMConfig}


class XcodecConfig(_JsonConfig):
    """Configuration of an `XcodecModel`, with the parameters and the `config.json` of the reference.

    Args:
        target_bandwidths: bandwidths in kbps that `encode` accepts, ascending; the last sets the number of stages.
        sample_rate: of the audio, in Hz.
        kernel_size: of the semantic encoder's first convolution.
        channel_ratios, strides: one entry per semantic encoder block.
        block_dilations, unit_kernel_size: of the residual units in each semantic block.
        codebook_size: entries per codebook.
        codebook_dim: their width; None means `hidden_size`, the only width that the model accepts.
        initializer_range: standard deviation of a new model's linear weights.
        acoustic_model_config, semantic_model_config: dict, one of this module's dataclasses, or an object
            with `to_dict()`, such as transformers' DacConfig, HubertConfig and WavLMConfig.
        **unknown: any other key, kept and written back.

    Raises:
        TypeError: a sub-config of another type.
        ValueError: a `model_type` other than dac, hubert or wavlm.
    """

    model_type: ClassVar[str] = "xcodec"

    def __init__(
        self,
        target_bandwidths: list[int | float] | tuple[int | float, ...] = (0.5, 1, 1.5, 2, 4),
        sample_rate: int = 16000,
        kernel_size: int = 3,
        channel_ratios: list[float] | tuple[float, ...] = (1, 1),
        strides: list[int] | tuple[int, ...] = (1, 1),
        block_dilations: list[int] | tuple[int, ...] = (1, 1),
        unit_kernel_size: int = 3,
        codebook_size: int = 1024,
        codebook_dim: int | None = None,
        initializer_range: float = 0.02,
        acoustic_model_config: Any = None,
        semantic_model_config: Any = None,
        **unknown: Any,
    ) -> None:
        self.target_bandwidths = target_bandwidths
        self.sample_rate = sample_rate
        self.kernel_size = kernel_size
        self.channel_ratios = channel_ratios
        self.strides = strides
        self.block_dilations = block_dilations
        self.unit_kernel_size = unit_kernel_size
        self.codebook_size = codebook_size
        self.initializer_range = initializer_range
        self.acoustic_model_config: AcousticConfig = _acoustic(acoustic_model_config)
        self.semantic_model_config: HubertConfig | WavLMConfig = _semantic(semantic_model_config)
        self.codebook_dim = self.hidden_size if codebook_dim is None else codebook_dim
        self._keep({key: value for key, value in unknown.items() if key != "model_type"})

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.acoustic_model_config.hop_length

    @property
    def frame_rate(self) -> int:
        """Frames per second, rounded up."""
        return math.ceil(self.sample_rate / self.hop_length)

    @property
    def frame_ms(self) -> Fraction:
        """Duration of a frame in ms: 20 at the default config."""
        return Fraction(1000 * self.hop_length, self.sample_rate)

    @property
    def codebook_nbits(self) -> int:
        """Bits per code, rounded up."""
        return math.ceil(math.log2(self.codebook_size))

    @property
    def semantic_hidden_size(self) -> int:
        """Channels of the semantic features."""
        return self.semantic_model_config.hidden_size

    @property
    def hidden_size(self) -> int:
        """Channels of an embedding: acoustic and semantic side by side."""
        return self.acoustic_model_config.hidden_size + self.semantic_model_config.hidden_size

    @property
    def num_quantizers(self) -> int:
        """Stages of the residual vector quantizer: as many as the last target bandwidth pays for."""
        return int(1000 * self.target_bandwidths[-1] // (self.frame_rate * self.codebook_nbits))

    def to_dict(self) -> dict[str, Any]:
        """Every key, known or not, as JSON types."""
        return dict(sorted({**super().to_dict(), "model_type": self.model_type}.items()))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> XcodecConfig:
        """The config of a parsed `config.json`. Raises ValueError on another `model_type`."""
        if values.get("model_type", cls.model_type) != cls.model_type:
            raise ValueError(f"model_type is {values['model_type']!r}, but this package reads 'xcodec' only")
        return cls(**values)

    @classmethod
    def from_json_file(cls, path: str | Path) -> XcodecConfig:
        """Reads a `config.json`; the reference's configs have this method too.

        Raises OSError where it cannot be read, ValueError where it is not a JSON object or another model's, TypeError
        where a value is of a wrong kind.
        """
        return cls.from_dict(read_json(path))

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **hub: Any) -> XcodecConfig:
        """The config of an embedded model, a folder or a hub id; `hub` are the options of `hub.Source`."""
        return cls.from_source(Source(name_or_path, **hub))

    @classmethod
    def from_source(cls, source: Source) -> XcodecConfig:
        """The config of a checkpoint. Raises ValueError naming it where its `config.json` describes none."""
        values = source.json(CONFIG_FILE)
        try:
            return cls.from_dict(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{CONFIG_FILE} of {source.name_or_path}: {error}") from error

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Writes `config.json` into a folder, created if need be."""
        write_json(save_directory, CONFIG_FILE, self.to_dict())

    def __repr__(self) -> str:
        return f"XcodecConfig {json.dumps(self.to_dict(), indent=2, sort_keys=True)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, XcodecConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # mutable, like the reference's


def _as_dict(given: Any, name: str) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    if hasattr(given, "to_dict"):
        return dict(given.to_dict())
    raise TypeError(f"{name} must be a dict or a config object, but is {kind_of(given)}")


def _acoustic(given: Any) -> AcousticConfig:
    if isinstance(given, AcousticConfig):
        return given
    values = _as_dict({} if given is None else given, "acoustic_model_config")
    if values.get("model_type", "dac") != "dac":
        raise ValueError(f"the acoustic model_type is {values['model_type']!r}, but must be 'dac'")
    return AcousticConfig.from_dict(values)


def _semantic(given: Any) -> HubertConfig | WavLMConfig:
    if isinstance(given, HubertConfig | WavLMConfig):
        return given
    values = _as_dict({} if given is None else given, "semantic_model_config")
    model_type = values.get("model_type", "hubert")
    if model_type not in _SEMANTIC_CONFIGS:
        raise ValueError(f"the semantic model_type is {model_type!r}, but must be 'hubert' or 'wavlm'")
    return _SEMANTIC_CONFIGS[model_type].from_dict(values)
