"""A table in the terminal: as wide as it may be, styled on a terminal, plain lines elsewhere.

Datasets are rows where that fits; otherwise methods are, and if the datasets beside each other
are still too wide they follow in blocks.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bench.metrics import metric_info
from bench.report import sentences
from bench.report.table import (
    DatasetRow,
    Entry,
    Number,
    Table,
    printed,
    printed_all,
    signed,
)

_GAP = "  "
_STYLES = {"best": "bold", "second": "underline", "published": "dim", "head": "bold"}
_PLAIN = {"best": "**", "second": "_"}


@dataclass(frozen=True)
class _Piece:
    """The text of one cell of a grid and its role: best, second, published, head or nothing."""

    text: str
    role: str = ""


_Grid = list[list[_Piece]]
_EMPTY = _Piece("")
_PUBLISHED = _Piece("  published", "published")


def show(table: Table, console: Console, *, long: bool = False) -> None:
    """Print a table: styled on a terminal, plain aligned lines in a pipe or a log."""
    plain = not console.is_terminal or console.is_dumb_terminal
    for line in draw(table, width=console.width, plain=plain, long=long):
        console.print(line, soft_wrap=True, highlight=False)


def draw(table: Table, *, width: int, plain: bool, long: bool = False) -> list[Text]:
    """The lines of a table that is at most `width` columns wide.

    plain: mark the best as **70.1** and the second as _70.9_ instead of by style; long: one line
    per entry with everything that is known about it.
    """
    if long:
        body = [line for row in table.rows for line in _long(table, row, width, plain)]
    else:
        wide = _wide_grid(table)
        fits = _width(_columns(wide, plain)) <= width
        body = _blocks(wide if fits else _tall_grid(table), width, plain)
    edge = max((line.cell_len for line in body), default=0)
    lines = [*_title(table, width, edge), *body]
    lines.append(Text())
    marks = (_PLAIN["best"], _PLAIN["second"]) if plain else ("bold", "underlined")
    said = [" | ".join(sentences.settings(table)), sentences.legend(table, *marks)]
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
    if used + len(_GAP) <= width:
        return [Text.assemble((left, "bold"), " " * max(edge - used, len(_GAP)), right)]
    return [
        *(Text(part, "bold") for part in textwrap.wrap(left, width)),
        *(Text(part) for part in textwrap.wrap(right, width)),
    ]


def _wide_grid(table: Table) -> _Grid:
    """Datasets as rows, methods as columns."""
    grid = [[_EMPTY, *(_Piece(label, "head") for label in table.labels)]]
    for row in table.rows:
        grid.append([_Piece(_named(row)), *(_here(table, entry) for entry in row.entries)])
        if any(entry.published for entry in row.entries):
            grid.append([_PUBLISHED, *(_published(table, entry) for entry in row.entries)])
    return grid


def _tall_grid(table: Table) -> _Grid:
    """Methods as rows, datasets as columns."""
    grid = [[_EMPTY, *(_Piece(row.title, "head") for row in table.rows)]]
    if any(row.standin for row in table.rows):
        grid.append([_EMPTY, *(_Piece("[stand-in]" if r.standin else "") for r in table.rows)])
    for entries in zip(*(row.entries for row in table.rows), strict=True):
        grid.append([_Piece(entries[0].label), *(_here(table, entry) for entry in entries)])
        if any(entry.published for entry in entries):
            grid.append([_PUBLISHED, *(_published(table, entry) for entry in entries)])
    return grid


def _here(table: Table, entry: Entry) -> _Piece:
    """`mean +-sd (second metric, ...)`, or why there is none."""
    first = table.config.metrics[0]
    if first not in entry.numbers:
        return _Piece(entry.state if entry.state in ("failed", "not run") else "-")
    means = {metric: number.mean for metric, number in entry.numbers.items()}
    mean, bracket, rest = printed_all(table.config.metrics, means).partition(" (")
    sd = entry.numbers[first].sd
    spread = "" if sd is None else f" +-{printed(first, sd)}"
    return _Piece(mean + spread + bracket + rest, entry.mark)


def _published(table: Table, entry: Entry) -> _Piece:
    return _Piece(printed_all(table.config.metrics, entry.published), "published")


def _long(table: Table, row: DatasetRow, width: int, plain: bool) -> list[Text]:
    """A dataset's title and one line per entry with everything that is known about it."""
    return [
        Text(),
        *(Text(part, "bold") for part in textwrap.wrap(_named(row), width)),
        *_blocks(_long_grid(table, row), width, plain),
    ]


