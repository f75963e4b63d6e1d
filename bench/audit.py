"""Every published number of the tables, and whether it comes out here.

A cost is counted for the size that was published, which needs neither data nor training; an error
is taken from the stored results of a table, if they are of real data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import config as configs
from bench import plans
from bench.config import Column, Published, Row, TableConfig
from bench.metrics import COSTS, metric_info
from bench.report.table import DatasetRow, Entry, Table, printed, signed
from bench.results import Results

Verdict = Literal["reproduced", "differs", "not checked"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "differs", "not checked")


@dataclass(frozen=True)
class Finding:
    """One published number.

    here: in the printed unit, None where there is none; reason: of what does not agree or cannot
    be checked.
    """

    table: str
    place: str
    label: str
    metric: str
    published: float
    here: float | None
    tolerance: float
    verdict: Verdict
    reason: str = ""

    @property
    def text(self) -> str:
        """`50.9 -> 70.1 (+19.2)`."""
        said = printed(self.metric, self.published)
        if self.here is None:
            return said
        gap = signed(self.metric, self.here - self.published)
        return f"{said} -> {printed(self.metric, self.here)} ({gap})"


def audit(names: Sequence[str], results: Path) -> list[Finding]:
    """What became of every published number of some tables, none named for all of them.

    results: the output folder that tables were run into. BadInput for an unknown table.
    """
    findings: list[Finding] = []
    for name in names or configs.table_names():
        config = configs.table_config(name)
        table = _stored(name, results)
        for row in config.rows:
            for column in config.columns:
                for metric, said in row.published.get(column.key, {}).items():
                    findings.append(_finding(name, config, row, column, metric, said, table))
    return findings


def lines(findings: Iterable[Finding], *, markdown: bool = False) -> Iterator[str]:
    """How many of each verdict, by table; then what differs and what was not checked, and why."""
    found = list(findings)
    tables = list(dict.fromkeys(finding.table for finding in found))
    counts = {name: Counter(f.verdict for f in found if f.table == name) for name in tables}
    counts["all"] = Counter(finding.verdict for finding in found)
    heads = ["table", "published", *VERDICTS]
    rows = [
        [name, str(count.total()), *(str(count[verdict]) for verdict in VERDICTS)]
        for name, count in counts.items()
    ]
    if markdown:
        yield f"| {' | '.join(heads)} |"
        yield f"| :-- {'| --: ' * (len(heads) - 1)}|"
        yield from (f"| {' | '.join(row)} |" for row in rows)
    else:
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join(cells)
    bullet = "- " if markdown else "  "
    for verdict in VERDICTS[1:]:
        yield ""
        yield f"**{verdict.capitalize()}**" if markdown else f"{verdict}:"
        if markdown:
            yield ""
        for (place, reason), mine in _grouped(f for f in found if f.verdict == verdict).items():
            said = ", ".join(f"{f.label} {metric_info(f.metric).label} {f.text}" for f in mine)
            yield f"{bullet}{place}: {said}" + (f" | {reason}" if reason else "")


def _grouped(findings: Iterable[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Findings of one place for one reason."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((f"{finding.table}, {finding.place}", finding.reason), []).append(finding)
    return groups


def _stored(name: str, results: Path) -> Table | None:
    """The table as it was last run into the folder."""
    path = results / "plans" / f"{name}.json"
    if not path.is_file():
        return None
    plan = plans.load(path)
    stored = Results(results)
    found = [result for cell in plan.cells if (result := stored.get(cell)) is not None]
    return plan.drawn(found)


def _finding(
    name: str,
    config: TableConfig,
    row: Row,
    column: Column,
    metric: str,
    said: Published,
    table: Table | None,
) -> Finding:
    tolerance = _tolerance(config, metric, said)
    place = f"{configs.dataset_config(row.dataset).title}, {config.protocol_of(row)}"

    def found(here: float | None, why: str = "") -> Finding:
        verdict: Verdict = "not checked"
        if here is not None:
            near = abs(here - said.value) <= tolerance * (1 + 1e-9)
            verdict = "reproduced" if near else "differs"
        reason = "" if verdict == "reproduced" else why
        label = column.label or column.key
        return Finding(name, place, label, metric, said.value, here, tolerance, verdict, reason)

    if column.quoted:
        return found(None, f"quoted: {column.quoted}")
    if metric in COSTS and metric != "ratio":
        return found(_cost(config, row, column, metric), said.note)
    shown = _shown(config, row, table)
    entry = None if shown is None else _entry(shown, column, metric)
    if shown is None or entry is None or metric not in entry.numbers:
        gone = shown is not None and shown.missing
        return found(None, "no data on this machine" if gone else "not run")
    if shown.standin:
        return found(None, "the data is not on this machine, and stand-ins prove nothing")
    trained = entry.cell is not None and entry.cell.training is not None
    short = entry.cell is not None and entry.cell.budget != "paper"
    reasons = [said.note, row.note]
    if trained and short:
        reasons.append("trained for less long than published")
    return found(entry.numbers[metric].mean, "; ".join(part for part in reasons if part))


def _tolerance(config: TableConfig, metric: str, said: Published) -> float:
    """The number's own tolerance, the metric's in the table, or half of the last printed digit."""
    if said.tolerance is not None:
        return said.tolerance
    tolerances = config.tolerances
    last = 0.5 * 10.0 ** -metric_info(metric).decimals
    return tolerances.get(metric, tolerances.get(metric.partition(":")[0], last))


def _cost(config: TableConfig, row: Row, column: Column, metric: str) -> float | None:
    """A cost of the published size of a method, in the printed unit."""
    from bench.costing import Asked, costs

    preset = column.preset or configs.method_config(column.method).of_publication
    name = f"{column.method}:{preset}"
    (line,) = costs(
        Asked(
            methods=(name,),
            datasets=(row.dataset,),
            interval=config.interval_of(row),
            intervals=row.intervals,
            options=column.options,
        )
    )
    if metric == "estimator":
        return line.estimator
    known = line.cost
    if known is None:
        return None
    counts = {
        "parameters": known.parameters,
        "live": known.live,
        "macs-published": known.macs_published,
        "macs": known.macs,
    }
    count = counts.get(metric)
    return None if count is None else count * metric_info(metric).scale


def _shown(config: TableConfig, row: Row, table: Table | None) -> DatasetRow | None:
    """The row of a drawn table that shows a row of its specification."""
    for shown in table.rows if table is not None else ():
        place = shown.dataset, shown.protocol, shown.interval, shown.action
        if place == (
            row.dataset,
            config.protocol_of(row),
            config.interval_of(row),
            row.action or "",
        ):
            return shown
    return None


def _entry(shown: DatasetRow, column: Column, metric: str) -> Entry | None:
    """The entry that a published number is compared with: of released weights where there are."""
    mine = [entry for entry in shown.entries if entry.column.key == column.key]
    released = [
        entry
        for entry in shown.entries
        if entry.column.method == column.method and entry.column.weights and metric in entry.numbers
    ]
    return next(iter(released + mine), None)
