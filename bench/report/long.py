"""The long form of a table in the terminal: everything that is known about every entry."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.text import Text

from bench.metrics import metric_info
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
from bench.report.sentences import grouped
from bench.report.table import DatasetRow, Entry, Table, printed, signed

_SPENT = ("seeds", "parameters")


def long_form(table: Table, row: DatasetRow, width: int, plain: bool) -> list[Text]:
    """A row's title, and its entries in as many columns as they need."""
    grid = _metrics if table.config.layout == "metrics" else _entries
    return [
        Text(),
        *(Text(part, "bold") for part in textwrap.wrap(named(table, row), width)),
        *blocks(*grid(table, row), width, plain),
    ]


def _entries(table: Table, row: DatasetRow) -> tuple[Column, list[Column]]:
    """One line per entry: the first metric leads, the others follow, then differences."""
    first, *rest = table.metrics
    heads = [metric_info(first).label, "sd", *(metric_info(metric).label for metric in rest)]
    heads += [gain_label(table), "published", "minus published", *_SPENT, *_sizes(row)]
    lines = []
    for entry in row.entries:
        number = entry.numbers.get(first)
        means = {metric: number.mean for metric, number in entry.numbers.items()}
        lines.append(
            [
                number_piece(entry, first, "here", spread=False, first=True),
                Piece("-" if number is None or number.sd is None else printed(first, number.sd)),
                *(
                    number_piece(entry, metric, "here", spread=False, first=False)
                    for metric in rest
                ),
                Piece(gain_text(first, number)),
                published_piece(table, entry),
                Piece(_difference(table.config.metrics, means, entry.published)),
                *_spent(entry, row),
            ]
        )
    columns = [
        Column((Piece(head, "head"),), cells)
        for head, cells in zip(heads, zip(*lines, strict=True), strict=True)
    ]
    return Column((Piece(""),), tuple(map(Piece, table.labels))), columns


def _metrics(table: Table, row: DatasetRow) -> tuple[Column, list[Column]]:
    """Every metric with its deviation; below it differences and what was published."""
    lines = lines_of(table, [row], "here", "gain", "published", "difference")
    columns = []
    for number, metric in enumerate(table.metrics):
        cells = tuple(
            number_piece(row.entries[at], metric, line, spread=True, first=number == 0)
            for at, line in lines
        )
        columns.append(Column((Piece(metric_info(metric).label, "head"),), cells))
    spent = [_spent(entry, row) for entry in row.entries]
    for place, head in enumerate((*_SPENT, *_sizes(row))):
        cells = tuple(spent[at][place] if line == "here" else Piece("") for at, line in lines)
        columns.append(Column((Piece(head, "head"),), cells))
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


def _difference(
    metrics: Sequence[str], means: Mapping[str, float], published: Mapping[str, float]
) -> str:
    """`+18.1 (-0.2)`: the number here minus the published one, of every metric."""
    texts = [
        signed(metric, means[metric] - published[metric])
        if metric in means and metric in published
        else "-"
        for metric in metrics
    ]
    if set(texts) == {"-"}:
        return "-"
    return f"{texts[0]} ({', '.join(texts[1:])})" if len(texts) > 1 else texts[0]
