"""Growth as figures: log-log, with the slope of every line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import write_whole
from benchmarks.growth import Growth, Series, slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MIB = 2**20

# Text stays text, and the same numbers make the same file.
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "growth"}


def draw(found: Growth, folder: Path) -> list[Path]:
    """Write `growth-frames.svg` and `growth-training.svg`; the paths."""
    groups: dict[str, list[Series]] = {"frames": [], "training": []}
    for series in found.series:
        groups["frames" if series.against == "frames" else "training"].append(series)
    return [
        _figure(series, folder / f"growth-{name}.svg") for name, series in groups.items() if series
    ]


def _figure(group: Sequence[Series], path: Path) -> Path:
    """Time on the left, memory on the right; a line for each series."""
    import matplotlib as mpl
    import seaborn as sns
    from matplotlib.figure import Figure

    sizes = {series.against for series in group}
    with mpl.rc_context(_SVG), sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        colours = sns.color_palette("colorblind", len(group))
        for series, colour in zip(group, colours, strict=True):
            label = series.what if len(sizes) == 1 else series.against
            _line(left, series, series.values("seconds"), label, colour)
            _line(right, series, [b / _MIB for b in series.values("private")], label, colour)
            if len(sizes) == 1:
                resident = [b / _MIB for b in series.values("resident")]
                _line(right, series, resident, f"{label}, with file pages", colour, "--")
        many = len(sizes) > 1
        for axes, unit in ((left, "seconds"), (right, "memory of the process at its peak, MiB")):
            axes.set(
                xscale="log",
                yscale="log",
                xlabel="size: see the legend" if many else sizes.copy().pop(),
                ylabel=f"{unit} of a step" if many and axes is left else unit,
            )
            axes.legend(frameon=True, fontsize="small", title="slope at the upper end")
            axes.grid(True, which="minor", linewidth=0.3)
        sns.despine(figure)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    write_whole(path, out.getvalue(), what="the figure", hint="choose another --figures")
    return path


def _line(
    axes: Axes,
    series: Series,
    values: Sequence[float],
    label: str,
    colour: tuple[float, float, float],
    style: str = "-",
) -> None:
    said = f"{label}: {slope(series.sizes, values):.2f}"
    axes.plot(series.sizes, values, style, color=colour, marker="o", markersize=4, label=said)
