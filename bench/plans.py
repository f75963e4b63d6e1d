"""Plans of tables, kept beside their results: `FOLDER/plans/NAME.json`.

With one, a table is drawn again from stored results alone: without its data, its flags or its
specification.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import config as configs
from bench.config import TableConfig, parse
from bench.contracts import BadInput
from bench.documents import Form
from bench.files import write_whole
from bench.results import Cell, Planned, Result, Results

if TYPE_CHECKING:
    from bench.report.table import Run, Table

FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Plan:
    """A table and every cell in it.

    every_frame: methods that see the estimator at every frame; missing: why datasets could not be
    opened, by name; by: 'action' for a row for each action; command: what draws the table again.
    """

    name: str
    config: TableConfig
    planned: tuple[Planned, ...]
    every_frame: tuple[str, ...] = ()
    missing: Mapping[str, str] | None = None
    by: Literal["action"] | None = None
    command: str = ""

    @property
    def cells(self) -> list[Cell]:
        """Every cell once."""
        return list({place.cell.key: place.cell for place in self.planned}.values())

    @property
    def names(self) -> dict[str, str]:
        """What every cell is called while it is computed, by its key."""
        columns, rows = self.config.columns, self.config.rows
        several = len({self.config.interval_of(row) for row in rows}) > 1
        return {
            place.cell.key: f"{place.cell.dataset} {columns[place.column].key}"
            + (f" K={self.config.interval_of(rows[place.row])}" if several else "")
            + f" seed {place.cell.seed}"
            for place in self.planned
        }

    def stored(self, folder: Path, say: Callable[[str], None] = lambda _line: None) -> list[Result]:
        """The results that an output folder has of its cells; say: told of damaged files."""
        results = Results(folder)
        found = (results.get(cell, say) for cell in self.cells)
        return [result for result in found if result is not None]

    def drawn(self, results: Iterable[Result], run: Run | None = None) -> Table:
        """The table with these results; BadInput by action when recordings are not named so."""
        from bench.report.build import build

        return build(
            self.name,
            self.config,
            list(results),
            planned=self.planned,
            datasets={r.dataset: configs.dataset_config(r.dataset) for r in self.config.rows},
            every_frame=self.every_frame,
            missing=self.missing or {},
            by=self.by,
            run=run,
        )


def check_name(name: str) -> str:
    """The name of a table that stands in no file of tables/; BadInput when it cannot be its own.

    It becomes part of file names, and those of tables/ are taken.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            "not a name for a table", found=repr(name), expected="letters, digits, - and _"
        )
    if name in configs.table_names():
        raise BadInput(f"'{name}' is the name of a table of its own", hint="choose another --name")
    return name


def save(plan: Plan, folder: Path) -> Path:
    """Keep a plan in an output folder; BadInput when it cannot be written, or not by its name."""
    if not _NAME.fullmatch(plan.name):
        raise BadInput("not the name of a plan", found=repr(plan.name))
    said = {
        "format": FORMAT,
        "config": plan.config.model_dump(mode="json"),
        "planned": [asdict(place) for place in plan.planned],
        "every_frame": list(plan.every_frame),
        "missing": dict(plan.missing or {}),
        "by": plan.by,
        "command": plan.command,
    }
    path = folder / "plans" / f"{plan.name}.json"
    text = json.dumps(said, indent=1, sort_keys=True)
    write_whole(path, text, what="a plan", hint="make room; the same command goes on from there")
    return path


@dataclass(frozen=True)
class _Kept:
    """A plan as it lies in its file."""

    config: dict[str, Any]
    planned: tuple[Planned, ...]
    every_frame: tuple[str, ...]
    missing: dict[str, str]
    by: Literal["action"] | None
    command: str


_FILE = Form(_Kept, FORMAT, "plans", "not the plan of a table", "run the table again")


def load(path: Path) -> Plan:
    """The plan in a file; BadInput when it is not one."""
    kept = _FILE.read(path)
    config = parse(kept.config, TableConfig, path)
    for place in kept.planned:
        if place.row not in range(len(config.rows)) or place.column not in range(
            len(config.columns)
        ):
            found = f"a cell in row {place.row} and column {place.column}"
            raise BadInput(_FILE.problem, file=path, found=found, hint=_FILE.hint)
    return Plan(
        path.stem,
        config,
        kept.planned,
        kept.every_frame,
        kept.missing,
        kept.by,
        kept.command,
    )


def kept(folder: Path) -> list[Path]:
    """The plans of an output folder, by name."""
    return sorted(path for path in (folder / "plans").glob("*.json") if path.is_file())
