"""What stands in the cells of a table in the terminal, and on which lines of a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.report.grid import Column, Piece
from bench.report.table import DatasetRow, Entry, Number, Table, printed, printed_all, signed

Line = Literal["here", "gain", "published", "difference"]
"""Measured here; minus the table's reference method; published; here minus published."""


def named(table: Table, row: DatasetRow) -> str:
    """What a row is called, with the sign of a stand-in."""
    return ", ".join(table.heads(row)) + ("  [stand-in]" if row.standin else "")


def lines_of(table: Table, rows: Sequence[DatasetRow], *wanted: Line) -> list[tuple[int, Line]]:
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
    gain = gain_label(table)
    cells = tuple(
        Piece(table.labels[place]) if line == "here" else label(line, gain) for place, line in lines
    )
    return Column((Piece(""),) * len(others[0].heads), cells)


def gain_label(table: Table) -> str:
    """`minus linear [95 %]`."""
    return f"minus {table.config.reference} [95 %]"


def label(line: Line, gain: str = "") -> Piece:
    """What stands before a line that is not the method's own."""
    if line == "gain":
        return Piece(f"  {gain}")
    if line == "difference":
        return Piece("  minus published")
    return Piece("  published", "published")


def number_piece(entry: Entry, metric: str, line: Line, *, spread: bool, first: bool) -> Piece:
    """One metric of an entry on one line: on its own, in the first column, why there is none."""
    number, published = entry.numbers.get(metric), entry.published.get(metric)
    if line == "gain":
        return Piece("" if number is None or number.gain is None else gain_text(metric, number))
    if line == "published":
        return Piece("" if published is None else printed(metric, published), "published")
    if line == "difference":
        if number is None or published is None:
            return Piece("")
        return Piece(signed(metric, number.mean - published))
    if number is None:
        return Piece(why(entry) if first else "-")
    sd = "" if number.sd is None or not spread else f" +-{printed(metric, number.sd)}"
    return Piece(printed(metric, number.mean) + sd, entry.marks.get(metric, ""))


def entry_piece(table: Table, entry: Entry) -> Piece:
    """`mean +-sd (second metric, ...)`, or why there is none."""
    first = table.config.metrics[0]
    if first not in entry.numbers:
        return Piece(why(entry))
    means = {metric: number.mean for metric, number in entry.numbers.items()}
    mean, bracket, rest = printed_all(table.config.metrics, means).partition(" (")
    sd = entry.numbers[first].sd
    spread = "" if sd is None else f" +-{printed(first, sd)}"
    return Piece(mean + spread + bracket + rest, entry.marks.get(first, ""))


def why(entry: Entry) -> str:
    """Why there is no number."""
    return entry.state if entry.state in ("failed", "not run") else "-"


def published_piece(table: Table, entry: Entry) -> Piece:
    """`54.6 (19.2)`."""
    return Piece(printed_all(table.config.metrics, entry.published), "published")


def gain_text(metric: str, number: Number | None) -> str:
    """`-1.9 [-2.1, -1.7]`."""
    if number is None or number.gain is None:
        return "-"
    gain = number.gain
    return f"{signed(metric, gain.mean)} [{signed(metric, gain.low)}, {signed(metric, gain.high)}]"
