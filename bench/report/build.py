"""From stored results to a table: who belongs where, means, gains, marks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import Any, Literal

from bench.config import Column, DatasetConfig, Row, TableConfig
from bench.contracts import BadInput
from bench.metrics import metric_info
from bench.report.actions import actions_of, check_actions, of_action
from bench.report.table import DatasetRow, Entry, Mark, Number, Run, State, Table, printed
from bench.results import Cell, Result
from bench.stats import Gain, paired_gain, spread

# The longest reason of a failure that a table repeats; the result's file holds all of it.
_REASON = 240


def build(
    name: str,
    config: TableConfig,
    results: Sequence[Result],
    *,
    planned: Sequence[Cell],
    datasets: Mapping[str, DatasetConfig],
    every_frame: Collection[str],
    run: Run | None = None,
    by: Literal["action"] | None = None,
) -> Table:
    """Put results where they belong, average seeds, compare with the reference, rank.

    A result stands in the rows of its dataset and its protocol, and in no other.

    name: of the table; results: of the run's plan only; planned: every cell of that plan, done or
    not; datasets: configuration of each row's dataset; every_frame: methods that see the
    estimator at every frame, shown but not ranked; by: 'action' puts a row for each action found
    before every row. BadInput when two rows would show the same, and by action when the
    recordings are not named so.
    """
    check_rows(config)
    found = {result.cell.key: result for result in results}
    # A stored result may bear the preset and budget of another run that resolved to the same cell.
    every = {cell.key: cell for cell in planned}
    for result in results:
        every.setdefault(result.cell.key, result.cell)
    cells: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in every.values():
        for number in _columns_of(cell, config.columns):
            cells.setdefault((cell.dataset, cell.protocol, number), []).append(cell)
    rows = []
    for row in config.rows:
        place = row.dataset, config.protocol_of(row)
        mine = [cells.get((*place, number), []) for number in range(len(config.columns))]
        stored = [[found[cell.key] for cell in one if cell.key in found] for one in mine]
        for part in _by_action(config, row, stored) if by == "action" else [row]:
            shown = of_action(stored, part.action) if part.action else stored
            entries = [
                _entry(config, column, part, ours, had, keyframes=column.method not in every_frame)
                for column, ours, had in zip(config.columns, mine, shown, strict=True)
            ]
            done = [[result for result in one if result.status == "done"] for one in shown]
            ranked = _marked(config, _compared(config, entries, done))
            rows.append(_row(config, part, datasets[row.dataset], ranked, done))
    return Table(name, config, tuple(rows), run)


def check_rows(config: TableConfig) -> None:
    """Raise BadInput when two rows would show the same."""
    places = Counter((row.dataset, config.protocol_of(row), row.action) for row in config.rows)
    for (dataset, protocol, action), count in places.items():
        if count > 1:
            raise BadInput(
                f"the table has {count} rows of {dataset} under {protocol}"
                + (f" with action {action}" if action else "")
            )


def _by_action(config: TableConfig, row: Row, results: Iterable[Iterable[Result]]) -> list[Row]:
    """A row for each action found that has none of its own, and the row itself."""
    done = [result for one in results for result in one if result.clips]
    if row.action or not done:
        return [row]
    check_actions(row.dataset, (clip.recording for result in done for clip in result.clips))
    place = row.dataset, config.protocol_of(row)
    own = {o.action for o in config.rows if (o.dataset, config.protocol_of(o)) == place}
    return [
        *(
            row.model_copy(update={"action": action, "published": {}})
            for action in actions_of(done)
            if action not in own
        ),
        row,
    ]


def _columns_of(cell: Cell, columns: Sequence[Column]) -> list[int]:
    """The columns a cell belongs to: of those that fit, the ones that say most about it."""
    fits: dict[int, tuple[bool, int]] = {}
    for number, column in enumerate(columns):
        options = {name: _plain(cell.options.get(name)) for name in column.options}
        if (
            column.method == cell.method
            and column.weights == cell.weights
            and column.preset in (None, cell.preset)
            and options == {name: _plain(value) for name, value in column.options.items()}
            and column.geometry.items() <= cell.geometry.items()
        ):
            fits[number] = (column.preset is not None, len(options) + len(column.geometry))
    return [number for number, said in fits.items() if said == max(fits.values())]


def _plain(value: object) -> object:
    """A tuple as the list it becomes in a stored result."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _entry(
    config: TableConfig,
    column: Column,
    row: Row,
    cells: Sequence[Cell],
    results: Sequence[Result],
    *,
    keyframes: bool,
) -> Entry:
    """An entry by itself: without gains and marks, which need the rest of its row."""
    metrics = config.metrics + config.details
    published = row.published.get(column.label or "") or row.published.get(column.key, ())
    done = [result for result in results if result.status == "done"]
    failed = [result for result in results if result.status == "failed"]
    state: State = "done" if done else "failed" if failed else "not run" if cells else "absent"
    return Entry(
        column=column,
        state=state,
        keyframes=keyframes,
        numbers=_numbers(metrics, done),
        published=dict(zip(metrics, published, strict=False)),
        seeds=len(done),
        planned=len(cells),
        reason=shorten(failed[0].error or "no reason given", _REASON) if failed else "",
        parameters=done[0].parameters if done else None,
        scored=done[0].scored if done else None,
        cell=cells[0] if cells else None,
    )


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
            if place != at:
                gain = paired_gain([result.clips for result in results], reference, metric)
                numbers[metric] = replace(number, gain=_scaled(gain, metric_info(metric).scale))
        compared.append(replace(entry, numbers=numbers))
    return compared


def _scaled(gain: Gain | None, scale: float) -> Gain | None:
    """A gain in the printed unit."""
    if gain is None:
        return None
    return replace(gain, mean=gain.mean * scale, low=gain.low * scale, high=gain.high * scale)


def _marked(config: TableConfig, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries with the best and the second marked: by the first metric, or by every one."""
    first, *rest = config.metrics + config.details
    by_metric = {
        metric: _marks(metric, entries)
        for metric in ([first, *rest] if config.layout == "metrics" else [first])
    }
    return tuple(
        replace(entry, marks={m: marks[place] for m, marks in by_metric.items() if place in marks})
        for place, entry in enumerate(entries)
    )


def _marks(metric: str, entries: Sequence[Entry]) -> dict[int, Mark]:
    """The places of the best and the second entry; equal printed values share a mark."""
    ranked = {
        place: float(printed(metric, entry.numbers[metric].mean))
        for place, entry in enumerate(entries)
        if entry.keyframes and metric in entry.numbers
    }
    if len(ranked) < 2:
        return {}
    order = sorted(set(ranked.values()), reverse=metric_info(metric).better == "higher")
    names: tuple[Mark, Mark] = ("best", "second")
    marks = dict(zip(order, names, strict=False))
    return {place: marks[value] for place, value in ranked.items() if value in marks}


def _row(
    config: TableConfig,
    row: Row,
    dataset: DatasetConfig,
    entries: tuple[Entry, ...],
    done: Sequence[Sequence[Result]],
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
        entries=entries,
        action=row.action or "",
        standin=facts.get("standin", False),
        origin=facts.get("origin", ""),
        notes=tuple(facts.get("notes", ())),
        note=row.note,
        scored=scored.most_common(1)[0][0] if scored else None,
        geometry={what: counts.most_common(1)[0][0] for what, counts in sizes.items()},
    )
