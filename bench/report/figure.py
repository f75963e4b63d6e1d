"""Figures of tables whose rows differ in the sampling interval: errors and costs against K."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from bench.contracts import printable
from bench.files import write_whole
from bench.metrics import metric_info
from bench.report.table import Table

FORMATS = ("pdf", "svg", "png")

_PANEL = (2.9, 2.4)
_LEGEND = 0.55
# Values further apart than this are drawn on a logarithmic scale.
_WIDE = 5
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    # Letters of the font itself, not drawings of them.
    "pdf.fonttype": 42,
    "svg.hashsalt": "bench",
    # A name with dollar signs is a name, not a formula.
    "text.parse_math": False,
}
_HERE, _PUBLISHED = "here", "published"


def against_interval(table: Table, folder: Path) -> list[Path]:
    """NAME.pdf, .svg and .png in a folder, which is made; returns their paths.

    A panel for each leading metric and one for the cost with the estimator's share, where that is
    known; a line for each method, its standard deviation over seeds as a band, what was published
    dashed. The same table gives the same bytes.
    """
    panels = list(table.metrics)
    costs = [m for m in ("total", "macs") if any(m in e.numbers for _, e in table.entries)]
    panels += [metric for metric in costs[:1] if metric not in panels]
    points = _points(table, panels)
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure = Figure((_PANEL[0] * len(panels), _PANEL[1] + _LEGEND), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        labels = list(map(printable, table.labels))
        colours = dict(zip(labels, sns.color_palette("colorblind", len(labels)), strict=True))
        for place, (metric, axis) in enumerate(zip(panels, axes, strict=True)):
            _panel(axis, points[points["metric"] == metric], metric, colours)
            if not place:
                _legend(figure, points, colours)
        figure.suptitle(_title(table), fontsize=9)
        return saved(figure, folder, table.name)


def saved(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The figure as NAME.pdf, .svg and .png in a folder; BadInput when it cannot be written."""
    paths = [folder / f"{name}.{ending}" for ending in FORMATS]
    for path in paths:
        # Without a date, so that the same numbers make the same file.
        said = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(path.suffix[1:])
        drawn = BytesIO()
        figure.savefig(drawn, format=path.suffix[1:], dpi=200, metadata=said)
        write_whole(path, drawn.getvalue(), what="the figure", hint="choose another --out")
    return paths


def _points(table: Table, metrics: list[str]) -> pd.DataFrame:
    """One line for each number: method, metric, K, value, deviation, measured here or published."""
    lines = []
    for row, entry in table.entries:
        label = printable(entry.label)
        for metric in metrics:
            number = entry.numbers.get(metric)
            if number is not None:
                said = (label, metric, row.interval, number.mean, number.sd or 0.0, _HERE)
                lines.append(said)
            if metric in entry.published:
                value = entry.published[metric]
                lines.append((label, metric, row.interval, value, 0.0, _PUBLISHED))
    return pd.DataFrame(lines, columns=["method", "metric", "K", "value", "sd", "origin"])


def _panel(axis: Axes, points: pd.DataFrame, metric: str, colours: dict[str, Any]) -> None:
    """One metric against K, on a logarithmic scale where its values lie far apart."""
    sns.lineplot(
        points,
        x="K",
        y="value",
        hue="method",
        style="origin",
        style_order=(_HERE, _PUBLISHED),
        markers={_HERE: "o", _PUBLISHED: "X"},
        dashes={_HERE: "", _PUBLISHED: (3, 2)},
        palette=colours,
        markersize=4,
        linewidth=1.2,
        errorbar=None,
        legend=False,
        ax=axis,
    )
    here = points[points["origin"] == _HERE]
    for label, mine in here.groupby("method"):
        low, high = mine["value"] - mine["sd"], mine["value"] + mine["sd"]
        axis.fill_between(mine["K"], low, high, color=colours[str(label)], alpha=0.2, linewidth=0)
    info = metric_info(metric)
    axis.set(title=f"{info.label} ({info.better} is better)", xlabel="K", ylabel=info.unit)
    values = points["value"]
    if values.min() > 0 and values.max() > _WIDE * values.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    sns.despine(ax=axis)


def _legend(figure: Figure, points: pd.DataFrame, colours: dict[str, Any]) -> None:
    """Methods by colour, and what was published by its dashes, below all panels."""
    shown = [label for label in colours if label in set(points["method"])]
    keys = [Line2D([], [], color=colours[label], marker="o", markersize=4) for label in shown]
    if (points["origin"] == _PUBLISHED).any():
        shown.append(_PUBLISHED)
        keys.append(Line2D([], [], color="black", marker="X", markersize=4, linestyle=(0, (3, 2))))
    figure.legend(keys, shown, loc="outside lower center", ncols=min(len(shown), 8), frameon=False)


def _title(table: Table) -> str:
    title = printable(table.config.title)
    return f"{title} [stand-in]" if any(row.standin for row in table.rows) else title
