"""A table in long form: one line per entry and metric, nothing rounded."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from bench.contracts import printable
from bench.metrics import metric_info
from bench.report.quoting import published
from bench.report.style import PLAIN, Style, styled
from bench.report.table import DatasetRow, Entry, State, Table

_SEEN_AS_FORMULA = re.compile(r"\A\s*[=+@-](?=.)")

_COUNTS = [
    "interval",
    "intervals",
    "history",
    "future",
    "parameters",
    "clips",
    "frames",
    "joints",
    "missed",
    "padded",
    "dropped",
]


def csv(table: Table, style: Style = PLAIN) -> str:
    """The table as CSV with a head line; an empty field where there is no value.

    Columns: docs/tables.md. Numbers are in the printed unit. An entry that was neither planned
    nor published has no lines. Of the style only what it says of stand-ins counts: nothing is
    rounded or left out for its looks. BadInput when that leaves nothing.
    """
    table = styled(table, Style(standins=style.standins))
    lines = [
        _line(table, row, entry, metric)
        for row, entry in table.entries
        if entry.state not in ("absent", "quoted") or entry.published
        for metric in table.metrics_of(row)
    ]
    frame = pd.DataFrame(map(plain, lines))
    counts = [name for name in _COUNTS if name in frame]
    return frame.astype(dict.fromkeys(counts, "Int64")).to_csv(index=False, lineterminator="\n")


def plain(line: Mapping[str, object]) -> dict[str, object]:
    """A line whose texts are nothing but text, in a spreadsheet too.

    Control characters go, and what a spreadsheet would compute has an apostrophe before it.
    """
    return {
        name: _SEEN_AS_FORMULA.sub(r"'\g<0>", printable(value)) if isinstance(value, str) else value
        for name, value in line.items()
    }


def _line(table: Table, row: DatasetRow, entry: Entry, metric: str) -> dict[str, object]:
    info = metric_info(metric)
    number = entry.numbers.get(metric)
    gain = number.gain if number is not None else None
    cell, scored = entry.cell, entry.scored
    geometry = cell.geometry if cell else {}
    # Of one action's clips it is not known what was missed and left out.
    whole = scored if scored and not row.action else None
    said = published(table, row, entry).get(metric)
    reasons: dict[State, str] = {"no data": row.missing, "quoted": entry.column.quoted}
    return {
        "dataset": row.dataset,
        "title": row.title,
        "action": row.action,
        "standin": row.standin,
        "column": entry.column.key,
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
        "mark": entry.marks.get(metric, ""),
        "reference": table.config.reference,
        "gain": gain.mean if gain else None,
        "gain_low": gain.low if gain else None,
        "gain_high": gain.high if gain else None,
        "published": entry.published.get(metric),
        "published_source": (said.source or table.config.source) if said else None,
        "published_note": said.note if said else None,
        "protocol": row.protocol,
        "interval": _interval(table, row),
        "intervals": geometry.get("intervals"),
        "history": geometry.get("history"),
        "future": geometry.get("future"),
        "weights": cell.weights if cell else entry.column.weights,
        "budget": cell.budget if cell else None,
        "selection": cell.selection if cell and cell.training is not None else None,
        "parameters": entry.parameters,
        "clips": scored.clips if scored else None,
        "frames": scored.frames if scored else None,
        "joints": scored.joints if scored else None,
        "missed": whole.missed if whole else None,
        "padded": whole.padded if whole else None,
        "dropped": whole.dropped if whole else None,
        "status": entry.state,
        "reason": reasons.get(entry.state, entry.reason),
    }


def _interval(table: Table, row: DatasetRow) -> int | None:
    """K of a row of recovery: of its cells, or where it has none because the rows differ in it."""
    apart = len({other.interval for other in table.rows}) > 1
    return row.geometry.get("interval", row.interval if apart else None)
