r"""A table as LaTeX: compiles as it is and can be \input into a paper that loads booktabs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import pandas as pd

from bench.metrics import metric_info
from bench.report import sentences
from bench.report.table import DatasetRow, Entry, Table, printed
from bench.report.tex import escape

# The text width of two-column papers, and about how wide a character of \footnotesize is.
_TEXT_PT = 495.0
_CHARACTER_PT = 4.5
_GAP_PT = 6.0
_TITLE = 24
_PUBLISHED = "published"
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

    Datasets that do not fit beside each other follow below. Below a method its published values.
    """
    parts = [
        _HEAD,
        r"\begin{table*}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_caption(table)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}}}",
        r"\par\smallskip",
        "\n\\par\\medskip\n".join(_tabular(table, rows) for rows in _panels(table)),
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        "\\\\\n".join(
            _capital(_sentence(remark.rstrip("."))) + "." for remark in sentences.remarks(table)
        ),
        r"\end{minipage}",
        r"\end{table*}",
        r"\benchend",
    ]
    return "\n".join(parts) + "\n"


def _caption(table: Table) -> str:
    """Title, units, data, protocol, budget, seeds, selection, how to read it, and stand-ins."""
    infos = [metric_info(metric) for metric in table.config.metrics]
    units = ", ".join(f"{escape(info.label)} in {_unit(info.unit)}" for info in infos)
    better = {info.better for info in infos}
    units += f" ({better.pop()} is better)" if len(better) == 1 else ""
    said = [rf"\textbf{{{escape(table.config.title)}.}} {units}"]
    data = (escape(row.title) + (_DAGGER if row.standin else "") for row in table.rows)
    said.append(f"Data: {', '.join(data)}")
    said.append(", ".join(_sentence(part) for part in sentences.settings(table)))
    said.append(_sentence(sentences.legend(table)))
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
    """The datasets in groups that fit beside each other."""
    room = _TEXT_PT - max(map(len, [*table.labels, _PUBLISHED])) * _CHARACTER_PT
    panels: list[list[DatasetRow]] = [[]]
    left = room
    for row in table.rows:
        numbers = 0.0
        for metric in table.config.metrics:
            characters = 11 if (metric, "sd") in _parts(table, row) else 6
            label = len(metric_info(metric).label)
            numbers += max(characters, label) * _CHARACTER_PT + _GAP_PT
        wide = max(numbers, min(len(row.title), _TITLE) * _CHARACTER_PT) + _GAP_PT
        if panels[-1] and wide > left:
            panels.append([])
            left = room
        panels[-1].append(row)
        left -= wide
    return panels


def _parts(table: Table, row: DatasetRow) -> list[tuple[str, str]]:
    """The columns below a dataset: every metric's mean, and its deviation where one is known."""
    parts = []
    for metric in table.config.metrics:
        parts.append((metric, "mean"))
        numbers = [entry.numbers[metric] for entry in row.entries if metric in entry.numbers]
        if any(number.sd is not None for number in numbers):
            parts.append((metric, "sd"))
    return parts


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
        styles.append([_style(table, *cell) for cell in cells])
        if any(row.entries[place].published for row in rows):
            labels.append(_small(rf"\quad {_PUBLISHED}"))
            lines.append([_there(*cell) for cell in cells])
            styles.append([""] * len(cells))
    frame = pd.DataFrame(
        lines,
        columns=pd.MultiIndex.from_tuples(
            [(row.dataset, metric, part) for row, metric, part in columns]
        ),
    )
    marks = pd.DataFrame(styles, columns=frame.columns)
    titles: dict[object, str] = {row.dataset: _title(row) for row in rows}
    heads: dict[object, str] = {
        metric: escape(metric_info(metric).label) for metric in table.config.metrics
    }
    text = (
        frame.style.apply(lambda _: marks, axis=None)
        .format_index(dict[object, str](enumerate(labels)).__getitem__)
        .format_index(titles.__getitem__, axis="columns", level=0)
        .format_index(heads.__getitem__, axis="columns", level=1)
        .hide(axis="columns", level=2)
        .to_latex(hrules=True, multicol_align="c", column_format=_format(columns))
    )
    return _spaced(text.rstrip(), labels, [len(_parts(table, row)) for row in rows])


def _format(columns: Sequence[tuple[DatasetRow, str, str]]) -> str:
    """Means to the right, deviations close after them, more room before each dataset."""
    text, before = "l", None
    for row, _, part in columns:
        text += "@{}l" if part == "sd" else "r" if row is before else r"@{\hskip 12pt}r"
        before = row
    return text


def _spaced(text: str, labels: Sequence[str], widths: Sequence[int]) -> str:
    """Rules below the datasets' titles, and a little room between methods."""
    lines = text.split("\n")
    rules, first = [], 2
    for width in widths:
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    start = lines.index(r"\midrule") + 1
    body = lines[start : start + len(labels)]
    for place, label in enumerate(labels):
        if place and label != _small(rf"\quad {_PUBLISHED}"):
            body[place] = "\\addlinespace[2pt]\n" + body[place]
    head, tail = lines[:start], lines[start + len(labels) :]
    return "\n".join([*head[:3], "".join(rules), *head[3:], *body, *tail])


def _title(row: DatasetRow) -> str:
    """A dataset's title, broken where it would be wider than its numbers."""
    dagger = _DAGGER if row.standin else ""
    broken = [escape(line) for line in textwrap.wrap(row.title, _TITLE)]
    if len(broken) < 2:
        return "".join(broken) + dagger
    lines = r"\\".join(broken)
    return rf"\shortstack{{{lines}{dagger}}}"


def _small(text: str) -> str:
    return rf"{{\scriptsize {text}}}"


def _style(table: Table, entry: Entry, metric: str, part: str) -> str:
    """The mark of an entry, at its leading number."""
    leading = part == "mean" and metric == table.config.metrics[0]
    return _STYLES.get(entry.mark, "") if leading else ""


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
