r"""A table as LaTeX: compiles as it is and can be \input into a paper that loads booktabs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

import pandas as pd

from bench.metrics import metric_info
from bench.report import sentences
from bench.report.table import DatasetRow, Entry, Table, printed
from bench.report.tex import escape

# The text width of two-column papers, and about how wide a character of \footnotesize is.
_TEXT_PT = 495.0
_CHARACTER_PT = 4.5
_SMALL_PT = 3.7
_PLUS_MINUS_PT = 12.0
_DIGIT_PT = 4.3
_LINE_PT = 9.5
_GAP_PT = 6.0
# What the panels of one float may be high, so that a page has room for caption and remarks.
_HEIGHT_PT = 500.0
_TITLE = 24
_PUBLISHED = "published"
_MS = " ms"
_UNFINISHED = ("failed", "not run")
_DAGGER = r"$^\dagger$"
_STYLES = {"best": "textbf:--rwrap", "second": "underline:--rwrap"}

_HEAD = r"""% Compiles as it is; in a paper, load booktabs and \input this file.
\ifcsname ver@booktabs.sty\endcsname
  \let\benchend\relax
\else
  \def\benchend{\end{document}}
  \documentclass{article}
  \usepackage{booktabs}
  \usepackage[a4paper,textwidth=17.5cm,textheight=25cm]{geometry}
  \pagestyle{empty}
  \begin{document}
\fi
"""


def latex(table: Table) -> str:
    """The table as a `table*` of methods by datasets, as wide as two columns at most.

    Datasets and actions that do not fit beside each other follow below. Published values stand
    below their method.
    """
    floats = _floats(table, _panels(table))
    label = rf"\label{{tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}}}"
    title = rf"\textbf{{{escape(table.config.title)}}}"
    continued = rf"\addtocounter{{table}}{{-1}}\caption{{{title}, continued.}}"
    parts = [_HEAD]
    for place, panels in enumerate(floats):
        parts += [
            r"\begin{table*}[t]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            *([continued] if place else [rf"\caption{{{_caption(table)}}}", label]),
            r"\par\smallskip",
            "\n\\par\\medskip\n".join(_tabular(table, rows) for rows in panels),
            *(_remarks(table) if place == len(floats) - 1 else []),
            r"\end{table*}",
        ]
    return "\n".join([*parts, r"\benchend"]) + "\n"


def _remarks(table: Table) -> list[str]:
    """The small print below the last panel."""
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        "\\\\\n".join(
            _capital(_sentence(remark.rstrip("."))) + "." for remark in sentences.remarks(table)
        ),
        r"\end{minipage}",
    ]


def _floats(table: Table, panels: Sequence[list[DatasetRow]]) -> list[list[list[DatasetRow]]]:
    """The panels in groups of which each fits on a page."""
    floats: list[list[list[DatasetRow]]] = [[]]
    left = _HEIGHT_PT
    for rows in panels:
        published = [
            any(row.entries[at].published for row in rows) for at in range(len(table.labels))
        ]
        high = (len(table.heads(rows[0])) + 2 + sum(published)) * _LINE_PT
        high += len(published) * (_LINE_PT + 2) + 2 * _GAP_PT
        if floats[-1] and high > left:
            floats.append([])
            left = _HEIGHT_PT
        floats[-1].append(rows)
        left -= high
    return floats


def _caption(table: Table) -> str:
    """Title, units, data, protocol, budget, seeds, selection, how to read it, and stand-ins."""
    units = ", ".join(
        " ".join(part for part in (escape(label), "in", _unit(unit), horizons) if part)
        for label, unit, horizons in sentences.quantities(table.config.metrics)
    )
    better = {metric_info(metric).better for metric in table.config.metrics}
    units += f" ({better.pop()} is better)" if len(better) == 1 else ""
    said = [rf"\textbf{{{escape(table.config.title)}.}} {units}"]
    titles = {
        row.dataset: escape(row.title) + (_DAGGER if row.standin else "") for row in table.rows
    }
    said.append(f"Data: {', '.join(titles.values())}")
    said.append(", ".join(_sentence(part) for part in sentences.settings(table)))
    said.append(_sentence(sentences.legend(table, spread=table.with_spread)))
    if sentences.standins(table):
        said.append(_DAGGER + _capital(_sentence(sentences.standins(table))))
    return ".\n".join(_capital(part) for part in said if part) + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    """A plain sentence with its variables, signs and thousands set as they should be."""
    text = escape(text).replace("+-", r"$\pm$")
    text = re.sub(r"\bTable (\d)", r"Table~\1", text)
    text = re.sub(r"\b([KQ])=(\d+)", r"$\1=\2$", text)
    return re.sub(r"(?<=\d) (?=\d{3}\b)", r"\\,", text)


def _unit(unit: str) -> str:
    """`mm/frame^2` with its exponent raised."""
    return re.sub(r"\\textasciicircum\{\}(\d)", r"\\textsuperscript{\1}", escape(unit))


def _panels(table: Table) -> list[list[DatasetRow]]:
    """The rows in groups that fit beside each other; actions of two places stand apart."""
    room = _TEXT_PT - max(map(len, [*table.labels, _PUBLISHED])) * _CHARACTER_PT
    panels: list[list[DatasetRow]] = [[]]
    left = room
    for row in table.rows:
        longest = max(min(len(head), _TITLE) for head in table.heads(row))
        wide = max(_numbers(table, row), longest * _CHARACTER_PT) + _GAP_PT
        apart = table.by_action and panels[-1] and table.place(panels[-1][0]) != table.place(row)
        if panels[-1] and (wide > left or apart):
            panels.append([])
            left = room
        panels[-1].append(row)
        left -= wide
    return panels


def _numbers(table: Table, row: DatasetRow) -> float:
    """About how wide the columns of a row's numbers are together, in points."""
    return sum(_wide(table, row, *part) for part in _parts(table, row))


