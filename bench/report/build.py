"""From stored results to a table: who belongs where, means, gains, marks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from types import MappingProxyType
from typing import Any, Literal

from bench.config import Column, DatasetConfig, Row, TableConfig
from bench.contracts import BadInput
from bench.metrics import COSTS, metric_info
from bench.report.actions import actions_of, check_actions, of_action
from bench.report.style import ranked
from bench.report.table import DatasetRow, Entry, Number, Run, State, Table
from bench.results import Cell, Planned, Result
from bench.stats import Gain, paired_gain, spread

# The longest reason of a failure that a table repeats; the result's file holds all of it.
_REASON = 240


def build(
    name: str,
    config: TableConfig,
    results: Sequence[Result],
    *,
    planned: Sequence[Planned],
    datasets: Mapping[str, DatasetConfig],
    every_frame: Collection[str],
    missing: Mapping[str, str] = MappingProxyType({}),
    run: Run | None = None,
    by: Literal["action"] | None = None,
) -> Table:
    """Put results where the plan has them, average seeds, compare with the reference, rank.

    name: of the table; results: of the run's plan; planned: every cell of that plan with its
    place, done or not; datasets: configuration of each row's dataset; every_frame: methods that
    see the estimator at every frame, shown but not ranked; missing: why datasets could not be
    opened, by name; by: 'action' puts a row for each action found before every row. BadInput when
    two rows would show the same, and by action when the recordings are not named so.
    """
    check_rows(config)
    found = {result.cell.key: result for result in results}
    cells: dict[tuple[int, int], list[Cell]] = {}
    for place in planned:
        cells.setdefault((place.row, place.column), []).append(place.cell)
    rows = []
    for number, row in enumerate(config.rows):
        mine = [cells.get((number, at), []) for at in range(len(config.columns))]
        stored = [[found[cell.key] for cell in one if cell.key in found] for one in mine]
        about = datasets[row.dataset]
        for part in _by_action(config, row, stored) if by == "action" else [row]:
            shown = of_action(stored, part.action) if part.action else stored
            entries = [
                _entry(
                    config,
                    column,
                    part,
                    about,
                    ours,
                    had,
                    keyframes=column.method not in every_frame,
                    missing=row.dataset in missing,
                )
                for column, ours, had in zip(config.columns, mine, shown, strict=True)
            ]
            done = [[result for result in one if result.status == "done"] for one in shown]
            ranked = _marked(config, part, _compared(config, entries, done))
            rows.append(_row(config, part, about, ranked, done, missing.get(row.dataset, "")))
    return Table(name, config, tuple(rows), run)


def check_rows(config: TableConfig) -> None:
    """Raise BadInput when two rows would show the same."""
    places = Counter(
        (*_place(config, row), row.action, config.metrics_of(row)) for row in config.rows
    )
    for (dataset, protocol, interval, _, action, _), count in places.items():
        if count > 1:
            raise BadInput(
                f"the table has {count} rows of {dataset} under {protocol}"
                + (f" with K={interval}" if interval != config.interval else "")
                + (f" with action {action}" if action else "")
            )


def _place(config: TableConfig, row: Row) -> tuple[str, str, int, int | None]:
    """What the rows of one dataset's actions share."""
    return row.dataset, config.protocol_of(row), config.interval_of(row), row.intervals


def _by_action(config: TableConfig, row: Row, results: Iterable[Iterable[Result]]) -> list[Row]:
    """A row for each action found that has none of its own, and the row itself."""
    done = [result for one in results for result in one if result.clips]
    if row.action or not done:
        return [row]
    check_actions(row.dataset, (clip.recording for result in done for clip in result.clips))
    place = _place(config, row)
    own = {other.action for other in config.rows if _place(config, other) == place}
    return [
        *(
            row.model_copy(update={"action": action, "published": {}})
            for action in actions_of(done)
            if action not in own
        ),
        row,
    ]


def _entry(
    config: TableConfig,
    column: Column,
    row: Row,
    dataset: DatasetConfig,
    cells: Sequence[Cell],
    results: Sequence[Result],
    *,
    keyframes: bool,
    missing: bool,
) -> Entry:
    """An entry by itself: without gains and marks, which need the rest of its row."""
    done = [result for result in results if result.status == "done"]
    failed = [result for result in results if result.status == "failed"]
    state: State = "done" if done else "failed" if failed else "not run" if cells else "absent"
    if column.quoted:
        state = "quoted"
    elif missing:
        state = "no data"
    numbers = _numbers((*config.metrics_of(row), *config.details), done)
    if done:
        interval = config.interval_of(row) if keyframes else 1
        numbers |= _costs(done[0], dataset.gflops, interval)
    return Entry(
        column=column,
        state=state,
        keyframes=keyframes,
        numbers=numbers,
        published={m: said.value for m, said in row.published.get(column.key, {}).items()},
        seeds=len(done),
        planned=len(cells),
        reason=shorten(failed[0].error or "no reason given", _REASON) if failed else "",
        parameters=done[0].parameters if done else None,
        scored=done[0].scored if done else None,
        cell=cells[0] if cells else None,
    )


