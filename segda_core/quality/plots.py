"""One picture for each metric: its values against true mIoU, coloured by method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from segda_core.quality.catalogue import FULL_METRICS
from segda_core.quality.selection import Row


def plot_metrics(rows: Sequence[Row], across: Mapping[str, Mapping[str, Any]], folder: Path) -> list[str]:
    """Write METRIC.png of every metric that some row has; returns the metrics' names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in across if name in FULL_METRICS]
    for name in names:
        _plot(rows, name, across[name].get("rho"), folder / f"{name}.png")
    return names


def _plot(rows: Sequence[Row], name: str, rho: float | None, path: Path) -> None:
    """Last checkpoints are filled, earlier ones small."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    methods = sorted({row.method for row in rows})
    colours = colormaps["tab10"](np.arange(len(methods)) % 10)
    for method, colour in zip(methods, colours, strict=True):
        for last, size in ((False, 10), (True, 36)):
            own = [row for row in rows if (row.method, row.last) == (method, last)]
            points = [(value, 100 * row.miou) for row in own if (value := row.metrics.get(name)) is not None]
            if points:
                x, y = zip(*points, strict=True)
                axes.scatter(x, y, s=size, color=[colour], label=method if last else None)
    better = "higher" if FULL_METRICS[name].sign > 0 else "lower"
    axes.set_xlabel(f"{name} ({better} is better)")
    axes.set_ylabel("mIoU %")
    axes.set_title("too few trials" if rho is None else f"signed Spearman {rho:+.2f} over last checkpoints")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
