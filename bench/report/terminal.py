"""A table in the terminal: as wide as it may be, styled on a terminal, plain lines elsewhere.

Layout 'entries': datasets are rows where that fits; otherwise methods are, and if the datasets
beside each other are still too wide they follow in blocks. Layout 'metrics': methods are rows, and
the metrics of a dataset stay together where they fit.
"""

from __future__ import annotations

import re
import textwrap
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bench.metrics import metric_info
from bench.report import sentences
from bench.report.cells import (
    entry_piece,
    label,
    lines_of,
    named,
    number_piece,
    published_piece,
    stub,
)
from bench.report.grid import PLAIN, Column, Piece, blocks, fits
from bench.report.long import long_form
from bench.report.table import Table

_Grid = tuple[Column, list[Column]]


def show(table: Table, console: Console, *, long: bool = False) -> None:
    """Print a table: styled on a terminal, plain aligned lines in a pipe or a log."""
    plain = not console.is_terminal or console.is_dumb_terminal
    for line in draw(table, width=console.width, plain=plain, long=long):
        console.print(line, soft_wrap=True, highlight=False)


def draw(table: Table, *, width: int, plain: bool, long: bool = False) -> list[Text]:
    """The lines of a table that is at most `width` columns wide.

    plain: mark the best as **70.1** and the second as _70.9_ instead of by style; long: everything
    that is known about every entry.
    """
    grid, spread = _grid(table, width, plain)
    if long:
        body = [line for row in table.rows for line in long_form(table, row, width, plain)]
    else:
        body = blocks(*grid, width, plain)
    edge = max((line.cell_len for line in body), default=0)
    lines = [*_title(table, width, edge), *body]
    lines.append(Text())
    marks = (PLAIN["best"], PLAIN["second"]) if plain else ("bold", "underlined")
    legend = sentences.legend(table, *marks, spread=spread or long)
    said = [" | ".join(sentences.settings(table)), legend]
    said += [sentences.standins(table), *sentences.remarks(table), sentences.ran(table)]
    for sentence in said:
        lines += _wrapped(sentence, width)
    return lines


def _wrapped(sentence: str, width: int) -> list[Text]:
    """A sentence in lines that do not part the thousands of a number."""
    joined = re.sub(r"(?<=\d) (?=\d{3}\b)", "\0", sentence)
    lines = textwrap.wrap(joined, width, subsequent_indent="  ")
    return [Text(line.replace("\0", " ")) for line in lines]


def _title(table: Table, width: int, edge: int) -> list[Text]:
    """The title, and the units up to the table's right edge, or below where there is no room."""
    left = f"{sentences.heading(table)}  {table.config.title}"
    right = sentences.measure(table)
    used = cell_len(left) + cell_len(right)
    if used + 2 <= width:
        return [Text.assemble((left, "bold"), " " * max(edge - used, 2), right)]
    return [
        *(Text(part, "bold") for part in textwrap.wrap(left, width)),
        *(Text(part) for part in textwrap.wrap(right, width)),
    ]


def _grid(table: Table, width: int, plain: bool) -> tuple[_Grid, bool]:
    """The form that shows most in the width there is, and whether it has deviations."""
    if table.config.layout == "entries":
        wide = _wide(table)
        return (wide if fits(*wide, width, plain) else _tall(table)), True
    first, others = _metrics(table, spread=table.with_spread)
    spread = table.with_spread and all(
        fits(first, list(group), width, plain)
        for _, group in groupby(others, key=lambda column: column.group)
    )
    return ((first, others) if spread else _metrics(table, spread=False)), spread


def _wide(table: Table) -> _Grid:
    """Datasets as rows, methods as columns."""
    names: list[Piece] = []
    lines: list[list[Piece]] = []
    for row in table.rows:
        names.append(Piece(named(table, row)))
        lines.append([entry_piece(table, entry) for entry in row.entries])
        if any(entry.published for entry in row.entries):
            names.append(label("published"))
            lines.append([published_piece(table, entry) for entry in row.entries])
    cells = zip(*lines, strict=True)
    others = [
        Column((Piece(label, "head"),), column)
        for label, column in zip(table.labels, cells, strict=True)
    ]
    return Column((Piece(""),), tuple(names)), others


def _tall(table: Table) -> _Grid:
    """Methods as rows, datasets as columns."""
    lines = lines_of(table, table.rows, "here", "published")
    others = []
    for place, row in enumerate(table.rows):
        cells = [
            entry_piece(table, row.entries[at])
            if line == "here"
            else published_piece(table, row.entries[at])
            for at, line in lines
        ]
        heads = [Piece(head, "head") for head in table.heads(row)]
        if any(row.standin for row in table.rows):
            heads.append(Piece("[stand-in]" if row.standin else ""))
        others.append(Column(tuple(heads), tuple(cells), group=place))
    return stub(table, lines, others), others


def _metrics(table: Table, *, spread: bool) -> _Grid:
    """Methods as rows, every metric of every dataset as a column.

    spread: with deviations over seeds. The actions of one dataset under one protocol stand apart
    from those of others.
    """
    lines = lines_of(table, table.rows, "here", "published")
    others = []
    for place, row in enumerate(table.rows):
        sign = "  [stand-in]" if row.standin else ""
        title, *rest = table.heads(row)
        for number, metric in enumerate(table.config.metrics):
            heads = [title + sign, *rest, metric_info(metric).label]
            cells = [
                number_piece(row.entries[at], metric, line, spread=spread, first=number == 0)
                for at, line in lines
            ]
            pieces = tuple(Piece(head, "head") for head in heads)
            part = table.place(row) if table.by_action else None
            others.append(Column(pieces, tuple(cells), group=place, part=part))
    return stub(table, lines, others), others
