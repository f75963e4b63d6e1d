"""A table in long form: one line per entry and metric, nothing rounded."""

from __future__ import annotations

import pandas as pd

from bench.metrics import metric_info
from bench.report.table import DatasetRow, Entry, Table

_COUNTS = ["intervals", "parameters", "clips", "frames", "joints", "missed", "padded", "dropped"]


def csv(table: Table) -> str:
    """The table as CSV with a head line; an empty field where there is no value.

    Columns: docs/tables.md. Numbers are in the printed unit. An entry that was neither planned
    nor published has no lines.
    """
    lines = [
        _line(table, row, entry, metric)
        for row, entry in table.entries
        if entry.state != "absent" or entry.published
        for metric in table.metrics
    ]
    frame = pd.DataFrame(lines)
    counts = [name for name in _COUNTS if name in frame]
    return frame.astype(dict.fromkeys(counts, "Int64")).to_csv(index=False, lineterminator="\n")


def _line(table: Table, row: DatasetRow, entry: Entry, metric: str) -> dict[str, object]:
    info = metric_info(metric)
    number = entry.numbers.get(metric)
    gain = number.gain if number is not None else None
    cell, scored = entry.cell, entry.scored
    return {
        "dataset": row.dataset,
        "title": row.title,
        "standin": row.standin,
        "method": entry.column.method,
        "preset": cell.preset if cell else entry.column.preset,
        "label": entry.label,
        "beyond": entry.column.beyond,
        "metric": metric,
        "unit": info.unit,
        "better": info.better,
        "mean": number.mean if number else None,
        "sd": number.sd if number else None,
        "seeds": entry.seeds,
        "planned": entry.planned,
        "mark": entry.mark if metric == table.config.metrics[0] else "",
        "reference": table.config.reference,
        "gain": gain.mean if gain else None,
        "gain_low": gain.low if gain else None,
        "gain_high": gain.high if gain else None,
        "published": entry.published.get(metric),
        "protocol": table.config.protocol,
        "interval": table.config.interval,
        "intervals": cell.intervals if cell else None,
        "budget": cell.budget if cell else None,
        "selection": cell.selection if cell and cell.training is not None else None,
        "parameters": entry.parameters,
        "clips": scored.clips if scored else None,
        "frames": scored.frames if scored else None,
        "joints": scored.joints if scored else None,
        "missed": scored.missed if scored else None,
        "padded": scored.padded if scored else None,
        "dropped": scored.dropped if scored else None,
        "status": entry.state,
        "reason": entry.reason,
    }
