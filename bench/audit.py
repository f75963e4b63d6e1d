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

Verdict = Literal["reproduced", "differs", "not checked"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "differs", "not checked")


@dataclass(frozen=True)
class Finding:
    """One published number.

    here: in the printed unit, None where there is none; reason: of what does not agree or cannot
    be checked; source: where it is published, if not in the table's own source.
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
    source: str = ""

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

    results: the output folder that tables were run into; the last `bench run` of each counts.
    BadInput for an unknown table.
    """
    findings: list[Finding] = []
    for name in names or configs.table_names():
        config = configs.table_config(name)
        table = _stored(name, results)
        for row in config.rows:
            shown = _shown(config, row, table)
            for column in config.columns:
                for metric, said in row.published.get(column.key, {}).items():
                    place = _Place(config, row, column, metric, said, shown)
                    here, reason = place.found()
                    findings.append(place.finding(name, here, reason))
    return findings


def lines(findings: Iterable[Finding], *, markdown: bool = False) -> Iterator[str]:
    """How many of each verdict, by table; then what differs and what was not checked, and why."""
    found = list(findings)
    own = [finding for finding in found if not finding.source]
    counted = {
        name: [finding for finding in own if finding.table == name]
        for name in dict.fromkeys(finding.table for finding in found)
    }
    counted["all of these"] = own
    counted["from other sources"] = [finding for finding in found if finding.source]
    heads = ["table", "published", *VERDICTS]
    rows = []
    for name, mine in counted.items():
        count = Counter(finding.verdict for finding in mine)
        rows.append([name, str(len(mine)), *(str(count[verdict]) for verdict in VERDICTS)])
    if markdown:
        yield f"| {' | '.join(heads)} |"
        yield f"| :-- {'| --: ' * (len(heads) - 1)}|"
        yield from (f"| {' | '.join(row)} |" for row in rows)
    else:
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join(cells)
    for verdict in VERDICTS[1:]:
        groups = _grouped(finding for finding in found if finding.verdict == verdict)
        if groups:
            yield from ("", f"**{verdict.capitalize()}**", "") if markdown else ("", f"{verdict}:")
        for (place, reason), mine in groups.items():
            said = ", ".join(f"{f.label} {metric_info(f.metric).label} {f.text}" for f in mine)
            yield f"{'- ' if markdown else '  '}{place}: {said} | {reason}"


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
    return plan.drawn(plan.stored(results))


@dataclass(frozen=True)
class _Place:
    """Where one number is published, and the row that shows it here, if there is one."""

    config: TableConfig
    row: Row
    column: Column
    metric: str
    said: Published
    shown: DatasetRow | None

    def finding(self, table: str, here: float | None, reason: str) -> Finding:
        """What became of the number; a difference without a reason says that there is none."""
        tolerance = _tolerance(self.config, self.metric, self.said)
        verdict: Verdict = "not checked"
        if here is not None:
            near = abs(here - self.said.value) <= tolerance * (1 + 1e-9)
            verdict = "reproduced" if near else "differs"
        return Finding(
            table=table,
            place=f"{configs.dataset_config(self.row.dataset).title}, "
            + self.config.protocol_of(self.row),
            label=self.column.label or self.column.key,
            metric=self.metric,
            published=self.said.value,
            here=here,
            tolerance=tolerance,
            verdict=verdict,
            reason="" if verdict == "reproduced" else reason or "no reason is known",
            source=self.said.source,
        )

    def found(self) -> tuple[float | None, str]:
        """The number here, and why it may differ; or None, and why there is none."""
        if self.column.quoted:
            return None, f"quoted: {self.column.quoted}"
        if self.metric in COSTS and self.metric != "ratio":
            return _cost(self.config, self.row, self.column, self.metric), self.said.note
        shown = self.shown
        if shown is not None and shown.missing:
            return None, "no data on this machine"
        entry = None if shown is None else _entry(shown, self.column, self.metric)
        if shown is None or entry is None or entry.state != "done":
            return None, f"failed: {entry.reason}" if entry and entry.reason else "not run"
        if shown.standin:
            return None, "the data is not on this machine, and stand-ins prove nothing"
        cell = entry.cell
        if self.metric not in entry.numbers or cell is None:
            return None, "no number came out"
        if cell.limits.get("test_clips"):
            return None, "only some test clips were scored"
        learned = cell.training is not None or "fit_windows" in cell.limits
        reasons = [self.said.note, self.row.differs]
        if learned and cell.budget != "paper":
            reasons.append(f"budget {cell.budget}, which is shorter than what was published")
        return entry.numbers[self.metric].mean, "; ".join(part for part in reasons if part)


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
    count = None if line.cost is None else line.cost.by_metric.get(metric)
    return None if count is None else count * metric_info(metric).scale


def _shown(config: TableConfig, row: Row, table: Table | None) -> DatasetRow | None:
    """The row of a drawn table that shows a row of its specification."""
    rows = table.rows if table is not None else ()
    return next((shown for shown in rows if shown.shows(config, row)), None)


def _entry(shown: DatasetRow, column: Column, metric: str) -> Entry | None:
    """The entry that a published number is compared with: of released weights where there are."""
    mine = [entry for entry in shown.entries if entry.column.key == column.key]
    released = [
        entry
        for entry in shown.entries
        if entry.column.method == column.method and entry.column.weights and metric in entry.numbers
    ]
    return next(iter(released + mine), None)
