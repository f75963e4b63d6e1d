"""What a table must say besides its numbers, as plain sentences that every output shares."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.metrics import metric_info
from bench.report.table import DatasetRow, Entry, Table
from bench.results import Scored

_SELECTIONS = {
    "last": "last epoch kept",
    "validation": "selected on validation",
    "test": "SELECTED ON TEST",
}


def heading(table: Table) -> str:
    """`Table 3` for table3, any other name as it is."""
    number = re.fullmatch(r"table(\d+)", table.name)
    return f"Table {number[1]}" if number else table.name


def measure(table: Table) -> str:
    """`MPJPE mm (Accel mm/frame^2), lower is better`."""
    first, *rest = [metric_info(metric) for metric in table.config.metrics]
    text = f"{first.label} {first.unit}"
    if rest:
        text += f" ({', '.join(f'{info.label} {info.unit}' for info in rest)})"
    if len({info.better for info in (first, *rest)}) == 1:
        return f"{text}, {first.better} is better"
    return f"{text}, {first.label}: {first.better} is better"


def settings(table: Table) -> list[str]:
    """Protocol, K and Q; budget; seeds and selection, as far as every entry shares them."""
    parts = [f"protocol {table.config.protocol}, K={table.config.interval}"]
    intervals = {cell.intervals for cell in table.cells}
    if len(intervals) == 1:
        parts[0] += f", Q={intervals.pop()}"
    budgets = sorted({cell.budget for cell in table.cells})
    if budgets:
        parts.append(f"budget {' and '.join(budgets)}")
        asked = max(entry.planned for _, entry in table.entries)
        trained = sorted({cell.selection for cell in table.cells if cell.training is not None})
        said = [f"{asked} {_plural('seed', asked)}", *(_SELECTIONS.get(s, s) for s in trained)]
        parts.append(", ".join(said))
    windows = _training_windows(table)
    if windows:
        parts.append(f"trained on {windows}")
    return parts


def legend(table: Table, best: str = "bold", second: str = "underlined") -> str:
    """How to read an entry, as far as its marks and signs occur.

    best, second: what they look like.
    """
    parts = []
    if any(entry.mark for _, entry in table.entries):
        parts.append(f"{best}: best, {second}: second, of the methods that see only keyframes")
    full = sorted({entry.label for _, entry in table.entries if not entry.keyframes})
    if full:
        parts.append(f"{', '.join(full)}: the estimator at all frames, for reference")
    if any(n.sd is not None for _, entry in table.entries for n in entry.numbers.values()):
        parts.append("+-: standard deviation over seeds")
    if any(entry.published for _, entry in table.entries):
        parts.append(f"published: {table.config.source}")
    return "; ".join(parts)


def basis(table: Table) -> list[str]:
    """What each dataset's numbers stand on: clips, frames, joints, frame rate, what was left out.

    One sentence per dataset with results.
    """
    several = len({cell.intervals for cell in table.cells}) > 1
    return [
        f"{row.title} ({row.fps:g} fps{_windows(row) if several else ''}): {_counts(row.scored)}"
        + (f"; {row.origin}" if row.origin else "")
        for row in table.rows
        if row.scored is not None
    ]


def standins(table: Table) -> str:
    """What the sign of stand-ins means, or nothing without any."""
    if not any(row.standin for row in table.rows):
        return ""
    return (
        "stand-in: synthetic clips in place of data that is not on this machine, not to be"
        " compared with published values"
    )


def warnings(table: Table) -> list[str]:
    """What keeps the numbers from being what they seem: each a sentence, the gravest first."""
    said = []
    on_test = [
        (row, entry)
        for row, entry in table.entries
        if entry.cell and entry.cell.training is not None and entry.cell.selection == "test"
    ]
    if on_test:
        said.append(
            f"selected on test: {_places(on_test)}; these numbers are optimistic, because the test"
            " clips chose the weights"
        )
    for row, entry in table.entries:
        where = f"{entry.label} on {row.title}"
        if entry.state == "failed":
            said.append(f"failed: {where}: {entry.reason}")
        elif entry.reason:
            said.append(f"{entry.seeds} of {entry.planned} seeds: {where}: {entry.reason}")
        elif entry.state == "done" and entry.seeds < entry.planned:
            said.append(f"{entry.seeds} of {entry.planned} seeds: {where}: the others were not run")
        if entry.state == "done" and (lacking := set(table.config.metrics) - set(entry.numbers)):
            names = ", ".join(metric_info(metric).label for metric in sorted(lacking))
            said.append(f"no number: {where}: {names} is missing or not finite")
        if entry.scored is not None and _differs(entry.scored, row.scored):
            said.append(f"scored on other frames: {where}: {_counts(entry.scored)}")
    missing = [pair for pair in table.entries if pair[1].state == "not run"]
    if missing:
        said.append(f"not run: {_places(missing)}")
    if any(cell.limits.get("test_clips") for cell in table.cells):
        said.append("only some test clips were scored, to save time: a smoke test, not a result")
    return said


def notes(table: Table) -> list[str]:
    """The notes of datasets, rows and table, each once."""
    said = [f"{row.title}: {note}" for row in table.rows for note in row.notes]
    return list(dict.fromkeys([*said, *table.config.notes]))


def ran(table: Table) -> str:
    """How many cells were computed, in what time, where the files lie; nothing without a run."""
    run = table.run
    if run is None:
        return ""
    cells = f"{run.computed} {_plural('cell', run.computed)} run in {duration(run.seconds)}"
    files = f"{run.folder / table.name}.tex .md .csv"
    return f"{cells}, {run.earlier} from earlier | {files} | `{run.command}` draws it"


def remarks(table: Table) -> list[str]:
    """Everything below the settings and the legend, in order, stand-ins excepted."""
    return [*basis(table), *warnings(table), *notes(table)]


def duration(seconds: float) -> str:
    """`4 min 12 s`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def grouped(number: int) -> str:
    """`506 875`."""
    return f"{number:,}".replace(",", " ")


