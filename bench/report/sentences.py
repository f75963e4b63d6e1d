"""What a table must say besides its numbers, as plain sentences that every output shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.config import method_config
from bench.horizons import METRICS as HORIZONS
from bench.horizons import horizons
from bench.metrics import COSTS, METRICS, metric_info
from bench.report import quoting
from bench.report.heads import base_of
from bench.report.style import PLAIN, Style
from bench.report.table import DatasetRow, Entry, Table
from bench.results import Scored

_SELECTIONS = {
    "last": "last epoch kept",
    "validation": "selected on validation",
    "test": "SELECTED ON TEST",
}
_INTERVAL = "half of the 95 % confidence interval of the mean over seeds"
# How a cell's geometry is said, for all of them and for one that differs.
_GEOMETRY = {
    "interval": ("K={}", "K={}"),
    "intervals": ("Q={}", "Q={}"),
    "history": ("history {} frames", "history {}"),
    "future": ("future {} frames", "future {}"),
}


def heading(table: Table) -> str:
    """`Table 3` for table3, any other name as it is."""
    number = re.fullmatch(r"table(\d+)", table.name)
    return f"Table {number[1]}" if number else table.name


def measure(table: Table) -> str:
    """`MPJPE mm (Accel mm/frame^2), lower is better`; without brackets where all lead."""
    said = [" ".join(part for part in parts if part) for parts in quantities(table.metrics)]
    first, *rest = said
    if table.config.layout == "metrics":
        text = ", ".join(said)
    else:
        text = first + (f" ({', '.join(rest)})" if rest else "")
    better = which_better(table)
    return f"{text}, {better}" if better else text


def which_better(table: Table) -> str:
    """`lower is better`: in all metrics, in the leading one or in each; costs go without saying."""
    metrics = [metric for metric in table.metrics if metric not in COSTS]
    ways = {metric_info(metric).better for metric in metrics}
    if len(ways) < 2:
        return f"{ways.pop()} is better" if ways else ""
    if table.config.layout == "metrics":
        return _each_better(metrics)
    info = metric_info(metrics[0])
    return f"{info.label}: {info.better} is better"


def quantities(metrics: Sequence[str]) -> list[tuple[str, str, str]]:
    """Label and unit of what is measured, and for which horizons: those of one metric together.

    Averaged up to a horizon or taken at it, as the protocol says: the wording holds for both.
    Joint groups belong to their metric.
    """
    said: dict[str, list[str]] = {}
    for metric in map(base_of, metrics):
        base, _, horizon = metric.partition("@")
        if base in METRICS and horizon:
            said.setdefault(base, []).append(horizon)
        else:
            said.setdefault(metric, [])
    return [
        (
            metric_info(name).label,
            metric_info(name).unit,
            f"for horizons of {listed(horizons)} ms" if horizons else "",
        )
        for name, horizons in said.items()
    ]


def _each_better(metrics: Sequence[str]) -> str:
    """`higher is better in PCK@0.2, lower in MPJPE`."""
    labels: dict[str, list[str]] = {}
    for metric in dict.fromkeys(map(base_of, metrics)):
        info = metric_info(metric)
        labels.setdefault(info.better, []).append(info.label)
    (way, first), (other, rest) = labels.items()
    return f"{way} is better in {listed(first)}, {other} in {listed(rest)}"


def settings(table: Table) -> list[str]:
    """Protocols and geometry; budget; seeds and selection, as far as every entry shares them."""
    protocols = list(dict.fromkeys(row.protocol for row in table.rows))
    shared = [
        form.format(*sizes)
        for what, (form, _) in _GEOMETRY.items()
        if len(sizes := _sizes(table, what)) == 1
    ]
    parts = [", ".join([f"{_plural('protocol', len(protocols))} {listed(protocols)}", *shared])]
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


def legend(
    table: Table,
    style: Style = PLAIN,
    *,
    best: str = "bold",
    second: str = "underlined",
    sign: str = "*",
    spread: bool = True,
) -> str:
    """How to read an entry, as far as its marks and signs occur.

    best, second, sign: what marks and a significant difference look like; spread: whether
    deviations over seeds are shown.
    """
    entries = [entry for _, entry in table.entries]
    numbers = [number for entry in entries for number in entry.numbers.values()]
    parts = []
    if any(entry.marks for entry in entries):
        marks = f"{best}: best" + (f", {second}: second" if style.marks != "bold" else "")
        if table.config.layout == "metrics":
            marks += " of each column"
        if _sizes(table, "interval"):
            marks += ", of the methods that see only keyframes"
        parts.append(marks)
    full = sorted({entry.label for entry in entries if not entry.keyframes})
    if full:
        parts.append(f"{', '.join(full)}: the estimator at all frames, for reference")
    if style.spread != "none" and any(number.sd is not None for number in numbers):
        spreads = {"sd": "standard deviation over seeds", "ci": _INTERVAL}
        parts.append(
            f"+-: {spreads[style.spread]}"
            if spread
            else "standard deviations over seeds are in the CSV file"
        )
    if table.config.differences and any(number.gain for number in numbers):
        parts.append(
            f"minus {reference(table)}: the difference, with its 95 % interval over recordings"
        )
    if any(style.significant(number) for number in numbers):
        parts.append(
            f"{sign}: the 95 % interval of the difference to {reference(table)} leaves out 0"
        )
    if table.config.source and any(entry.published for entry in entries):
        parts.append(f"published: {table.config.source}")
    parts += quoting.other_sources(table)
    return "; ".join(parts)


def reference(table: Table) -> str:
    """What the column is called that differences are measured from, less what is in brackets."""
    key = table.config.reference
    labels = (column.label or key for column in table.config.columns if column.key == key)
    return next(labels, key).partition(" (")[0]


def basis(table: Table) -> list[str]:
    """What each dataset's numbers stand on: clips, frames, joints, frame rate, what was left out.

    One sentence per dataset with results, whatever the number of its rows.
    """
    rows: dict[str, list[DatasetRow]] = {}
    for row in table.rows:
        if row.scored is not None:
            rows.setdefault(row.dataset, []).append(row)
    return [
        f"{mine[0].title} ({mine[0].fps:g} fps{_geometries(table, mine)}): {_stand_on(table, mine)}"
        + (f"; {mine[0].origin}" if mine[0].origin else "")
        for mine in rows.values()
    ]


def standins(table: Table) -> str:
    """What the sign of stand-ins means, or nothing without any."""
    if not any(row.standin for row in table.rows):
        return ""
    return (
        "stand-in: synthetic clips in place of data that is not on this machine, not to be"
        " compared with published values"
    )


def quoted(table: Table) -> str:
    """Which columns cannot be run here and why, or nothing without any."""
    reasons: dict[str, list[str]] = {}
    for column in table.config.columns:
        if column.quoted:
            reasons.setdefault(column.quoted, []).append(column.label or column.key)
    said = "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in reasons.items())
    return f"quoted, not run: {said}" if said else ""


def missing(table: Table) -> list[str]:
    """Which datasets are not there and why, each once."""
    said = [f"no data: {row.title}: {row.missing}" for row in table.rows if row.missing]
    return list(dict.fromkeys(said))


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
            f"selected on test: {_places(table, on_test)}; these numbers are optimistic, because"
            " the test clips chose the weights"
        )
    for row, entry in table.entries:
        where = f"{entry.label} on {_place(table, row)}"
        if entry.state == "failed":
            said.append(f"failed: {where}: {entry.reason}")
        elif entry.reason:
            said.append(f"{entry.seeds} of {entry.planned} seeds: {where}: {entry.reason}")
        elif entry.state == "done" and entry.seeds < entry.planned:
            said.append(f"{entry.seeds} of {entry.planned} seeds: {where}: the others were not run")
        where = f"{entry.label} on {', '.join(table.heads(row))}"
        lacking = set(row.metrics) - {*entry.numbers, *COSTS} - _unreached(entry, row)
        if entry.state == "done" and lacking:
            names = ", ".join(metric_info(metric).label for metric in sorted(lacking))
            said.append(f"no number: {where}: {names} is missing or not finite")
        if entry.scored is not None and _differs(entry.scored, row):
            said.append(f"scored on other frames: {where}: {_counts(entry.scored, row)}")
    undone = [pair for pair in table.entries if pair[1].state == "not run"]
    if undone:
        said.append(f"not run: {_places(table, undone)}")
    if any(cell.limits.get("test_clips") for cell in table.cells):
        said.append("only some test clips were scored, to save time: a smoke test, not a result")
    # What befell a cell is true of every action it was scored on.
    return list(dict.fromkeys(said))


def _unreached(entry: Entry, row: DatasetRow) -> set[str]:
    """The horizons beyond an entry's future: there is nothing to say about them but a dash."""
    future = entry.cell.geometry.get("future") if entry.cell else None
    return set(HORIZONS) - set(horizons(row.fps, future)) if future else set()


