"""What a study of several objectives came to: its Pareto front as table and as figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.files import write_whole
from bench.metrics import COSTS, metric_info
from bench.report import markdown, tex
from bench.report.figure import STYLE, saved

Record = Mapping[str, Any]

_SIZE = (3.4, 2.7)


def front(record: Record) -> pd.DataFrame:
    """The trials that no other one beats in every objective, by the leading one.

    Columns: trial, the objectives, and everything that was varied.
    """
    lines = [
        {"trial": trial["number"], **trial["values"], **trial["params"]}
        for trial in record["trials"]
        if trial["front"]
    ]
    leading = next(iter(record["objectives"]))
    best_first = record["objectives"][leading] == "minimize"
    found = pd.DataFrame(lines, columns=_columns(lines, record["objectives"]))
    return found.sort_values([leading, "trial"], ascending=[best_first, True], ignore_index=True)


def draw(record: Record, folder: Path) -> list[Path]:
    """STUDY-pareto as .tex, .md, .csv, .pdf, .svg and .png in a folder; returns their paths.

    The figure has the first two objectives.
    """
    name = f"{record['study']}-pareto"
    found = front(record)
    paths = []
    for ending, text in (
        ("tex", _tex(record, found)),
        ("md", _markdown(record, found)),
        ("csv", found.to_csv(index=False, lineterminator="\n")),
    ):
        path = folder / f"{name}.{ending}"
        write_whole(path, text, what="a Pareto front", hint="the same command writes it again")
        paths.append(path)
    return paths + _figure(record, folder, name)


def lines(record: Record) -> list[str]:
    """The front for the terminal, one line for each trial."""
    heads, *rows = _cells(record, front(record))
    table = [heads, *rows]
    wide = [max(len(row[place]) for row in table) for place in range(len(heads))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, wide, strict=True)) for row in table
    ]


def caption(record: Record) -> str:
    """What the front is of, in one sentence."""
    base, data = record["base"], record["data"]
    count = len(front(record))
    done = sum(trial["state"] == "complete" for trial in record["trials"])
    where = f"{data['title']}{' [stand-in]' if data['standin'] else ''}"
    return (
        f"Pareto front of {base['method']} on the validation clips of {where}, protocol "
        f"{base['protocol']}: {count} of {done} trials"
    )


def _columns(lines: Sequence[Mapping[str, Any]], objectives: Mapping[str, str]) -> list[str]:
    varied = dict.fromkeys(name for line in lines for name in line)
    return list(dict.fromkeys(["trial", *objectives, *varied]))


def _cells(record: Record, found: pd.DataFrame) -> list[list[str]]:
    """Heads and lines: the trial and its objectives, with one decimal more than tables have."""
    metrics = list(record["objectives"])
    infos = [metric_info(metric) for metric in metrics]
    rows = [["trial", *(f"{info.label} {info.unit}" for info in infos)]]
    for line in found[["trial", *metrics]].itertuples(index=False):
        number, *values = line
        shown = [
            f"{value * info.scale:.{info.decimals + 1}f}"
            for value, info in zip(values, infos, strict=True)
        ]
        rows.append([str(number), *shown])
    return rows


def _markdown(record: Record, found: pd.DataFrame) -> str:
    heads, *rows = [[markdown.escape(cell) for cell in row] for row in _cells(record, found)]
    table = [f"| {' | '.join(row)} |" for row in (heads, ["--:"] * len(heads), *rows)]
    return "\n".join([f"**{markdown.escape(caption(record))}**", "", *table, ""])


def _tex(record: Record, found: pd.DataFrame) -> str:
    heads, *rows = [" & ".join(map(tex.escape, row)) + r" \\" for row in _cells(record, found)]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\footnotesize",
            rf"\caption{{{tex.sentence(caption(record))}}}",
            rf"\begin{{tabular}}{{{'r' * (1 + len(record['objectives']))}}}",
            r"\toprule",
            tex.raised(heads),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _figure(record: Record, folder: Path, name: str) -> list[Path]:
    """Every complete trial, those of the front joined, and the preset."""
    across, up = list(record["objectives"])[1::-1]
    points = pd.DataFrame(
        [
            {
                across: trial["values"][across] * metric_info(across).scale,
                up: trial["values"][up] * metric_info(up).scale,
                "front": trial["front"],
            }
            for trial in record["trials"]
            if trial["state"] == "complete"
        ],
        columns=[across, up, "front"],
    )
    first, other = sns.color_palette("colorblind", 2)
    with mpl.rc_context(STYLE), sns.axes_style("whitegrid"):
        figure = Figure(_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        best = points[points["front"]].sort_values([across, up])
        rest = points[~points["front"].astype(bool)]
        sns.scatterplot(rest, x=across, y=up, color=other, s=14, ax=axis, label="trial")
        sns.lineplot(
            best, x=across, y=up, color=first, marker="o", ax=axis, label="Pareto front",
            errorbar=None, estimator=None,
        )  # fmt: skip
        for metric, say in ((across, axis.set_xlabel), (up, axis.set_ylabel)):
            info = metric_info(metric)
            say(f"{info.label}, {info.unit} ({info.better} is better)")
        if across in COSTS and not points.empty and points[across].min() > 0:
            axis.set_xscale("log")
        axis.set_title(f"{record['base']['method']}, {record['data']['title']}")
        sns.despine(ax=axis)
        return saved(figure, folder, name)
