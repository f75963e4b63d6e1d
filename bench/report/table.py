"""A table ready to be drawn: every number, mark and state, and nothing about layout.

`build` (bench/report/build.py) makes one; terminal, LaTeX, Markdown and CSV all draw that one.
Numbers are in the unit they are printed in (millimetres, percent), unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.config import Column, Row, TableConfig
from bench.metrics import metric_info
from bench.results import Cell, Scored
from bench.stats import Gain

State = Literal["done", "failed", "not run", "no data", "quoted", "absent"]
Mark = Literal["best", "second"]

AVERAGE = "average"
"""What a row of all clips is called beside those of single actions."""


@dataclass(frozen=True)
class Number:
    """A metric's mean over seeds, its standard deviation and what was gained.

    sd: None with fewer than two seeds; gain: this minus the table's reference method, None for
    the reference itself and where the two were not scored on the same clips.
    """

    mean: float
    sd: float | None = None
    gain: Gain | None = None


@dataclass(frozen=True)
class Entry:
    """One method in one row.

    state: 'done' with at least one finished seed, 'failed' with none and at least one that
    failed, 'not run' when it was planned and has no result, 'no data' when its dataset is not on
    this machine, 'quoted' when its published numbers are all there can be, 'absent' when nothing
    was planned; published: the paper's values by metric; seeds, planned: finished and planned
    ones; reason: of the first failure; marks: of the metrics by which it is best or second in its
    row; keyframes: False for a method that sees the estimator at every frame, which is not
    ranked; cell: what its seeds share, None when nothing was planned.
    """

    column: Column
    state: State
    keyframes: bool
    numbers: Mapping[str, Number] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 0
    planned: int = 0
    reason: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    parameters: int | None = None
    scored: Scored | None = None
    cell: Cell | None = None

    @property
    def label(self) -> str:
        """The method's name in the table."""
        return self.column.label or self.column.key


@dataclass(frozen=True)
class DatasetRow:
    """One dataset under one protocol, or one action of it, with the entries of every column.

    metrics: the leading ones, which are shown everywhere; action: the only one whose clips count,
    or nothing for all of them; missing: why there is no data; scored: what most entries stand on;
    geometry: of most entries; origin, standin: where the clips came from; notes: what
    every output must say about the dataset, note: about this row.
    """

    dataset: str
    title: str
    fps: float
    protocol: str
    metrics: tuple[str, ...]
    interval: int
    entries: tuple[Entry, ...]
    action: str = ""
    missing: str = ""
    standin: bool = False
    origin: str = ""
    notes: tuple[str, ...] = ()
    note: str = ""
    scored: Scored | None = None
    geometry: Mapping[str, int] = field(default_factory=dict)

    def shows(self, config: TableConfig, given: Row) -> bool:
        """Whether this is what became of a row of the table's specification."""
        return (
            self.dataset == given.dataset
            and self.protocol == config.protocol_of(given)
            and self.interval == config.interval_of(given)
            and self.metrics == config.metrics_of(given)
            and self.action == (given.action or "")
        )


@dataclass(frozen=True)
class Run:
    """How the numbers came about: cells computed and taken from earlier, time, command, place."""

    computed: int
    earlier: int
    seconds: float
    command: str
    folder: Path


@dataclass(frozen=True)
class Table:
    """A table with nothing left to compute."""

    name: str
    config: TableConfig
    rows: tuple[DatasetRow, ...]
    run: Run | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The leading metrics of all rows, each once, in the order in which they come up."""
        return tuple(dict.fromkeys(metric for row in self.rows for metric in row.metrics))

    def metrics_of(self, row: DatasetRow) -> tuple[str, ...]:
        """The leading metrics of a row, then those of the long form."""
        return tuple(dict.fromkeys(row.metrics + self.config.details))

    @property
    def labels(self) -> list[str]:
        """The methods' names, in the order of every row's entries."""
        return [column.label or column.key for column in self.config.columns]

    @property
    def by_action(self) -> bool:
        """Whether a row shows one action only."""
        return any(row.action for row in self.rows)

    @property
    def with_spread(self) -> bool:
        """Whether there is room for deviations over seeds: not beside every metric of actions."""
        return self.config.layout == "entries" or not self.by_action

    def place(self, row: DatasetRow) -> tuple[str, ...]:
        """The dataset's title, and where rows differ in them the protocol and K."""
        protocol = (row.protocol,) if len({other.protocol for other in self.rows}) > 1 else ()
        interval = (f"K={row.interval}",) if len({o.interval for o in self.rows}) > 1 else ()
        return (row.title, *protocol, *interval)

    def heads(self, row: DatasetRow) -> tuple[str, ...]:
        """What tells a row from the others: its place and, where a row has one, its action."""
        return (*self.place(row), row.action or AVERAGE) if self.by_action else self.place(row)

    @property
    def entries(self) -> list[tuple[DatasetRow, Entry]]:
        """Every entry with its row."""
        return [(row, entry) for row in self.rows for entry in row.entries]

    @property
    def cells(self) -> list[Cell]:
        """One cell of every entry that was planned."""
        return [entry.cell for _, entry in self.entries if entry.cell is not None]


def printed(metric: str, value: float) -> str:
    """A number as it is printed, with the metric's decimals."""
    text = f"{value:.{metric_info(metric).decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(metric: str, value: float) -> str:
    """A difference as it is printed, always with its sign unless it rounds to zero."""
    text = printed(metric, value)
    return f"+{text}" if float(text) > 0 else text