def published_weights(table: Table) -> str:
    """Which columns were not trained here, or nothing without any."""
    labels = [column.label or column.key for column in table.config.columns if column.weights]
    return f"published weights, not trained here: {listed(labels)}" if labels else ""


def notes(table: Table) -> list[str]:
    """The notes of datasets, rows, published numbers and table, each once."""
    said = []
    for row in table.rows:
        said += [f"{row.title}: {note}" for note in row.notes]
        said += [f"{_place(table, row)}: {row.note}"] if row.note else []
    said += [*quoting.reservations(table), *_other_sizes(table), *table.config.notes]
    return list(dict.fromkeys(said))


def _other_sizes(table: Table) -> list[str]:
    """Which costs here are of another size of a model than those published beside them."""
    labels = [
        entry.label
        for _, entry in table.entries
        if entry.cell is not None
        and not entry.column.options
        and entry.cell.preset in method_config(entry.column.method).presets
        and entry.cell.preset != method_config(entry.column.method).of_publication
        and entry.published.keys() & (COSTS.keys() - {"ratio", "estimator"})
        and entry.state == "done"
    ]
    if not labels:
        return []
    names = listed(list(dict.fromkeys(labels)))
    return [
        f"the costs of {names} are of the size that this budget trains; `bench cost` and"
        " `bench audit` count the published one"
    ]


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
    said = [*basis(table), published_weights(table), quoted(table), *missing(table)]
    return [*filter(None, said), *warnings(table), *notes(table)]


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


