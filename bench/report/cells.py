"""What stands in the cells of a table in the terminal, and on which lines of a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.report.grid import Column, Piece
from bench.report.sentences import reference
from bench.report.style import Style, bracketed
from bench.report.table import DatasetRow, Entry, Number, Table

Line = Literal["here", "gain", "published", "difference"]
"""Measured here; minus the table's reference method; published; here minus published."""

SIGN = "^"
"""What stands behind a number that differs from the reference's, as stars mark the best."""

_REASONS = ("failed", "not run", "no data", "quoted")


def named(table: Table, row: DatasetRow) -> str:
    """What a row is called, with the sign of a stand-in."""
    return ", ".join(table.heads(row)) + ("  [stand-in]" if row.standin else "")


def lines_shown(table: Table) -> tuple[Line, ...]:
    """The lines of every method in the short form."""
    return ("here", "gain", "published") if table.config.differences else ("here", "published")


def lines_of(
    table: Table, rows: Sequence[DatasetRow], wanted: Sequence[Line]
) -> list[tuple[int, Line]]:
    """The lines of every method, by its place: those wanted that say something in one of rows."""
    lines: list[tuple[int, Line]] = []
    for place in range(len(table.labels)):
        entries = [row.entries[place] for row in rows]
        known = {
            "here": True,
            "gain": any(number.gain for entry in entries for number in entry.numbers.values()),
            "published": any(entry.published for entry in entries),
            "difference": any(entry.published.keys() & entry.numbers.keys() for entry in entries),
        }
        lines += [(place, line) for line in wanted if known[line]]
    return lines


def stub(table: Table, lines: Sequence[tuple[int, Line]], others: Sequence[Column]) -> Column:
    """The first column, under as many heads as the others have."""
    cells = tuple(
        Piece(table.labels[place]) if line == "here" else label(table, line)
        for place, line in lines
    )
    return Column((Piece(""),) * len(others[0].heads), cells)


def gain_label(table: Table) -> str:
    """`minus linear [95 %]`."""
    return f"minus {reference(table)} [95 %]"


def label(table: Table, line: Line) -> Piece:
    """What stands before a line that is not the method's own."""
    if line == "gain":
        return Piece(f"  {gain_label(table)}")
    if line == "difference":
        return Piece("  minus published")
    return Piece("  published", "published")


def number_piece(
    entry: Entry, metric: str, line: Line, style: Style, *, spread: bool, first: bool
) -> Piece:
    """One metric of an entry on one line: on its own, in the first column, why there is none."""
    number, published = entry.numbers.get(metric), entry.published.get(metric)
    if line == "gain":
        known = number is not None and number.gain is not None
        return Piece(gain_text(metric, number, style) if known else "")
    if line == "published":
        return Piece("" if published is None else style.printed(metric, published), "published")
    if line == "difference":
        if number is None or published is None:
            return Piece("")
        return Piece(style.signed(metric, number.mean - published))
    if number is None:
        if entry.state == "quoted" and published is None:
            # A line that says nothing at all is left out of its block.
            return Piece("")
        return Piece(why(entry) if first else "-")
    text = _mean(metric, number, style) + (_deviation(entry, metric, style) if spread else "")
    return Piece(text, entry.marks.get(metric, ""))


def entry_piece(table: Table, entry: Entry, line: Line, style: Style) -> Piece:
    """An entry on one line: `mean +-sd (second metric, ...)`, or why there is none."""
    metrics = table.metrics
    if line == "published":
        return published_piece(table, entry, style)
    number = entry.numbers.get(metrics[0])
    if line == "gain":
        return Piece(gain_text(metrics[0], number, style))
    if number is None:
        return Piece(why(entry))
    texts = [
        _mean(metric, entry.numbers[metric], style) if metric in entry.numbers else "-"
        for metric in metrics
    ]
    texts[0] += _deviation(entry, metrics[0], style)
    return Piece(bracketed(texts), entry.marks.get(metrics[0], ""))


def why(entry: Entry) -> str:
    """Why there is no number."""
    if entry.state == "quoted" and not entry.published:
        return "-"
    return entry.state if entry.state in _REASONS else "-"


def published_piece(table: Table, entry: Entry, style: Style) -> Piece:
    """`54.6 (19.2)`."""
    return Piece(style.printed_all(table.metrics, entry.published), "published")


def gain_text(metric: str, number: Number | None, style: Style) -> str:
    """`-1.9 [-2.1, -1.7]`."""
    if number is None or number.gain is None:
        return "-"
    mean, low, high = (
        style.signed(metric, value)
        for value in (number.gain.mean, number.gain.low, number.gain.high)
    )
    return f"{mean} [{low}, {high}]"


def _mean(metric: str, number: Number, style: Style) -> str:
    return style.printed(metric, number.mean) + (SIGN if style.significant(number) else "")


def _deviation(entry: Entry, metric: str, style: Style) -> str:
    deviation = style.deviation(entry, metric)
    return "" if deviation is None else f" +-{style.printed(metric, deviation)}"
