r"""The panels of a LaTeX table: which columns fit beside each other, and each as a `tabular`.

Widths are estimates of Computer Modern at \footnotesize, a little generous.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.metrics import metric_info
from bench.report.cells import gain_label, gain_text, why
from bench.report.heads import arrow, families, heads
from bench.report.style import Style
from bench.report.table import DatasetRow, Entry, Table
from bench.report.tex import escape, raised, sentence, small

DAGGER = r"$^\dagger$"
"""Behind the title of a stand-in."""
DDAGGER = r"$^\ddagger$"
"""Behind a method that is only quoted."""
SIGN = r"$^*$"
"""Behind a number that differs from the reference's."""

# The text width of two-column papers, and about how wide a character of \footnotesize is.
_TEXT_PT = 495.0
_CHARACTER_PT = 4.5
_DIGIT_PT = 4.3
_SMALL_PT = 3.7
_PLUS_MINUS_PT = 12.0
_INDENT_PT = 10.0
_LINE_PT = 9.5
_GAP_PT = 6.0
# Longer ones are broken: titles above few columns, labels of metrics, and names of methods.
_TITLE = 24
_LABEL = 13
_METHOD = 44
_PUBLISHED = "published"
_MS = " ms"
_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}"}


@dataclass(frozen=True)
class Column:
    """A metric of a row: one column of numbers, and with `spread` one of deviations beside it.

    above: what it shares with neighbours of its row, or nothing; label: its own; wide: about how
    wide it is, in points.
    """

    row: DatasetRow
    metric: str
    above: str
    label: str
    spread: bool
    wide: float

    @property
    def span(self) -> int:
        """How many columns of the tabular it takes."""
        return 2 if self.spread else 1

    def cells(self, mean: str, deviation: str = "") -> list[str]:
        """A line of it."""
        return [mean, deviation] if self.spread else [mean]


def panels(table: Table, style: Style) -> tuple[list[list[Column]], bool]:
    """The columns in groups that fit beside each other, and whether there are deviations.

    A row stays together where it can; actions of two places stand apart. There are deviations
    where every row has room for them, or where they make no more panels.
    """
    room = _TEXT_PT - _stub_width(table)
    bare = [_columns(table, row, style, spread=False) for row in table.rows]
    full = [_columns(table, row, style, spread=True) for row in table.rows]
    drawn = _fitting(table, bare, room)
    if table.with_spread:
        with_spread = _fitting(table, full, room)
        whole = all(_across(columns) + _GAP_PT <= room for columns in full)
        if whole or len(with_spread) <= len(drawn):
            return with_spread, True
    return drawn, False


def _fitting(table: Table, rows: Sequence[Sequence[Column]], room: float) -> list[list[Column]]:
    """The columns of rows in groups that are as wide as there is room.

    Rows that fit in none stand apart from others.
    """
    drawn: list[list[Column]] = [[]]
    for columns in rows:
        parts = list(_parts(columns, room))
        for number, part in enumerate(parts):
            last = drawn[-1]
            apart = (
                last and table.by_action and table.place(last[0].row) != table.place(part[0].row)
            )
            apart = apart or (len(parts) > 1 and not number)
            if last and (apart or _with_titles(table, [*last, *part]) > room):
                drawn.append([])
            drawn[-1] += part
        if len(parts) > 1 and columns is not rows[-1]:
            drawn.append([])
    return drawn


def _with_titles(table: Table, panel: Sequence[Column]) -> float:
    """About how wide columns are below the titles of their rows."""
    wide = 0.0
    for _, columns in groupby(panel, key=lambda column: id(column.row)):
        together = list(columns)
        longest = max(min(len(head), _TITLE) for head in table.heads(together[0].row))
        wide += max(_across(together), longest * _CHARACTER_PT) + _GAP_PT
    return wide


def height(table: Table, panel: Sequence[Column]) -> float:
    """About how high a panel is, in points."""
    lines = [_lines_of(table, panel, place) for place in range(len(table.labels))]
    levels = len(table.heads(panel[0].row)) + any(column.above for column in panel)
    return (levels + 2 + sum(map(len, lines))) * _LINE_PT + 2 * len(lines) + 2 * _GAP_PT