def _costs(result: Result, gflops: float | None, interval: int) -> dict[str, Number]:
    """What a method costs, and with its estimator at every `interval`-th frame (paper Eq. 15)."""
    known = dict(result.cost)
    if result.scored is not None and "interval" in result.cell.geometry:
        known["ratio"] = result.scored.sampled
    if gflops is not None:
        known["estimator"] = gflops * 1e9 / interval
        if "macs" in known:
            known["total"] = known["estimator"] + known["macs"]
    return {name: Number(value * metric_info(name).scale) for name, value in known.items()}


def _numbers(metrics: Iterable[str], done: Sequence[Result]) -> dict[str, Number]:
    """Mean and standard deviation over seeds of every metric that all finished seeds have."""
    numbers = {}
    for metric in metrics:
        values = [result.metrics.get(metric, math.nan) for result in done]
        if values and all(map(math.isfinite, values)):
            scale = metric_info(metric).scale
            numbers[metric] = Number(*spread([value * scale for value in values]))
    return numbers


def _compared(
    config: TableConfig, entries: Sequence[Entry], done: Sequence[Sequence[Result]]
) -> list[Entry]:
    """The entries of a row with every number's gain over the reference method."""
    keys = [column.key for column in config.columns]
    at = keys.index(config.reference) if config.reference in keys else None
    reference = [result.clips for result in done[at]] if at is not None else []
    compared = []
    for place, (entry, results) in enumerate(zip(entries, done, strict=True)):
        numbers = dict(entry.numbers)
        for metric, number in entry.numbers.items():
            if place != at and metric not in COSTS:
                gain = paired_gain([result.clips for result in results], reference, metric)
                numbers[metric] = replace(number, gain=_scaled(gain, metric_info(metric).scale))
        compared.append(replace(entry, numbers=numbers))
    return compared


def _scaled(gain: Gain | None, scale: float) -> Gain | None:
    """A gain in the printed unit."""
    if gain is None:
        return None
    return replace(gain, mean=gain.mean * scale, low=gain.low * scale, high=gain.high * scale)


def _marked(config: TableConfig, row: Row, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries with the best and the second marked: by the first metric, or by every one.

    Costs are not ranked: the cheapest method is the one that does nothing.
    """
    metrics = dict.fromkeys(config.metrics_of(row) + config.details)
    first, *rest = [metric for metric in metrics if metric not in COSTS] or metrics
    by_metric = {
        metric: ranked(metric, entries)
        for metric in ([first, *rest] if config.layout == "metrics" else [first])
    }
    return tuple(
        replace(entry, marks={m: marks[place] for m, marks in by_metric.items() if place in marks})
        for place, entry in enumerate(entries)
    )


def _row(
    config: TableConfig,
    row: Row,
    dataset: DatasetConfig,
    entries: tuple[Entry, ...],
    done: Sequence[Sequence[Result]],
    missing: str,
) -> DatasetRow:
    """A row of finished entries, with what they agree on about their clips."""
    facts: Mapping[str, Any] = next((r.dataset for results in done for r in results), {})
    scored = Counter(entry.scored for entry in entries if entry.scored is not None)
    sizes: dict[str, Counter[int]] = {}
    for entry in entries:
        for what, size in entry.cell.geometry.items() if entry.cell is not None else ():
            sizes.setdefault(what, Counter())[size] += 1
    return DatasetRow(
        dataset=row.dataset,
        title=facts.get("title", dataset.title),
        fps=facts.get("fps", dataset.fps),
        protocol=config.protocol_of(row),
        metrics=config.metrics_of(row),
        interval=config.interval_of(row),
        entries=entries,
        action=row.action or "",
        missing=missing,
        standin=facts.get("standin", False),
        origin=facts.get("origin", ""),
        notes=tuple(facts.get("notes", ())),
        note="; ".join(part for part in (row.differs, row.note) if part),
        scored=scored.most_common(1)[0][0] if scored else None,
        geometry={what: counts.most_common(1)[0][0] for what, counts in sizes.items()},
    )
