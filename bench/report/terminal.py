"""A table in the terminal: as wide as it may be, styled on a terminal, plain lines elsewhere.

Layout 'entries': datasets are rows where that fits; otherwise methods are, and if the datasets
beside each other are still too wide they follow in blocks. Layout 'metrics': methods are rows, and
the metrics of a dataset stay together where they fit.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bench.contracts import printable
from bench.report import sentences
from bench.report.cells import (
    SIGN,
    Line,
    entry_piece,
    label,
    lines_of,
    lines_shown,
    named,
    number_piece,
    stub,
)
from bench.report.grid import PLAIN, Column, Piece, blocks, fits, parted
from bench.report.heads import heads
from bench.report.long import long_form
from bench.report.style import PLAIN as UNSTYLED
from bench.report.style import Style, styled
from bench.report.table import Table

_Grid = tuple[Column, list[Column]]


def show(table: Table, console: Console, *, long: bool = False, style: Style = UNSTYLED) -> None:
    """Print a table: styled on a terminal, plain aligned lines in a pipe or a log.

    BadInput when the style leaves nothing of it.
    """
    plain = not console.is_terminal or console.is_dumb_terminal
    for line in draw(table, width=console.width, plain=plain, long=long, style=style):
        console.print(line, soft_wrap=True, highlight=False)


def draw(
    table: Table, *, width: int, plain: bool, long: bool = False, style: Style = UNSTYLED
) -> list[Text]:
    """The lines of a table that is at most `width` columns wide.

    plain: mark the best as **70.1** and the second as _70.9_ instead of by style; long: everything
    that is known about every entry. BadInput when the style leaves nothing of it.
    """
    table = styled(table, style)
    grid, spread = _grid(table, width, plain, style)
    if long:
        body = [line for row in table.rows for line in long_form(table, row, width, plain, style)]
    else:
        body = blocks(*grid, width, plain)
    edge = max((line.cell_len for line in body), default=0)
    lines = [*_title(table, width, edge), *body]
    lines.append(Text())
    best, second = (PLAIN["best"], PLAIN["second"]) if plain else ("bold", "underlined")
    legend = sentences.legend(
        table, style, best=best, second=second, sign=SIGN, spread=spread or long
    )
    said = [" | ".join(sentences.settings(table)), legend]
    said += [sentences.standins(table), *sentences.remarks(table), sentences.ran(table)]
    for sentence in said:
        lines += _wrapped(sentence, width)
    # Names and reasons may hold what a terminal would act on.
    for line in lines:
        line.plain = printable(line.plain)
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


def _grid(table: Table, width: int, plain: bool, style: Style) -> tuple[_Grid, bool]:
    """The form that shows most in the width there is, and whether it has deviations."""
    if table.config.layout == "entries":
        wide = _wide(table, style)
        return (wide if fits(*wide, width, plain) else _tall(table, style)), True
    bare = _metrics(table, style, spread=False)
    full = _metrics(table, style, spread=True)
    spread = table.with_spread and (
        _whole(full, width, plain) or _as_short(full, bare, width, plain)
    )
    first, others = full if spread else bare
    return (first, _together(first, others, width, plain)), spread


def _whole(grid: _Grid, width: int, plain: bool) -> bool:
    """Whether the metrics of every row fit beside each other."""
    first, others = grid
    groups = groupby(others, key=lambda column: column.group)
    return all(fits(first, list(group), width, plain) for _, group in groups)


def _as_short(grid: _Grid, other: _Grid, width: int, plain: bool) -> bool:
    """Whether a grid takes no more blocks than another."""
    blocks_of, blocks_at_most = (
        len(list(parted(first, _together(first, others, width, plain), width, plain)))
        for first, others in (grid, other)
    )
    return blocks_of <= blocks_at_most


def _wide(table: Table, style: Style) -> _Grid:
    """Datasets as rows, methods as columns."""
    names: list[Piece] = []
    lines: list[list[Piece]] = []
    for row in table.rows:
        numbers = [number for entry in row.entries for number in entry.numbers.values()]
        known: dict[Line, bool] = {
            "here": True,
            "gain": any(number.gain for number in numbers),
            "published": any(entry.published for entry in row.entries),
        }
        for line in lines_shown(table):
            if known[line]:
                names.append(Piece(named(table, row)) if line == "here" else label(table, line))
                lines.append([entry_piece(table, entry, line, style) for entry in row.entries])
    cells = zip(*lines, strict=True)
    others = [
        Column((Piece(method, "head"),), column)
        for method, column in zip(table.labels, cells, strict=True)
    ]
    return Column((Piece(""),), tuple(names)), others


def _tall(table: Table, style: Style) -> _Grid:
    """Methods as rows, datasets as columns."""
    lines = lines_of(table, table.rows, lines_shown(table))
    others = []
    for place, row in enumerate(table.rows):
        cells = [entry_piece(table, row.entries[at], line, style) for at, line in lines]
        above = [Piece(head, "head") for head in table.heads(row)]
        if any(row.standin for row in table.rows):
            above.append(Piece("[stand-in]" if row.standin else ""))
        others.append(Column(tuple(above), tuple(cells), group=place))
    return stub(table, lines, others), others


def _metrics(table: Table, style: Style, *, spread: bool) -> _Grid:
    """Methods as rows, every metric of every dataset as a column.

    spread: with deviations over seeds. The actions of one dataset under one protocol stand apart
    from those of others.
    """
    lines = lines_of(table, table.rows, lines_shown(table))
    above = [heads(row.metrics, style) for row in table.rows]
    levels = max(len(labels) for said in above for labels in said)
    others = []
    for place, (row, said) in enumerate(zip(table.rows, above, strict=True)):
        sign = "  [stand-in]" if row.standin else ""
        title, *rest = table.heads(row)
        for number, metric in enumerate(row.metrics):
            labels = ("",) * (levels - len(said[number])) + said[number]
            cells = [
                number_piece(row.entries[at], metric, line, style, spread=spread, first=not number)
                for at, line in lines
            ]
            pieces = tuple(Piece(head, "head") for head in (title + sign, *rest, *labels))
            part = table.place(row) if table.by_action else None
            others.append(Column(pieces, tuple(cells), group=place, part=part))
    return stub(table, lines, others), others


def _together(first: Column, others: Sequence[Column], width: int, plain: bool) -> list[Column]:
    """Columns of which those below one head stay together where their row does not fit.

    Such a row stands apart from others.
    """
    columns: list[Column] = []
    for place, group in groupby(others, key=lambda column: column.group):
        members = list(group)
        if not fits(first, members, width, plain):
            members = [
                replace(column, group=(place, column.heads[:-1]), part=(column.part, place))
                for column in members
            ]
        columns += members
    return columns