def _wide(table: Table, row: DatasetRow, metric: str, part: str) -> float:
    """About how wide a column is, in points."""
    numbers = [entry.numbers[metric] for entry in row.entries if metric in entry.numbers]
    if part == "sd":
        spreads = [printed(metric, n.sd) for n in numbers if n.sd is not None]
        return max(map(len, spreads)) * _SMALL_PT + _PLUS_MINUS_PT
    longest = max((len(printed(metric, number.mean)) for number in numbers), default=1)
    states = {entry.state for entry in row.entries} if metric == table.config.metrics[0] else set()
    words = [_label(metric), *states.intersection(_UNFINISHED)]
    return max(longest * _DIGIT_PT, max(map(len, words)) * _CHARACTER_PT) + _GAP_PT


def _parts(table: Table, row: DatasetRow) -> list[tuple[str, str]]:
    """The columns below a row's head: every metric's mean, and its deviation where one is known."""
    parts = []
    for metric in table.config.metrics:
        parts.append((metric, "mean"))
        numbers = [entry.numbers[metric] for entry in row.entries if metric in entry.numbers]
        if table.with_spread and any(number.sd is not None for number in numbers):
            parts.append((metric, "sd"))
    return parts


def _label(metric: str) -> str:
    """A metric above its column; of a horizon the number alone, `_stub` says its unit."""
    return metric_info(metric).label.removesuffix(_MS)


def _stub(table: Table) -> str:
    """What stands before the metrics' labels."""
    labels = [metric_info(metric).label for metric in table.config.metrics]
    return _small("horizon in ms") if all(label.endswith(_MS) for label in labels) else ""


