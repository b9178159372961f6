"""The picture of a bench run: how many times as long as ours transformers takes, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw_ratios(
    path: Path, cases: Sequence[str], ratios: Mapping[str, Sequence[float | None]], titles: Sequence[str]
) -> bool:
    """Writes a PNG; ratios: by rival, one a case, None where none was measured. False where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 1.5 + 0.45 * len(cases)), layout="constrained")
    axes = figure.subplots()
    for rival, (name, measured) in enumerate(ratios.items()):
        at = [case + 0.4 * rival - 0.2 for case in range(len(cases))]
        bars = axes.barh(at, [ratio or 0.0 for ratio in measured], height=0.38, label=name)
        axes.bar_label(bars, ["" if ratio is None else f"{ratio:.2f}" for ratio in measured], padding=2, fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(cases)), cases)
    axes.invert_yaxis()
    axes.set_xlabel("transformers' time / ours")
    axes.legend(loc="lower right")
    axes.set_title("\n".join(titles), fontsize=8)
    figure.savefig(path, dpi=110)
    return True