def listed(words: Sequence[str]) -> str:
    """`80, 160 and 320`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _counts(scored: Scored, row: DatasetRow) -> str:
    text = f"{grouped(scored.clips)} {_plural('clip', scored.clips)}, "
    # How many frames are predicted of a clip differs between methods, and horizons tell it.
    text += "" if _predicted(row) else f"{grouped(scored.frames)} frames, "
    text += f"{scored.joints} joints"
    rest = {
        "missed detections": scored.missed,
        "padded frames": scored.padded,
        "frames dropped at the ends": scored.dropped,
    }
    return ", ".join([text, *(f"{grouped(n)} {what}" for what, n in rest.items() if n)])


def _stand_on(table: Table, rows: Sequence[DatasetRow]) -> str:
    """The counts of a dataset's rows; `average: ...; walking, eating: ...` where they differ."""
    counts = [(row, _counts(row.scored, row)) for row in rows if row.scored is not None]
    names: dict[str, list[str]] = {}
    for row, text in counts:
        alike = {said for other, said in counts if other.action == row.action} == {text}
        named = table.heads(row)[-1:] if alike and table.by_action else table.heads(row)[1:]
        names.setdefault(text, []).append(" ".join(named))
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{', '.join(dict.fromkeys(said))}: {text}" for text, said in names.items())


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


def _sizes(table: Table, what: str) -> set[int]:
    """Every value that the cells have of one part of their geometry."""
    return {cell.geometry[what] for cell in table.cells if what in cell.geometry}


def _geometries(table: Table, rows: Sequence[DatasetRow]) -> str:
    """`, Q=10, MixSynthFormer Q=5`: of one dataset, what not all entries of the table share.

    K is left out where rows differ in it, since their heads say it; what goes with K is said with
    it: `, Q=50 for K=2, Q=10 for K=10`.
    """
    apart = len({row.interval for row in table.rows}) > 1
    said = []
    for what, (form, short) in _GEOMETRY.items():
        if len(_sizes(table, what)) < 2 or (apart and what == "interval"):
            continue
        known = [row for row in rows if what in row.geometry]
        varies = len({row.geometry[what] for row in known}) > 1 and apart
        for row in known:
            of = f" for K={row.interval}" if varies else ""
            said.append(form.format(row.geometry[what]) + of)
        for row in known:
            of = f" for K={row.interval}" if varies else ""
            said += [
                f"{entry.label} {short.format(size)}{of}"
                for entry in row.entries
                if entry.cell and (size := entry.cell.geometry[what]) != row.geometry[what]
            ]
    return "".join(f", {part}" for part in dict.fromkeys(said))


def _predicted(row: DatasetRow) -> bool:
    return "history" in row.geometry


def _differs(scored: Scored, row: DatasetRow) -> bool:
    """Whether an entry was scored on other frames than most in its row."""
    most = row.scored
    return most is not None and (
        (scored.clips, scored.joints) != (most.clips, most.joints)
        or (scored.frames != most.frames and not _predicted(row))
    )


def _place(table: Table, row: DatasetRow) -> str:
    return ", ".join(table.place(row))


def _places(table: Table, pairs: Iterable[tuple[DatasetRow, Entry]]) -> str:
    """`MCT, ridge on 3DPW / SPIN; MCT on AIST++ / SPIN`, actions apart."""
    by_place: dict[str, dict[str, None]] = {}
    for row, entry in pairs:
        by_place.setdefault(_place(table, row), {})[entry.label] = None
    return "; ".join(f"{', '.join(labels)} on {place}" for place, labels in by_place.items())


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