def _named(row: DatasetRow) -> str:
    return f"{row.title}  [stand-in]" if row.standin else row.title


def _long_grid(table: Table, row: DatasetRow) -> _Grid:
    """The first metric and its deviation, the other metrics, differences, and what was spent."""
    first, *rest = table.metrics
    gain = f"minus {table.config.reference} [95 %]"
    heads = [metric_info(first).label, "sd", *(metric_info(metric).label for metric in rest)]
    heads += [gain, "published", "minus published", "seeds", "parameters", "Q"]
    grid = [[_EMPTY, *(_Piece(head, "head") for head in heads)]]
    for entry in row.entries:
        number = entry.numbers.get(first)
        means = {metric: number.mean for metric, number in entry.numbers.items()}
        state = entry.state if entry.state in ("failed", "not run") else "-"
        grid.append(
            [
                _Piece(entry.label),
                _Piece(printed(first, number.mean), entry.mark) if number else _Piece(state),
                _Piece("-" if number is None or number.sd is None else printed(first, number.sd)),
                *(_Piece(printed(m, means[m]) if m in means else "-") for m in rest),
                _Piece(_gain(first, number)),
                _published(table, entry),
                _Piece(_difference(table.config.metrics, means, entry.published)),
                _Piece(f"{entry.seeds}/{entry.planned}" if entry.planned else "-"),
                _Piece("-" if entry.parameters is None else sentences.grouped(entry.parameters)),
                _Piece(str(entry.cell.intervals) if entry.cell else "-"),
            ]
        )
    return grid


def _gain(metric: str, number: Number | None) -> str:
    """`-1.9 [-2.1, -1.7]`."""
    if number is None or number.gain is None:
        return "-"
    gain = number.gain
    return f"{signed(metric, gain.mean)} [{signed(metric, gain.low)}, {signed(metric, gain.high)}]"


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


def _decorated(piece: _Piece, plain: bool) -> str:
    sign = _PLAIN.get(piece.role, "") if plain else ""
    return f"{sign}{piece.text}{sign}"


def _lead(text: str) -> int:
    """Columns left of the decimal point, by which numbers below each other are aligned."""
    point = text.find(".")
    return point if point >= 0 else cell_len(text)


def _columns(grid: _Grid, plain: bool) -> list[list[Text]]:
    """The grid's columns, every text padded to the width of its column.

    The first column and the head are aligned left, numbers by their decimal point.
    """
    columns = []
    for place, pieces in enumerate(zip(*grid, strict=True)):
        texts = [_decorated(piece, plain) for piece in pieces]
        lead = max((_lead(text) for text in texts[1:] if "." in text), default=None)
        if lead is None:
            lead = max((cell_len(text) for text in texts[1:]), default=0)
        padded = []
        for row, (piece, text) in enumerate(zip(pieces, texts, strict=True)):
            indent = 0 if row == 0 or place == 0 else max(lead - _lead(text), 0)
            padded.append(Text(" " * indent).append(text, _STYLES.get(piece.role, "")))
        width = max(line.cell_len for line in padded)
        for line in padded:
            line.pad_right(width - line.cell_len)
        columns.append(padded)
    return columns


def _width(columns: Sequence[Sequence[Text]]) -> int:
    return sum(column[0].cell_len for column in columns) + len(_GAP) * (len(columns) - 1)


def _blocks(grid: _Grid, width: int, plain: bool) -> list[Text]:
    """The grid's lines; where it is too wide, in blocks that repeat the first column."""
    first, *others = _columns(grid, plain)
    lines: list[Text] = []
    while others:
        count = 1
        while count < len(others) and _width([first, *others[: count + 1]]) <= width:
            count += 1
        block, others = [first, *others[:count]], others[count:]
        if lines:
            lines.append(Text())
        for parts in zip(*block, strict=True):
            line = Text(_GAP).join(parts)
            line.rstrip()
            if line.plain:  # a head's second line that says nothing of this block
                lines.append(line)
    return lines
