"""A table as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from bench.contracts import printable
from bench.report import sentences
from bench.report.cells import gain_label, gain_text, why
from bench.report.heads import heads
from bench.report.style import PLAIN, Style, bracketed, styled
from bench.report.table import DatasetRow, Entry, Table

# Columns of numbers side by side, as many as a page on GitHub shows.
_WIDEST = 12
_SIGN = r"<sup>\*</sup>"
_INDENT = "&nbsp;&nbsp;"

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def escape(text: str) -> str:
    """Any text as Markdown that prints it, also inside a table; line breaks become spaces."""
    joined = printable(" ".join(text.split())).replace("&", "&amp;")
    return _SPECIAL.sub(r"\\\1", joined)


def markdown(table: Table, style: Style = PLAIN) -> str:
    """The table and what must be said about it as a list.

    Layout 'entries': methods by datasets, published values beside what was measured here. Layout
    'metrics': a table for each dataset under each protocol, published values below. BadInput when
    the style leaves nothing of it.
    """
    table = styled(table, style)
    title = f"**{escape(sentences.heading(table))}: {escape(table.config.title)}**"
    legend = sentences.legend(table, style, spread=table.with_spread)
    said = [", ".join(sentences.settings(table)), legend]
    said += [sentences.standins(table), *sentences.remarks(table)]
    body = (_metrics if table.config.layout == "metrics" else _entries)(table, style)
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


def _entries(table: Table, style: Style) -> list[str]:
    """One entry for a method on a dataset, beside it differences and what was published."""
    first = table.metrics[0]
    above = ["method"]
    for row in table.rows:
        above.append(_named(row, table.heads(row)))
        above += [escape(gain_label(table))] if table.config.differences else []
        above += ["published"] if style.published else []
    lines = []
    for place, label in enumerate(table.labels):
        line = [escape(label)]
        for row in table.rows:
            entry = row.entries[place]
            line.append(_here(table, entry, style))
            if table.config.differences:
                line.append(gain_text(first, entry.numbers.get(first), style))
            if style.published:
                line.append(style.printed_all(table.metrics, entry.published))
        lines.append(line)
    return _drawn(above, lines)


def _metrics(table: Table, style: Style) -> list[str]:
    """Every metric in a column of its own, actions beside each other as far as they fit."""
    text: list[str] = []
    for place, rows in groupby(table.rows, key=table.place):
        shown = list(rows)
        text += [*([""] if text else []), f"**{_named(shown[0], place)}**"]
        size = max(_WIDEST // max(len(row.metrics) for row in shown), 1)
        for start in range(0, len(shown), size):
            text += ["", *_panel(table, shown[start : start + size], style)]
    return text


def _panel(table: Table, rows: Sequence[DatasetRow], style: Style) -> list[str]:
    """A line per method, below it the differences to the reference and its published values."""
    columns = [(row, metric) for row in rows for metric in row.metrics]
    lines = []
    for place, label in enumerate(table.labels):
        entries = [(row.entries[place], row, metric) for row, metric in columns]
        if not any(entry.state != "quoted" or entry.published for entry, *_ in entries):
            continue
        lines.append([escape(label), *(_number(table, *entry, style) for entry in entries)])
        if table.config.differences:
            gains = [_gain(entry, metric, style) for entry, _, metric in entries]
            lines += [[_INDENT + escape(gain_label(table)), *gains]] if any(gains) else []
        published = [_published(entry, metric, style) for entry, _, metric in entries]
        lines += [[f"{_INDENT}published", *published]] if any(published) else []
    return _drawn(["method", *_heads(table, rows, style)], lines)


def _heads(table: Table, rows: Sequence[DatasetRow], style: Style) -> list[str]:
    """The heads of a panel: a line for actions and one for what metrics share, where any do."""
    said = [heads(row.metrics, style) for row in rows]
    levels = max(len(label) for labels in said for label in labels)
    above: list[str] = []
    for row, labels in zip(rows, said, strict=True):
        action = (escape(table.heads(row)[-1]),) if table.by_action else ()
        before: tuple[str, ...] = ()
        for label in labels:
            full = (*action, *("",) * (levels - len(label)), *map(escape, label))
            *upper, own = full
            shown = [
                "" if before[: at + 1] == full[: at + 1] else head for at, head in enumerate(upper)
            ]
            above.append("<br>".join([*shown, own]))
            before = full
    return above


def _drawn(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rule = [":--", *["--:"] * (len(heads) - 1)]
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *lines)]


def _named(row: DatasetRow, heads: Sequence[str]) -> str:
    return escape(", ".join(heads)) + (" (stand-in)" if row.standin else "")


def _number(table: Table, entry: Entry, row: DatasetRow, metric: str, style: Style) -> str:
    """`**10.1** ± 0.2`, or in the first column why there is no number."""
    if metric not in entry.numbers:
        return _why(entry) if metric == row.metrics[0] else "-"
    return _mean(entry, metric, style) + (
        _deviation(entry, metric, style) if table.with_spread else ""
    )


def _gain(entry: Entry, metric: str, style: Style) -> str:
    number = entry.numbers.get(metric)
    known = number is not None and number.gain is not None
    return gain_text(metric, number, style) if known else ""


def _published(entry: Entry, metric: str, style: Style) -> str:
    return style.printed(metric, entry.published[metric]) if metric in entry.published else ""


def _here(table: Table, entry: Entry, style: Style) -> str:
    """`**70.1** (1.3)`, or why there is no number."""
    first, *rest = table.metrics
    if first not in entry.numbers:
        return _why(entry)
    return bracketed(
        [
            _mean(entry, first, style) + _deviation(entry, first, style),
            *(_mean(entry, m, style) if m in entry.numbers else "-" for m in rest),
        ]
    )


def _mean(entry: Entry, metric: str, style: Style) -> str:
    """A mean with its mark, and the sign of a significant difference."""
    mean = style.printed(metric, entry.numbers[metric].mean)
    marked = {"best": f"**{mean}**", "second": f"<u>{mean}</u>"}
    sign = _SIGN if style.significant(entry.numbers[metric]) else ""
    return marked.get(entry.marks.get(metric, ""), mean) + sign


def _deviation(entry: Entry, metric: str, style: Style) -> str:
    deviation = style.deviation(entry, metric)
    return "" if deviation is None else f" ± {style.printed(metric, deviation)}"


def _why(entry: Entry) -> str:
    reason = why(entry)
    return reason if reason == "-" else f"*{reason}*"


def _sentence(text: str) -> str:
    return escape(text).replace("+-", "±").replace("frame^2", "frame²")
