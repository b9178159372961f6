"""A run's losses as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from xcodec_fast.plot import pyplot

_NOT_DRAWN = ("step", "minutes", "learning_rate", "total")
_FEW = 20  # rows: each is marked, as a line of one would not be seen


def plot_curves(path: Path, curves: Path) -> None:
    """Draws each loss of a run's CSV over its steps, as a PNG. Raises ImportError as `plot.pyplot` does."""
    plt = pyplot()
    with curves.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in _NOT_DRAWN]
    figure, axes = plt.subplots(len(names), 1, figsize=(8, 2 * len(names)), sharex=True, layout="constrained")
    steps = [int(row["step"]) for row in rows]
    for axis, name in zip(axes, names, strict=True):
        axis.plot(steps, [float(row[name]) for row in rows], marker="." if len(rows) < _FEW else None)
        axis.set(ylabel=name.replace("_", " "))
        axis.grid(alpha=0.3)
    axes[-1].set(xlabel="steps")
    figure.savefig(path, dpi=110)
    plt.close(figure)
