"""A table as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from bench.metrics import metric_info
from bench.report import sentences
from bench.report.table import DatasetRow, Entry, Mark, Table, printed, printed_all

# Columns of numbers side by side, as many as a page on GitHub shows.
_WIDEST = 12
_UNFINISHED = ("failed", "not run")

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def escape(text: str) -> str:
    """Any text as Markdown that prints it, also inside a table; line breaks become spaces."""
    joined = " ".join(text.split()).replace("&", "&amp;")
    return _SPECIAL.sub(r"\\\1", joined)


def markdown(table: Table) -> str:
    """The table and what must be said about it as a list.

    Layout 'entries': methods by datasets, published values beside what was measured here. Layout
    'metrics': a table for each dataset under each protocol, published values below.
    """
    title = f"**{sentences.heading(table)}: {escape(table.config.title)}**"
    said = [", ".join(sentences.settings(table)), sentences.legend(table, spread=table.with_spread)]
    said += [sentences.standins(table), *sentences.remarks(table)]
    body = _metrics(table) if table.config.layout == "metrics" else _entries(table)
    return "\n".join(
        [
            f"{title}, {_sentence(sentences.measure(table))}",
            "",
            *body,
            "",
            *(f"- {_sentence(sentence)}" for sentence in said if sentence),
            "",
        ]
    )


def _entries(table: Table) -> list[str]:
    """One entry for a method on a dataset."""
    heads = ["method"]
    for row in table.rows:
        heads += [_named(row, table.heads(row)), "published"]
    lines = []
    for place, label in enumerate(table.labels):
        line = [escape(label)]
        for row in table.rows:
            entry = row.entries[place]
            line += [_here(table, entry), printed_all(table.config.metrics, entry.published)]
        lines.append(line)
    return _drawn(heads, lines)


def _metrics(table: Table) -> list[str]:
    """Every metric in a column of its own, actions beside each other as far as they fit."""
    text: list[str] = []
    for place, rows in groupby(table.rows, key=table.place):
        shown = list(rows)
        text += (
            ["", f"**{_named(shown[0], place)}**"] if text else [f"**{_named(shown[0], place)}**"]
        )
        size = max(_WIDEST // len(table.config.metrics), 1)
        for start in range(0, len(shown), size):
            text += ["", *_panel(table, shown[start : start + size])]
    return text


def _panel(table: Table, rows: Sequence[DatasetRow]) -> list[str]:
    """A line per method, below it its published values."""
    heads = ["method"]
    for row in rows:
        labels = [metric_info(metric).label for metric in table.config.metrics]
        if not table.by_action:
            heads += labels
            continue
        above = escape(table.heads(row)[-1])
        heads += (
            [f"{above}<br>{labels[0]}", *(f"<br>{label}" for label in labels[1:])]
            if above
            else labels
        )
    lines = []
    for place, label in enumerate(table.labels):
        columns = [(row.entries[place], metric) for row in rows for metric in table.config.metrics]
        lines.append([escape(label), *(_number(table, *column) for column in columns)])
        if any(entry.published for entry, _ in columns):
            published = (_published(*column) for column in columns)
            lines.append(["&nbsp;&nbsp;published", *published])
    return _drawn(heads, lines)


def _drawn(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rule = [":--", *["--:"] * (len(heads) - 1)]
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *lines)]


def _named(row: DatasetRow, heads: Sequence[str]) -> str:
    return escape(", ".join(heads)) + (" (stand-in)" if row.standin else "")


def _number(table: Table, entry: Entry, metric: str) -> str:
    """`**10.1** ± 0.2`, or in the first column why there is no number."""
    number = entry.numbers.get(metric)
    if number is None:
        first = metric == table.config.metrics[0]
        return f"*{entry.state}*" if first and entry.state in _UNFINISHED else "-"
    mean = _marked(printed(metric, number.mean), entry.marks.get(metric))
    if number.sd is None or not table.with_spread:
        return mean
    return f"{mean} ± {printed(metric, number.sd)}"


def _published(entry: Entry, metric: str) -> str:
    return printed(metric, entry.published[metric]) if metric in entry.published else ""


def _marked(mean: str, mark: Mark | None) -> str:
    return {"best": f"**{mean}**", "second": f"<u>{mean}</u>"}.get(mark or "", mean)


def _here(table: Table, entry: Entry) -> str:
    """`**70.1** (1.3)`, or why there is no number."""
    first = table.config.metrics[0]
    if first not in entry.numbers:
        return f"*{entry.state}*" if entry.state in _UNFINISHED else "-"
    means = {metric: number.mean for metric, number in entry.numbers.items()}
    mean, bracket, rest = printed_all(table.config.metrics, means).partition(" (")
    mean = _marked(mean, entry.marks.get(first))
    sd = entry.numbers[first].sd
    return mean + ("" if sd is None else f" ± {printed(first, sd)}") + bracket + rest


def _sentence(text: str) -> str:
    return escape(text).replace("+-", "±").replace("frame^2", "frame²")
