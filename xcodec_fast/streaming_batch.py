"""A batch of independent streams: audio to codes and codes to audio as they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from xcodec_fast import checks
from xcodec_fast.audio import check_rate
from xcodec_fast.derived import weights_mark
from xcodec_fast.model import XcodecModel, require_model
from xcodec_fast.one_call import in_turn
from xcodec_fast.resampling import largest_lag
from xcodec_fast.state_checks import check_keys, damaged
from xcodec_fast.stream_decoder import StreamDecoder
from xcodec_fast.stream_encoder import StreamEncoder
from xcodec_fast.windows import StreamSettings, Windows, check_duration, in_frames
from xcodec_fast.words import counted, kind_of


class StreamingXcodecBatch:
    """B independent streams, stepped together: rows begin, pause, end, are kept and restored on their own.

    Args:
        model: an XcodecModel; its device and dtype are used. A stream that has begun keeps to them.
        batch_size: B.
        chunk_ms, lookahead_ms, left_context_ms: as in `StreamSettings`.
        bandwidth: kbps, as `model.encode` takes it.
        sample_rate: Hz, of the caller's audio, in and out; None for the model's.
        decode_lookahead_ms: None for exact decoding, which waits for all that the decoder's layers read (200 ms at the
            default config); a shorter one decodes in windows of `chunk_ms`, with a crossfade of one frame.
        cuda_graph: whether steps are captured as CUDA graphs; None: where the model is on a CUDA device.

    A stream takes one call at a time in each direction: `push` on one thread beside `push_codes` on another, but no
    second call within one; `reset`, `state_dict` and `load_state_dict` are calls in both. One that comes at a wrong
    time raises RuntimeError and changes nothing.

    The acoustic layers must be plain: a step would leave out what hooks or adapters on them do, and so refuses them
    with a TypeError when a stream begins.

    Attributes: latency_ms, from a sample's arrival to its codes at the latest; decode_latency_ms, from a code's to its
    audio; both with the resampler's.

    Raises TypeError and ValueError on an argument that is not allowed.
    """

    def __init__(
        self,
        model: XcodecModel,
        batch_size: int,
        *,
        chunk_ms: float = StreamSettings.chunk_ms,
        lookahead_ms: float = StreamSettings.lookahead_ms,
        left_context_ms: float = StreamSettings.left_context_ms,
        bandwidth: float | None = None,
        sample_rate: int | None = None,
        decode_lookahead_ms: float | None = None,
        cuda_graph: bool | None = None,
    ) -> None:
        require_model(model)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}, but must be a whole number, 1 or more")
        config = model.config
        self.settings = StreamSettings(chunk_ms, lookahead_ms, left_context_ms)
        windows, frame_ms = model.stream_windows(self.settings), config.frame_ms
        self.bandwidth = checks.chosen_bandwidth(bandwidth, config.target_bandwidths)
        self.sample_rate = config.sample_rate if sample_rate is None else sample_rate
        check_rate(self.sample_rate)
        self.decode_lookahead_ms = decode_lookahead_ms
        decode_windows = _decode_windows(model, windows.chunk, decode_lookahead_ms)
        if cuda_graph and model.device.type != "cuda":
            raise ValueError(f"cuda_graph is True, but the model is on {model.device}")

        self._model, self.batch_size = model, batch_size
        self._hashed: tuple[Any, list[Tensor], str] | None = None
        self.latency_ms = float((windows.chunk + windows.lookahead) * frame_ms)
        self.latency_ms += 1000 * largest_lag(self.sample_rate, config.sample_rate)
        waits = windows.chunk - 1 + decode_windows.lookahead if decode_windows else model.acoustic_decoder.context()
        self.decode_latency_ms = float(waits * frame_ms) + 1000 * largest_lag(config.sample_rate, self.sample_rate)
        self._encoder = StreamEncoder(model, batch_size, windows, self.bandwidth, self.sample_rate, cuda_graph)
        self._decoder = StreamDecoder(model, batch_size, windows.chunk, decode_windows, self.sample_rate, cuda_graph)

    @in_turn("_encoder")
    def push(self, chunks: Sequence[Any], *, check: bool = True) -> list[Tensor]:
        """A chunk of audio for each row, None for nothing -> each row's codes `[1, Q, f]`, int64.

        A chunk is mono PCM at `sample_rate`, `[n]`, `[1, n]`, `[n, 1]` or `[1, 1, n]`, n >= 0, numpy or torch: float32
        or float64 in [-1, 1], int16 or int32. Floats are taken as they are: divide 16-bit values in floats by 32768.
        `check=False` leaves out the look for NaN and infinity.

        Raises TypeError and ValueError on what is not that; every stream then goes on as if it had not been given.
        After an error in a step, such as a lack of memory, it counts as given: its codes come with the next push.
        """
        return self._encoder.push(self._given(chunks, "chunks"), check)

    @in_turn("_encoder")
    def flush(self, rows: Sequence[int] | None = None) -> list[Tensor]:
        """Ends the audio of some rows, None for all: the rest of their codes, of a last frame filled up with zeros.

        A list of B, as `push` gives, with no frames for the rows not named. The named rows' encoders then start anew.
        """
        return self._encoder.flush(self._indices(rows))

    @in_turn("_decoder")
    def push_codes(self, audio_codes: Sequence[Any], *, check: bool = True) -> list[Tensor]:
        """Codes `[1, Q, f]` for each row, f >= 0, None for nothing -> each row's audio `[1, 1, t]` at `sample_rate`.

        Whole frames at the model's rate; at another, what the resampler has ready. Q is the same for all rows, from a
        stream's start to its end.

        Raises TypeError, ValueError and IndexError as `model.decode` does; every stream then goes on as if nothing had
        been given. `check` is there as `model.decode` has it, and changes nothing: codes wait on the CPU, where their
        range is always looked at.
        """
        return self._decoder.push(self._given(audio_codes, "audio_codes"))

    @in_turn("_decoder")
    def flush_codes(self, rows: Sequence[int] | None = None) -> list[Tensor]:
        """Ends the codes of some rows, None for all: the rest of their audio.

        A list of B, as `push_codes` gives, with no samples for the rows not named. The named rows' decoders then start
        anew.
        """
        return self._decoder.flush(self._indices(rows))

    @in_turn("_encoder", "_decoder")
    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Some rows, None for all, start anew; what they held is dropped."""
        indices = self._indices(rows)
        self._encoder.reset(indices)
        self._decoder.reset(indices)

    @in_turn("_encoder", "_decoder")
    def state_dict(self, rows: Sequence[int] | None = None) -> dict[str, Any]:
        """Copies of the states of some rows, None for all: tensors on the CPU and plain values, for `torch.save`."""
        return {
            "settings": self._settings(),
            "rows": [
                {"encoder": self._encoder.state_dict(index), "decoder": self._decoder.state_dict(index)}
                for index in self._indices(rows)
            ],
        }

    @in_turn("_encoder", "_decoder")
    def load_state_dict(self, state: dict[str, Any], rows: Sequence[int] | None = None) -> None:
        """Some rows, None for all, go on where the rows of `state` were.

        Raises TypeError and ValueError where it is no such state, is damaged, or was taken with other codebooks, other
        settings, or tensors of other shapes or another dtype; every row then stays as it was. What waits, and what is
        kept in float32 or float64, must be finite. Other weights that leave all these as they are cannot be told.
        """
        rows_given = self._rows_given(state)
        if state["settings"] != (own := self._settings()):
            theirs = state["settings"]
            differing = [key for key in own if own[key] != theirs[key]]
            was, now = ({key: settings[key] for key in differing} for settings in (theirs, own))
            raise ValueError(f"the state was taken with {was}, but this stream has {now}")
        indices = self._indices(rows)
        if len(rows_given) != len(indices):
            has = counted(len(rows_given), "row")
            raise ValueError(f"the state has {has}, but there are {len(indices)} to load it into")
        try:
            loads = [
                self._encoder.loading(indices, [row["encoder"] for row in rows_given]),
                self._decoder.loading(indices, [row["decoder"] for row in rows_given]),
            ]
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"the state is damaged: it is not what state_dict() gave ({error!r})") from error
        for load in loads:
            load()

    def _rows_given(self, state: Any) -> list[Any]:
        """The rows of a state, which must be a dict of settings and rows."""
        if not isinstance(state, dict):
            raise TypeError(f"state must be what state_dict() gave, but is {kind_of(state)}")
        if set(state) != {"settings", "rows"}:
            raise TypeError(f"state must be what state_dict() gave, settings and rows, but has the keys {list(state)}")
        for key, kind in (("settings", dict), ("rows", list)):
            if not isinstance(state[key], kind):
                raise TypeError(f"state[{key!r}] must be a {kind.__name__}, but is {kind_of(state[key])}")
        check_keys(state["settings"], "settings", self._settings())
        for name, value in state["settings"].items():
            if not isinstance(value, str | int | float | None):
                raise damaged(f"{name} is {kind_of(value)}, but must be a string, a number or None")
        for row in state["rows"]:
            check_keys(row, "a row", {"encoder", "decoder"})
        return state["rows"]

    def _codebooks(self) -> str:
        """Their hash, kept while they stay as they are; of tensors of inference mode that cannot be told."""
        quantizer = self._model.quantizer
        mark = weights_mark(quantizer.codebooks)
        if self._hashed is None or self._hashed[0] != mark or any(book.is_inference() for book in quantizer.codebooks):
            held = [book.detach() for book in quantizer.codebooks]  # so that no other can come to lie at its address
            self._hashed = mark, held, quantizer.codebooks_hash().hex()
        return self._hashed[2]

    def _settings(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "codebooks": self._codebooks(),
            "chunk_ms": float(settings.chunk_ms),
            "lookahead_ms": float(settings.lookahead_ms),
            "left_context_ms": float(settings.left_context_ms),
            "bandwidth": float(self.bandwidth),
            "sample_rate": self.sample_rate,
            "decode_lookahead_ms": None if self.decode_lookahead_ms is None else float(self.decode_lookahead_ms),
        }

    def _given(self, values: Sequence[Any], name: str) -> dict[int, Any]:
        if not isinstance(values, list | tuple):
            raise TypeError(f"{name} must be a list with an entry for each row, but is {kind_of(values)}")
        if len(values) != self.batch_size:
            has, rows = counted(len(values), "entry", "entries"), counted(self.batch_size, "row")
            raise ValueError(f"{name} has {has}, but the batch has {rows}")
        return {index: value for index, value in enumerate(values) if value is not None}

    def _indices(self, rows: Sequence[int] | None) -> list[int]:
        if rows is None:
            return list(range(self.batch_size))
        if not isinstance(rows, list | tuple | range) or not all(type(row) is int for row in rows):
            raise TypeError(f"rows must be a list of integers, but is {rows!r}")
        if any(not 0 <= row < self.batch_size for row in rows) or len(set(rows)) != len(rows):
            raise ValueError(f"rows is {list(rows)}, but must be different rows of 0..{self.batch_size - 1}")
        return list(rows)


def _decode_windows(model: XcodecModel, chunk: int, lookahead_ms: float | None) -> Windows | None:
    if lookahead_ms is None:
        return None
    frame_ms = model.config.frame_ms
    check_duration("decode_lookahead_ms", lookahead_ms, zero=True)
    lookahead, reach = in_frames("decode_lookahead_ms", lookahead_ms, frame_ms), model.acoustic_decoder.context()
    if lookahead >= reach:
        raise ValueError(
            f"decode_lookahead_ms is {lookahead_ms}, but must be below {float(reach * frame_ms):g}, what the decoder's "
            f"{reach} frames of context take: None decodes exactly, with that lookahead"
        )
    return Windows(chunk, reach, lookahead)
