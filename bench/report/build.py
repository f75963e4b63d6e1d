"""From stored results to a table: who belongs where, means, gains, marks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import Any

from bench.config import Column, DatasetConfig, Row, TableConfig
from bench.metrics import metric_info
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
) -> Table:
    """Put results where they belong, average seeds, compare with the reference, rank.

    name: of the table; results: of the run's plan only; planned: every cell of that plan, done or
    not; datasets: configuration of each row's dataset; every_frame: methods that see the
    estimator at every frame, shown but not ranked.
    """
    found = {result.cell.key: result for result in results}
    # A stored result may bear the preset and budget of another run that resolved to the same cell.
    every = {cell.key: cell for cell in planned}
    for result in results:
        every.setdefault(result.cell.key, result.cell)
    cells: dict[tuple[str, int], list[Cell]] = {}
    for cell in every.values():
        for number in _columns_of(cell, config.columns):
            cells.setdefault((cell.dataset, number), []).append(cell)
    rows = []
    for row in config.rows:
        done: list[list[Result]] = []
        entries: list[Entry] = []
        for number, column in enumerate(config.columns):
            mine = cells.get((row.dataset, number), [])
            had = [found[cell.key] for cell in mine if cell.key in found]
            done.append([result for result in had if result.status == "done"])
            keyframes = column.method not in every_frame
            entries.append(_entry(config, column, row, mine, had, keyframes))
        compared = _compared(config, entries, done)
        rows.append(_row(row, datasets[row.dataset], _marked(config.metrics[0], compared), done))
    return Table(name, config, tuple(rows), run)


def _columns_of(cell: Cell, columns: Sequence[Column]) -> list[int]:
    """The columns a cell belongs to: of those that fit, the ones that say most about it."""
    fits: dict[int, tuple[bool, int]] = {}
    for number, column in enumerate(columns):
        options = {name: _plain(cell.options.get(name)) for name in column.options}
        if (
            column.method == cell.method
            and column.preset in (None, cell.preset)
            and options == {name: _plain(value) for name, value in column.options.items()}
        ):
            fits[number] = (column.preset is not None, len(options))
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
    keyframes: bool,
) -> Entry:
    """An entry by itself: without gains and mark, which need the rest of its row."""
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


def _marked(metric: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries with the best and the second marked; equal printed values share a mark."""
    ranked = {
        place: float(printed(metric, entry.numbers[metric].mean))
        for place, entry in enumerate(entries)
        if entry.keyframes and metric in entry.numbers
    }
    order = sorted(set(ranked.values()), reverse=metric_info(metric).better == "higher")
    marks: dict[float, Mark] = {}
    if len(ranked) > 1:
        marks = dict(zip(order, ("best", "second"), strict=False))
    return tuple(
        replace(entry, mark=marks.get(ranked[place], "") if place in ranked else "")
        for place, entry in enumerate(entries)
    )


def _row(
    row: Row,
    dataset: DatasetConfig,
    entries: tuple[Entry, ...],
    done: Sequence[Sequence[Result]],
) -> DatasetRow:
    """A row of finished entries, with what they agree on about their clips."""
    facts: Mapping[str, Any] = next((r.dataset for results in done for r in results), {})
    scored = Counter(entry.scored for entry in entries if entry.scored is not None)
    intervals = Counter(entry.cell.intervals for entry in entries if entry.cell is not None)
    return DatasetRow(
        dataset=row.dataset,
        title=facts.get("title", dataset.title),
        fps=facts.get("fps", dataset.fps),
        entries=entries,
        standin=facts.get("standin", False),
        origin=facts.get("origin", ""),
        notes=tuple(facts.get("notes", ())) + ((row.note,) if row.note else ()),
        scored=scored.most_common(1)[0][0] if scored else None,
        intervals=intervals.most_common(1)[0][0] if intervals else None,
    )