def _tabular(table: Table, rows: Sequence[DatasetRow]) -> str:
    """One panel: a line per method, below it a smaller one with its published values."""
    columns = [(row, *part) for row in rows for part in _parts(table, row)]
    labels: list[str] = []
    lines: list[list[str]] = []
    styles: list[list[str]] = []
    for place, label in enumerate(table.labels):
        cells = [(row.entries[place], metric, part) for row, metric, part in columns]
        labels.append(escape(label))
        lines.append([_here(table, *cell) for cell in cells])
        styles.append([_style(*cell) for cell in cells])
        if any(row.entries[place].published for row in rows):
            labels.append(_small(rf"\quad {_PUBLISHED}"))
            lines.append([_there(*cell) for cell in cells])
            styles.append([""] * len(cells))
    # Equal neighbours share a head, so the title stands for its dataset alone.
    keys = [(row.dataset, *table.heads(row)[1:]) for row, *_ in columns]
    frame = pd.DataFrame(
        lines,
        columns=pd.MultiIndex.from_tuples(
            [(*key, metric, part) for key, (_, metric, part) in zip(keys, columns, strict=True)]
        ),
    )
    marks = pd.DataFrame(styles, columns=frame.columns)
    titles: dict[object, str] = {
        run[0].dataset: _title(run[0], sum(_numbers(table, row) for row in run))
        for run in (list(alike) for _, alike in groupby(rows, key=lambda row: row.dataset))
    }
    labels_of: dict[object, str] = {
        metric: escape(_label(metric)) for metric in table.config.metrics
    }
    levels = len(keys[0])
    style = (
        frame.style.apply(lambda _: marks, axis=None)
        .format_index(dict[object, str](enumerate(labels)).__getitem__)
        .format_index(titles.__getitem__, axis="columns", level=0)
        .format_index(labels_of.__getitem__, axis="columns", level=levels)
        .hide(axis="columns", level=levels + 1)
    )
    for level in range(1, levels):
        style = style.format_index(lambda head: escape(str(head)), axis="columns", level=level)
    text = style.to_latex(hrules=True, multicol_align="c", column_format=_format(columns))
    return _spaced(text.rstrip(), labels, keys, _stub(table))


def _format(columns: Sequence[tuple[DatasetRow, str, str]]) -> str:
    """Means to the right, deviations close after them, more room before each dataset."""
    text, before = "l", None
    for row, _, part in columns:
        text += "@{}l" if part == "sd" else "r" if row is before else r"@{\hskip 12pt}r"
        before = row
    return text


def _spaced(text: str, labels: Sequence[str], keys: Sequence[tuple[str, ...]], stub: str) -> str:
    """Rules below the heads that columns share, and a little room between methods.

    keys: the heads of every column; stub: what stands before the labels of metrics.
    """
    lines = text.split("\n")
    levels = len(keys[0])
    start = lines.index(r"\midrule") + 1
    body = lines[start : start + len(labels)]
    for place, label in enumerate(labels):
        if place and label != _small(rf"\quad {_PUBLISHED}"):
            body[place] = "\\addlinespace[2pt]\n" + body[place]
    head, tail = lines[:start], lines[start + len(labels) :]
    # The heads follow the tabular's own line and the rule at the top.
    for level in range(levels):
        head[2 + level] += "\n" + _rules([key[: level + 1] for key in keys])
    head[2 + levels] = stub + head[2 + levels]
    return "\n".join([*head, *body, *tail])


def _rules(keys: Sequence[tuple[str, ...]]) -> str:
    """A rule below every run of columns with equal keys; the first column is the methods'."""
    rules, first = [], 2
    for _, run in groupby(keys):
        last = first + len(list(run)) - 1
        rules.append(rf"\cmidrule(lr){{{first}-{last}}}")
        first = last + 1
    return "".join(rules)


def _title(row: DatasetRow, below: float) -> str:
    """A dataset's title, broken where it is long and wider than the columns below, in points."""
    dagger = _DAGGER if row.standin else ""
    room = max(_TITLE, int(below / _CHARACTER_PT))
    broken = [escape(line) for line in textwrap.wrap(row.title, room)]
    if len(broken) < 2:
        return "".join(broken) + dagger
    lines = r"\\".join(broken)
    return rf"\shortstack{{{lines}{dagger}}}"


def _small(text: str) -> str:
    return rf"{{\scriptsize {text}}}"


def _style(entry: Entry, metric: str, part: str) -> str:
    """The mark of a metric's mean."""
    mark = entry.marks.get(metric) if part == "mean" else None
    return _STYLES[mark] if mark else ""


def _here(table: Table, entry: Entry, metric: str, part: str) -> str:
    """One number of an entry, or in the first column why there is none."""
    number = entry.numbers.get(metric)
    if part == "sd":
        if number is None or number.sd is None:
            return ""
        return _small(rf"\,$\pm$\,{printed(metric, number.sd)}")
    if number is not None:
        return printed(metric, number.mean)
    first = metric == table.config.metrics[0]
    return rf"\textit{{{entry.state}}}" if first and entry.state in _UNFINISHED else "--"


def _there(entry: Entry, metric: str, part: str) -> str:
    """One published number."""
    if part == "sd" or metric not in entry.published:
        return ""
    return _small(printed(metric, entry.published[metric]))