def _counts(scored: Scored | None) -> str:
    if scored is None:
        return "nothing scored"
    text = (
        f"{grouped(scored.clips)} {_plural('clip', scored.clips)}, "
        f"{grouped(scored.frames)} frames, {scored.joints} joints"
    )
    rest = {
        "missed detections": scored.missed,
        "padded frames": scored.padded,
        "frames dropped at the ends": scored.dropped,
    }
    return ", ".join([text, *(f"{grouped(n)} {what}" for what, n in rest.items() if n)])


def _training_windows(table: Table) -> str:
    """`60 000 windows (stand-ins: 4 000)`, where the budget gives them in windows."""
    given: dict[bool, set[int]] = {False: set(), True: set()}
    for row, entry in table.entries:
        training = entry.cell.training if entry.cell else None
        if training and training.get("windows"):
            given[row.standin].add(training["windows"])
    real, standin = (" or ".join(grouped(n) for n in sorted(given[s])) for s in (False, True))
    if real and standin and real != standin:
        return f"{real} windows (stand-ins: {standin})"
    return f"{real or standin} windows" if real or standin else ""


def _windows(row: DatasetRow) -> str:
    """`, Q=10, MixSynthFormer Q=5`."""
    others = [
        f", {entry.label} Q={entry.cell.intervals}"
        for entry in row.entries
        if entry.cell is not None and entry.cell.intervals != row.intervals
    ]
    return f", Q={row.intervals}" + "".join(others)


def _differs(scored: Scored, other: Scored | None) -> bool:
    """Whether two entries were scored on different frames."""
    return other is not None and (scored.clips, scored.frames, scored.joints) != (
        other.clips,
        other.frames,
        other.joints,
    )


def _places(pairs: Iterable[tuple[DatasetRow, Entry]]) -> str:
    """`MCT, ridge on 3DPW / SPIN; MCT on AIST++ / SPIN`."""
    by_row: dict[str, list[str]] = {}
    for row, entry in pairs:
        by_row.setdefault(row.title, []).append(entry.label)
    return "; ".join(f"{', '.join(labels)} on {title}" for title, labels in by_row.items())


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
