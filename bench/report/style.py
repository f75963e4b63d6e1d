"""How a table is drawn: decimals, units, arrows, marks, deviations, and what is left out.

A `Style` changes how numbers look and which of them are shown, never what they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.config import nearest_names
from bench.contracts import BadInput
from bench.metrics import COSTS, METRICS, metric_info
from bench.report.table import DatasetRow, Entry, Mark, Number, Table
from bench.stats import LEVEL

Marks = Literal["bold-underline", "bold", "none"]
Spread = Literal["sd", "ci", "none"]

_MOST_DECIMALS = 9


@dataclass(frozen=True)
class Style:
    """How terminal, LaTeX and Markdown draw a table; CSV heeds `standins` alone.

    decimals: by metric (`mpjpe`, `pck@0.2:wrist`), or for all of a family (`mpjpe` holds for
    `mpjpe@80`, `pck` for every PCK); the metric's own where none is given; marks are given anew
    by the numbers as printed. units: also in the heads, not in the title alone; arrows: behind
    labels, which way is better: None for LaTeX alone; marks: how the best and the second are
    marked; spread: behind a mean over seeds stands the standard deviation, half of the 95 %
    confidence interval of the mean, or nothing; published: whether published numbers are shown,
    and columns that have nothing else; significance: a sign where the 95 % interval of the
    difference to the reference leaves out zero; standins: whether rows of stand-ins are shown.
    BadInput for decimals of an unknown metric, and for a number of them that cannot be printed.
    """

    decimals: Mapping[str, int] = field(default_factory=dict)
    units: bool = False
    arrows: bool | None = None
    marks: Marks = "bold-underline"
    spread: Spread = "sd"
    published: bool = True
    significance: bool = False
    standins: bool = True

    def __post_init__(self) -> None:
        known = {*METRICS, *(metric.partition("@")[0] for metric in METRICS)}
        for metric, decimals in self.decimals.items():
            if metric not in known:
                if not metric.partition(":")[1]:
                    raise BadInput(
                        f"decimals for an unknown metric '{metric}'",
                        hint=nearest_names(metric, known),
                    )
                metric_info(metric)
            if not 0 <= decimals <= _MOST_DECIMALS:
                raise BadInput(
                    f"{metric} cannot have so many decimals",
                    found=decimals,
                    expected=f"0 to {_MOST_DECIMALS}",
                )

    def printed(self, metric: str, value: float) -> str:
        """A number as it is printed, without a sign when it rounds to zero."""
        base = metric.partition(":")[0]
        names = (metric, base, base.partition("@")[0])
        own = (self.decimals[name] for name in names if name in self.decimals)
        text = f"{value:.{next(own, metric_info(metric).decimals)}f}"
        return text.removeprefix("-") if float(text) == 0 else text

    def signed(self, metric: str, value: float) -> str:
        """A difference as it is printed, always with its sign unless it rounds to zero."""
        text = self.printed(metric, value)
        return f"+{text}" if float(text) > 0 else text

    def printed_all(self, metrics: Sequence[str], values: Mapping[str, float]) -> str:
        """`54.6 (19.2)`: the first metric, the others in brackets; `-` where there is none."""
        return bracketed(
            [self.printed(name, values[name]) if name in values else "-" for name in metrics]
        )

    def deviation(self, entry: Entry, metric: str) -> float | None:
        """What stands behind `+-`; None where there is nothing to say.

        The confidence interval is that of Student's t for the mean over the entry's seeds: it
        tells how the mean would vary with other seeds, and of three it is 2.5 deviations wide.
        """
        number = entry.numbers.get(metric)
        if number is None or number.sd is None or self.spread == "none":
            return None
        if self.spread == "sd":
            return number.sd
        # Only those who ask for it wait for scipy.
        from scipy.special import stdtrit

        quantile = float(stdtrit(entry.seeds - 1, (1 + LEVEL) / 2))
        return quantile * number.sd / math.sqrt(entry.seeds)

    def significant(self, number: Number | None) -> bool:
        """Whether a number bears the sign of a difference that is not zero."""
        gain = number.gain if number is not None and self.significance else None
        return gain is not None and (gain.low > 0 or gain.high < 0)


PLAIN = Style()
"""What is drawn when nothing else is asked for."""


def bracketed(texts: Sequence[str]) -> str:
    """`54.6 (19.2)`: the first text, the others in brackets; `-` where none says anything."""
    if set(texts) == {"-"}:
        return "-"
    first, *rest = texts
    return f"{first} ({', '.join(rest)})" if rest else first


def styled(table: Table, style: Style) -> Table:
    """A table without what a style leaves out, and with the marks of the numbers as it prints them.

    BadInput when nothing would be left.
    """
    rows = [row for row in table.rows if style.standins or not row.standin]
    if table.rows and not rows:
        raise BadInput(
            f"{table.name}: nothing is left without stand-ins", hint="keep the rows of stand-ins"
        )
    columns = table.config.columns
    keep = [at for at, column in enumerate(columns) if style.published or not column.quoted]
    if not keep:
        raise BadInput(f"{table.name}: nothing is left without published numbers", hint="keep them")
    config = table.config.model_copy(update={"columns": tuple(columns[at] for at in keep)})
    return replace(table, config=config, rows=tuple(_styled(row, keep, style) for row in rows))


def _styled(row: DatasetRow, keep: Sequence[int], style: Style) -> DatasetRow:
    """A row with the columns at some places, with the marks and published numbers of a style."""
    entries = [row.entries[at] for at in keep]
    if not style.published:
        entries = [replace(entry, published={}) for entry in entries]
    if style.decimals:
        entries = _marked_anew(entries, style)
    shown = {"bold-underline": ("best", "second"), "bold": ("best",), "none": ()}[style.marks]
    return replace(
        row,
        entries=tuple(
            replace(entry, marks={m: mark for m, mark in entry.marks.items() if mark in shown})
            for entry in entries
        ),
    )


def _marked_anew(entries: Sequence[Entry], style: Style) -> list[Entry]:
    """Entries with marks for the same metrics as before, by the numbers as they are printed."""
    metrics = {metric for entry in entries for metric in entry.marks}
    by_metric = {metric: ranked(metric, entries, style) for metric in metrics}
    return [
        replace(entry, marks={m: marks[at] for m, marks in by_metric.items() if at in marks})
        for at, entry in enumerate(entries)
    ]


def ranked(metric: str, entries: Sequence[Entry], style: Style = PLAIN) -> dict[int, Mark]:
    """The places of the best and the second entry; equal printed values share a mark.

    What sees the estimator at every frame is not ranked, nor is anything without a rival, nor are
    costs: the cheapest method is the one that does nothing.
    """
    values = {
        at: float(style.printed(metric, entry.numbers[metric].mean))
        for at, entry in enumerate(entries)
        if entry.keyframes and metric in entry.numbers and metric not in COSTS
    }
    if len(values) < 2:
        return {}
    order = sorted(set(values.values()), reverse=metric_info(metric).better == "higher")
    names: tuple[Mark, Mark] = ("best", "second")
    marks = dict(zip(order, names, strict=False))
    return {at: marks[value] for at, value in values.items() if value in marks}
