"""One picture of a streaming report: what latency buys, and what it costs to compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xcodec_fast.plot import pyplot
from xcodec_fast.streaming_report import StreamingReport


def plot_streaming(path: Path, report: StreamingReport) -> None:
    """Draws agreement, distance and real-time factor over latency, a line for each left context and lookahead.

    Raises ImportError as `pyplot` does.
    """
    plt = pyplot()
    figure, axes = plt.subplots(3, 1, figsize=(9, 11), sharex=True, layout="constrained")
    for left, lookahead in sorted({(row.settings.left_context_ms, row.settings.lookahead_ms) for row in report.rows}):
        chosen = (left, lookahead)
        rows = [row for row in report.rows if (row.settings.left_context_ms, row.settings.lookahead_ms) == chosen]
        rows.sort(key=lambda row: row.latency_ms)
        curves = (
            [100 * np.mean(row.agreement) for row in rows],
            [row.log_mel_db for row in rows],
            [row.real_time_factor for row in rows],
        )
        for axis, values in zip(axes, curves, strict=True):
            label = f"left context {left:g} ms, lookahead {lookahead:g} ms"
            axis.plot([row.latency_ms for row in rows], values, "o-", label=label)
    axes[0].set(title="codes equal to those of whole clips, all stages", ylabel="%", ylim=(0, 105))
    axes[1].axhline(report.whole_log_mel_db, color="black", linestyle="--", label="codes of whole clips")
    axes[1].set(title="log-mel distance from the clips", ylabel="dB")
    axes[2].axhline(1, color="black", linestyle="--", label="as fast as audio comes")
    axes[2].set(title="real-time factor, encoding and decoding", ylabel="s per s", xlabel="algorithmic latency, ms")
    axes[2].set_ylim(bottom=0)
    for axis in axes[1:]:
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
