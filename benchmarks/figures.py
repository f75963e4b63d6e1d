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
    """Time above memory, a column for each size that something is measured against."""
    import matplotlib as mpl
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    against = list(dict.fromkeys(series.against for series in group))
    with mpl.rc_context(_SVG), sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        wide = len(against) > 1
        figure = Figure((3.2 * len(against), 5.6) if wide else (7.6, 3.4), layout="constrained")
        shape = (2, len(against)) if wide else (1, 2)
        grid = figure.subplots(*shape, squeeze=False, sharey="row" if wide else "none")
        panels = grid.reshape(2, -1).T
        colours = iter(sns.color_palette("colorblind", len(group)))
        for size, (above, below) in zip(against, panels, strict=True):
            for series in group:
                if series.against == size:
                    colour = next(colours)
                    _line(above, series, "seconds", series.what, colour)
                    _line(below, series, "private", series.what, colour)
                    if not wide:
                        label = f"{series.what}, pages of files too"
                        _line(below, series, "resident", label, colour, "--")
            for axes, unit in ((above, "seconds"), (below, "peak memory, MiB")):
                axes.set(xscale="log", yscale="log", xlabel=size)
                if wide:
                    axes.set_xticks(group[against.index(size)].sizes, minor=False)
                    axes.xaxis.set_major_formatter("{x:.0f}")
                    axes.xaxis.set_minor_locator(NullLocator())
                if not wide or size == against[0]:
                    axes.set_ylabel(unit)
                axes.legend(loc="upper left", fontsize="small", title="slope", alignment="left")
        for axes in grid[:, 0] if wide else grid[0]:
            # Room for the legends above the lines.
            low, high = axes.get_ylim()
            axes.set_ylim(low, high * (high / low) ** 0.4)
        sns.despine(figure)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    write_whole(path, out.getvalue(), what="the figure", hint="choose another --figures")
    return path


def _line(
    axes: Axes,
    series: Series,
    of: str,
    label: str,
    colour: tuple[float, float, float],
    style: str = "-",
) -> None:
    """One quantity of a series, with the slope at its upper end in the legend."""
    values = series.values(of)
    said = f"{label}: {slope(series.sizes, values):.2f}"
    drawn = values if of == "seconds" else [number / _MIB for number in values]
    axes.plot(series.sizes, drawn, style, color=colour, marker="o", markersize=4, label=said)