def tabular(table: Table, panel: Sequence[Column], style: Style) -> str:
    """One panel: a line per method, below it smaller ones with differences and published values."""
    lines = [
        rf"\begin{{tabular}}{{{_format(panel)}}}",
        r"\toprule",
        *_heads(table, panel, style),
        r"\midrule",
    ]
    for place, kinds in enumerate(_lines_of(table, panel, at) for at in range(len(table.labels))):
        lines += [r"\addlinespace[2pt]"] if kinds and lines[-1] != r"\midrule" else []
        for kind in kinds:
            cells = [cell for column in panel for cell in _cells(column, place, kind, style)]
            lines.append(" & ".join([_stub(table, place, kind), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _columns(table: Table, row: DatasetRow, style: Style, *, spread: bool) -> list[Column]:
    """The columns of a row: every leading metric with its labels and width."""
    labels = [metric_info(metric).label for metric in row.metrics]
    above = (
        [(label.removesuffix(_MS),) for label in labels]
        if _of_horizons(row.metrics)
        else heads(row.metrics, style, arrows=True)
    )
    columns = []
    for metric, said in zip(row.metrics, above, strict=True):
        deviations = [style.deviation(entry, metric) for entry in row.entries]
        known = [style.printed(metric, one) for one in deviations if one is not None]
        with_spread = spread and bool(known)
        wide = _wide(row, metric, style)
        if with_spread:
            wide += max(map(len, known)) * _SMALL_PT + _PLUS_MINUS_PT
        longest = max(map(len, _broken(said[-1])))
        wide = max(wide, longest * _CHARACTER_PT, _gains_width(table, row, metric, style))
        shared = said[0] if len(said) > 1 else ""
        columns.append(Column(row, metric, shared, said[-1], with_spread, wide + _GAP_PT))
    return columns


def _wide(row: DatasetRow, metric: str, style: Style) -> float:
    """About how wide a metric's numbers are, and in the first column why there are none."""
    means = [e.numbers[metric].mean for e in row.entries if metric in e.numbers]
    published = [e.published[metric] for e in row.entries if metric in e.published]
    first = metric == row.metrics[0]
    words = [len(why(entry)) for entry in row.entries if first and entry.state != "quoted"]
    return max(
        [
            *(len(style.printed(metric, mean)) * _DIGIT_PT for mean in means),
            *(len(style.printed(metric, value)) * _SMALL_PT for value in published),
            *(word * _CHARACTER_PT for word in words),
            2 * _CHARACTER_PT,
        ]
    )


def _gains_width(table: Table, row: DatasetRow, metric: str, style: Style) -> float:
    """About how wide the differences of a metric are, where they are shown."""
    if not table.config.differences:
        return 0.0
    texts = [gain_text(metric, entry.numbers.get(metric), style) for entry in row.entries]
    return max(map(len, texts)) * _SMALL_PT


def _stub_width(table: Table) -> float:
    """About how wide the first column is."""
    longest = max(min(len(label), _METHOD) for label in table.labels) * _CHARACTER_PT
    below = max(len(gain_label(table)) if table.config.differences else 0, len(_PUBLISHED))
    return max(longest, below * _SMALL_PT + _INDENT_PT)


def _across(columns: Sequence[Column]) -> float:
    return sum(column.wide for column in columns)


def _parts(columns: Sequence[Column], room: float) -> Iterator[list[Column]]:
    """A row in as few parts as fit: whole, metrics that share a head, or single ones."""
    if _across(columns) + _GAP_PT <= room:
        yield list(columns)
        return
    rest = list(columns)
    for family in families([column.metric for column in columns]):
        part, rest = rest[: len(family)], rest[len(family) :]
        if _across(part) + _GAP_PT <= room:
            yield part
        else:
            yield from ([column] for column in part)


def _lines_of(table: Table, panel: Sequence[Column], place: int) -> list[str]:
    """The kinds of lines that a method has in a panel."""
    entries = [(column.row.entries[place], column.metric) for column in panel]
    if table.config.columns[place].quoted:
        return ["quoted"] if any(metric in e.published for e, metric in entries) else []
    gained = (metric in e.numbers and e.numbers[metric].gain for e, metric in entries)
    kinds = ["here"]
    kinds += ["gain"] if table.config.differences and any(gained) else []
    kinds += [_PUBLISHED] if any(entry.published for entry, _ in entries) else []
    return kinds


def _stub(table: Table, place: int, kind: str) -> str:
    """What stands before a method's line."""
    if kind == "gain":
        return small(rf"\quad {escape(gain_label(table))}")
    if kind == _PUBLISHED:
        return small(rf"\quad {_PUBLISHED}")
    broken = [escape(line) for line in textwrap.wrap(table.labels[place], _METHOD)]
    return _stacked(broken, "[l]") + (DDAGGER if kind == "quoted" else "")


def _cells(column: Column, place: int, kind: str, style: Style) -> list[str]:
    """One metric of a method on one line."""
    entry, metric = column.row.entries[place], column.metric
    number = entry.numbers.get(metric)
    if kind in ("quoted", _PUBLISHED):
        absent = "--" if kind == "quoted" else ""
        value = entry.published.get(metric)
        return column.cells(absent if value is None else small(style.printed(metric, value)))
    if kind == "gain":
        if number is None or number.gain is None:
            return column.cells("")
        text = small(gain_text(metric, number, style).replace("-", "$-$"))
        return [rf"\multicolumn{{2}}{{r}}{{{text}}}"] if column.spread else [text]
    if number is None:
        return column.cells(_why(entry) if metric == column.row.metrics[0] else "--")
    mean = style.printed(metric, number.mean)
    if metric in entry.marks:
        mean = _MARKS[entry.marks[metric]] % mean
    sign = _sign(column, entry, style)
    deviation = style.deviation(entry, metric) if column.spread else None
    if deviation is None:
        return column.cells(mean, sign) if column.spread else [mean + sign]
    return [mean, sign + small(rf"\,$\pm$\,{style.printed(metric, deviation)}")]


def _sign(column: Column, entry: Entry, style: Style) -> str:
    """The sign of a significant difference, or as much room, so that numbers stay aligned."""
    number = entry.numbers[column.metric]
    if style.significant(number):
        return SIGN
    others = (other.numbers.get(column.metric) for other in column.row.entries)
    return rf"\phantom{{{SIGN}}}" if any(map(style.significant, others)) else ""


def _why(entry: Entry) -> str:
    reason = why(entry)
    return "--" if reason == "-" else rf"\textit{{{reason}}}"


def _format(panel: Sequence[Column]) -> str:
    """Numbers to the right, deviations close after them, more room before each dataset."""
    text, before = "l", None
    for column in panel:
        text += "r" if column.row is before else r"@{\hskip 12pt}r"
        text += "@{}l" if column.spread else ""
        before = column.row
    return text


def _heads(table: Table, panel: Sequence[Column], style: Style) -> list[str]:
    """The heads from the widest to each metric's own; rules below those that columns share."""
    shared = any(column.above for column in panel)
    # Equal neighbours share a head, and the title stands for its dataset alone.
    keys: list[tuple[str, ...]] = [
        (column.row.dataset, *table.heads(column.row)[1:], *([column.above] if shared else []))
        for column in panel
    ]
    lines = []
    for level in range(len(keys[0])):
        cells, rules, first = [""], [], 2
        for key, columns in _runs(panel, [key[: level + 1] for key in keys]):
            span = sum(column.span for column in columns)
            text = raised(sentence(str(key[level]))) if level else _title(columns)
            cells.append(rf"\multicolumn{{{span}}}{{c}}{{{text}}}" if span > 1 else text)
            if text:
                rules.append(rf"\cmidrule(lr){{{first}-{first + span - 1}}}")
            first += span
        lines += [" & ".join(cells) + r" \\", "".join(rules)]
    own = [_stacked([raised(escape(part)) for part in _broken(c.label)]) for c in panel]
    cells = [
        rf"\multicolumn{{2}}{{c}}{{{label}}}" if column.spread else label
        for column, label in zip(panel, own, strict=True)
    ]
    return [*lines, " & ".join([_corner(panel, style), *cells]) + r" \\"]


def _runs(
    panel: Sequence[Column], keys: Sequence[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[Column]]]:
    """Neighbours with equal keys."""
    pairs = zip(keys, panel, strict=True)
    for key, run in groupby(pairs, key=lambda pair: pair[0]):
        yield key, [column for _, column in run]


def _title(columns: Sequence[Column]) -> str:
    """A dataset's title, broken where it is long and wider than the columns below."""
    row = columns[0].row
    dagger = DAGGER if row.standin else ""
    room = max(_TITLE, int(_across(columns) / _CHARACTER_PT))
    *lines, last = [escape(line) for line in textwrap.wrap(row.title, room) or [""]]
    return _stacked([*lines, last + dagger])


def _broken(label: str) -> list[str]:
    """A metric's label in lines, its arrow beside the last word."""
    if len(label) <= _LABEL:
        return [label]
    words = re.sub(r" (?=[\u2191\u2193])", "\u00a0", label)
    return textwrap.wrap(words, _LABEL - 2, break_long_words=False, break_on_hyphens=False)


def _stacked(lines: Sequence[str], side: str = "") -> str:
    """Lines above each other."""
    joined = r"\\".join(lines)
    return rf"\shortstack{side}{{{joined}}}" if len(lines) > 1 else joined


def _of_horizons(metrics: Sequence[str]) -> bool:
    return all(metric_info(metric).label.endswith(_MS) for metric in metrics)


def _corner(panel: Sequence[Column], style: Style) -> str:
    """What stands before the metrics' labels: what all horizons have in common."""
    metrics = [column.metric for column in panel]
    if not _of_horizons(metrics):
        return ""
    unit = f", error in {metric_info(metrics[0]).unit}" if style.units else ""
    return small(escape(f"horizon in ms{unit}{arrow(metrics[0], style, wanted=True)}"))
