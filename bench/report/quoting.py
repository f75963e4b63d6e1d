"""Published numbers with all that a table's file says of them: other sources, and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.config import Published
from bench.metrics import metric_info
from bench.report.table import DatasetRow, Entry, Table


@dataclass(frozen=True)
class _Quotation:
    """A published number and where it stands."""

    place: str
    label: str
    metric: str
    said: Published


def published(table: Table, row: DatasetRow, entry: Entry) -> Mapping[str, Published]:
    """The published numbers that an entry shows, by metric, as the table's file has them."""
    config = table.config
    for given in config.rows:
        if row.shows(config, given) and (known := given.published.get(entry.column.key)):
            return {metric: said for metric, said in known.items() if metric in entry.published}
    return {}


def other_sources(table: Table) -> list[str]:
    """`published Accel of MCT on 3DPW / SPIN: a report`: the sources that are not the table's.

    Metrics are named where not all of those numbers are from that source.
    """
    every = _quotations(table)
    said = []
    for source in dict.fromkeys(one.said.source for one in every if one.said.source):
        mine = [one for one in every if one.said.source == source]
        entries = {(one.place, one.label) for one in mine}
        others = [one for one in every if (one.place, one.label) in entries and one not in mine]
        labels = dict.fromkeys(metric_info(one.metric).label for one in mine) if others else ()
        what = f"published {', '.join(labels)}" if labels else "published"
        said.append(f"{what} of {_of(mine, every)}: {source}")
    return said


def reservations(table: Table) -> list[str]:
    """`published Accel of MCT: ...`: why published numbers may differ, each note once."""
    every = _quotations(table)
    said = []
    for note in dict.fromkeys(one.said.note for one in every if one.said.note):
        mine = [one for one in every if one.said.note == note]
        labels = dict.fromkeys(metric_info(one.metric).label for one in mine)
        said.append(f"published {', '.join(labels)} of {_of(mine, every)}: {note}")
    return said


def _quotations(table: Table) -> list[_Quotation]:
    return [
        _Quotation(", ".join(table.place(row)), entry.label, metric, said)
        for row, entry in table.entries
        for metric, said in published(table, row, entry).items()
    ]


def _of(mine: list[_Quotation], every: list[_Quotation]) -> str:
    """Whose numbers those are; and of which rows, where others of theirs are not among them."""
    whose = {(one.label, one.metric) for one in mine}
    others = [one for one in every if (one.label, one.metric) in whose and one not in mine]
    if not others:
        return ", ".join(dict.fromkeys(one.label for one in mine))
    by_place: dict[str, dict[str, None]] = {}
    for one in mine:
        by_place.setdefault(one.place, {})[one.label] = None
    places: dict[str, list[str]] = {}
    for place, labels in by_place.items():
        places.setdefault(", ".join(labels), []).append(place)
    return "; ".join(f"{labels} on {', '.join(where)}" for labels, where in places.items())
