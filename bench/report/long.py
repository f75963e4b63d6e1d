"""The long form of a table in the terminal: everything that is known about every entry."""

from __future__ import annotations

import textwrap

from rich.text import Text

from bench.report.cells import (
    gain_label,
    gain_text,
    lines_of,
    named,
    number_piece,
    published_piece,
    stub,
)
from bench.report.grid import Column, Piece, blocks
from bench.report.heads import heads, label
from bench.report.sentences import grouped
from bench.report.style import Style, bracketed
from bench.report.table import DatasetRow, Entry, Table

_SPENT = ("seeds", "parameters")
_SPREADS = {"sd": ("sd",), "ci": ("95 % +-",), "none": ()}


def long_form(table: Table, row: DatasetRow, width: int, plain: bool, style: Style) -> list[Text]:
    """A row's title, and its entries in as many columns as they need."""
    grid = _metrics if table.config.layout == "metrics" else _entries
    return [
        Text(),
        *(Text(part, "bold") for part in textwrap.wrap(named(table, row), width)),
        *blocks(*grid(table, row, style), width, plain),
    ]


def _entries(table: Table, row: DatasetRow, style: Style) -> tuple[Column, list[Column]]:
    """One line per entry: the first metric leads, the others follow, then differences."""
    first, *rest = table.metrics_of(row)
    above = [label(first, style), *_SPREADS[style.spread]]
    above += [label(metric, style) for metric in rest]
    above += [gain_label(table)]
    above += ["published", "minus published"] if style.published else []
    above += [*_SPENT, *_sizes(row)]
    lines = []
    for entry in row.entries:
        deviation = style.deviation(entry, first)
        said = Piece("-" if deviation is None else style.printed(first, deviation))
        lines.append(
            [
                number_piece(entry, first, "here", style, spread=False, first=True),
                *([said] if style.spread != "none" else []),
                *(
                    number_piece(entry, metric, "here", style, spread=False, first=False)
                    for metric in rest
                ),
                Piece(gain_text(first, entry.numbers.get(first), style)),
                *(
                    [published_piece(table, entry, style), Piece(_difference(row, entry, style))]
                    if style.published
                    else []
                ),
                *_spent(entry, row),
            ]
        )
    columns = [
        Column((Piece(head, "head"),), cells)
        for head, cells in zip(above, zip(*lines, strict=True), strict=True)
    ]
    return Column((Piece(""),), tuple(map(Piece, table.labels))), columns


def _metrics(table: Table, row: DatasetRow, style: Style) -> tuple[Column, list[Column]]:
    """Every metric with its deviation; below it differences and what was published."""
    lines = lines_of(table, [row], ("here", "gain", "published", "difference"))
    metrics = table.metrics_of(row)
    above = heads(metrics, style)
    columns = []
    for number, metric in enumerate(metrics):
        cells = tuple(
            number_piece(row.entries[at], metric, line, style, spread=True, first=number == 0)
            for at, line in lines
        )
        columns.append(Column(tuple(Piece(head, "head") for head in above[number]), cells))
    spent = [_spent(entry, row) for entry in row.entries]
    blank = (Piece(""),) * (len(above[0]) - 1)
    for place, head in enumerate((*_SPENT, *_sizes(row))):
        cells = tuple(spent[at][place] if line == "here" else Piece("") for at, line in lines)
        columns.append(Column((*blank, Piece(head, "head")), cells))
    return stub(table, lines, columns), columns


def _sizes(row: DatasetRow) -> dict[str, str]:
    """What of a cell's geometry differs between methods, by its head."""
    if "history" in row.geometry:
        return {"history": "history", "future": "future"}
    return {"Q": "intervals"}


def _spent(entry: Entry, row: DatasetRow) -> list[Piece]:
    """Seeds, parameters and geometry of an entry."""
    sizes = entry.cell.geometry if entry.cell else {}
    return [
        Piece(f"{entry.seeds}/{entry.planned}" if entry.planned else "-"),
        Piece("-" if entry.parameters is None else grouped(entry.parameters)),
        *(Piece(str(sizes.get(what, "-"))) for what in _sizes(row).values()),
    ]


def _difference(row: DatasetRow, entry: Entry, style: Style) -> str:
    """`+18.1 (-0.2)`: the number here minus the published one, of every metric."""
    return bracketed(
        [
            style.signed(metric, entry.numbers[metric].mean - entry.published[metric])
            if metric in entry.numbers and metric in entry.published
            else "-"
            for metric in row.metrics
        ]
    )
