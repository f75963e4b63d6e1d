"""What stands above a metric's column: its label, which way is better, what neighbours share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.metrics import COSTS, metric_info
from bench.report.style import Style

# What all joints are called beside groups of them.
_ALL = "avg"
_ARROWS = {"lower": "\u2193", "higher": "\u2191"}


def base_of(metric: str) -> str:
    """The metric without its joint group: `pck@0.2` of `pck@0.2:wrist`."""
    return metric.partition(":")[0]


def families(metrics: Sequence[str]) -> Iterator[list[str]]:
    """Metrics in runs of neighbours that are joint groups of one."""
    for _, run in groupby(metrics, key=base_of):
        yield list(run)


def arrow(metric: str, style: Style, *, wanted: bool) -> str:
    """Which way is better, behind a label; costs have none, as they are not ranked.

    wanted: whether there are arrows where the style leaves it open.
    """
    shown = wanted if style.arrows is None else style.arrows
    return f" {_ARROWS[metric_info(metric).better]}" if shown and metric not in COSTS else ""


def label(metric: str, style: Style, *, arrows: bool = False) -> str:
    """A metric's label with its unit and arrow, as far as they are wanted.

    arrows: whether there are any where the style leaves it open.
    """
    info = metric_info(metric)
    unit = f" ({info.unit})" if style.units else ""
    return info.label + unit + arrow(metric, style, wanted=arrows)


def heads(metrics: Sequence[str], style: Style, *, arrows: bool = False) -> list[tuple[str, ...]]:
    """For every metric what it shares with its neighbours, and its own label.

    `("PCK@0.2", "head")`, ..., `("PCK@0.2", "avg")`, `("", "PCK@0.1")`; the labels alone where
    nothing is shared.
    """
    runs = list(families(metrics))
    if all(len(run) == 1 for run in runs):
        return [(label(metric, style, arrows=arrows),) for metric in metrics]
    said: list[tuple[str, ...]] = []
    for run in runs:
        above = label(base_of(run[0]), style, arrows=arrows)
        if len(run) == 1:
            said.append(("", label(run[0], style, arrows=arrows)))
        else:
            said += [(above, metric.partition(":")[2] or _ALL) for metric in run]
    return said
