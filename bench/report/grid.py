"""Aligned columns of text: heads that neighbours share, numbers by their decimal point, blocks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len
from rich.text import Text

_GAP = "  "
_STYLES = {"best": "bold", "second": "underline", "published": "dim", "head": "bold"}
PLAIN = {"best": "**", "second": "_"}
"""What stands around the best and the second where there are no styles."""


@dataclass(frozen=True)
class Piece:
    """The text of one cell and its role: best, second, published, head or nothing."""

    text: str
    role: str = ""


EMPTY = Piece("")


@dataclass(frozen=True)
class Column:
    """Heads from the widest group's to the column's own, and cells; columns have equally many.

    Neighbours whose heads are equal down to some level share them, but for the column's own.
    group: what should stand side by side; part: columns of two parts never stand in one block.
    """

    heads: tuple[Piece, ...]
    cells: tuple[Piece, ...]
    group: Hashable = None
    part: Hashable = None


def blocks(first: Column, others: Sequence[Column], width: int, plain: bool) -> list[Text]:
    """The lines of a grid; where it is too wide, in blocks that repeat the first column.

    plain: mark the best and the second by signs instead of styles.
    """
    lines: list[Text] = []
    for block in parted(first, others, width, plain):
        if lines:
            lines.append(Text())
        lines += _lines([first, *block], plain)
    return lines


def fits(first: Column, others: Sequence[Column], width: int, plain: bool) -> bool:
    """Whether a grid is at most so wide."""
    return _across(_widths([first, *others], plain)) <= width


def parted(
    first: Column, others: Sequence[Column], width: int, plain: bool
) -> Iterator[list[Column]]:
    """Columns that stand side by side: whole groups, unless one alone is too wide."""
    block: list[Column] = []
    for _, group in groupby(others, key=lambda column: (column.part, column.group)):
        members = list(group)
        together = fits(first, [*block, *members], width, plain)
        if block and not (together and block[0].part == members[0].part):
            yield block
            block = []
        for column in members:
            if block and not together and not fits(first, [*block, column], width, plain):
                yield block
                block = []
            block.append(column)
    if block:
        yield block


def _lines(columns: Sequence[Column], plain: bool) -> list[Text]:
    """One block: its heads, then its cells, without lines that say nothing here."""
    widths = _widths(columns, plain)
    heads = [
        _joined(
            (Text(head.text, _STYLES.get(head.role, "")), _across(widths[start:stop]))
            for head, start, stop in _runs(columns, level)
        )
        for level in range(len(columns[0].heads))
    ]
    bodies = [_aligned(column, plain, left=not place) for place, column in enumerate(columns)]
    cells = [
        _joined(zip(parts, widths, strict=True))
        for parts in zip(*bodies, strict=True)
        if any(part.plain.strip() for part in parts[1:])
    ]
    return [*(line for line in heads if line.plain), *cells]


def _joined(parts: Iterable[tuple[Text, int]]) -> Text:
    """Texts side by side, each padded to its width."""
    padded = []
    for text, width in parts:
        text.pad_right(width - text.cell_len)
        padded.append(text)
    line = Text(_GAP).join(padded)
    line.rstrip()
    return line


def _across(widths: Sequence[int]) -> int:
    """The width of columns with the gaps between them."""
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _widths(columns: Sequence[Column], plain: bool) -> list[int]:
    """The width of every column: of its cells, and in the last of a run what its head needs."""
    widths = [
        max((text.cell_len for text in _aligned(column, plain, left=not place)), default=0)
        for place, column in enumerate(columns)
    ]
    for level in reversed(range(len(columns[0].heads))):
        for head, start, stop in _runs(columns, level):
            widths[stop - 1] += max(cell_len(head.text) - _across(widths[start:stop]), 0)
    return widths


def _runs(columns: Sequence[Column], level: int) -> Iterator[tuple[Piece, int, int]]:
    """Every head of one level, the first column it stands over and the one after its last."""
    own = level == len(columns[0].heads) - 1

    def shared(place: int) -> Hashable:
        return place if own or place == 0 else columns[place].heads[: level + 1]

    for _, run in groupby(range(len(columns)), key=shared):
        start, *rest = run
        yield columns[start].heads[level], start, start + len(rest) + 1


def _aligned(column: Column, plain: bool, *, left: bool) -> list[Text]:
    """The cells with their decimal points below each other, or from the left."""
    texts = [_decorated(piece, plain) for piece in column.cells]
    lead = max((_lead(text) for text in texts if "." in text), default=None)
    if lead is None:
        lead = max(map(cell_len, texts), default=0)
    indents = [0 if left else max(lead - _lead(text), 0) for text in texts]
    return [
        Text(" " * indent).append(text, _STYLES.get(piece.role, ""))
        for indent, piece, text in zip(indents, column.cells, texts, strict=True)
    ]


def _decorated(piece: Piece, plain: bool) -> str:
    sign = PLAIN.get(piece.role, "") if plain else ""
    return f"{sign}{piece.text}{sign}"


def _lead(text: str) -> int:
    """Columns left of the decimal point, by which numbers below each other are aligned."""
    point = text.find(".")
    return point if point >= 0 else cell_len(text)
