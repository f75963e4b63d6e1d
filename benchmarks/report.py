"""Runs as tables: for the terminal, and as Markdown for docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measuring import Row, Spread
from benchmarks.runs import Run
from benchmarks.targets import TARGETS, Target

_HEAD = (
    "what",
    "case",
    "unit",
    "ours",
    "IQR",
    "against",
    "median",
    "IQR",
    "ratio",
    "IQR",
    "of the floor",
)
_TARGET_HEAD = ("what", "case", "target", "measured", "", "command")


def text(runs: Sequence[Run]) -> str:
    """What was measured and how targets stand, in aligned columns."""
    rows = newest(runs)
    parts = [_aligned([_HEAD, *map(_cells, rows)])]
    stand = [_target(target, rows, _skipped(runs)) for target in TARGETS]
    measured = [cells for cells in stand if cells[3] != "-" or len(runs) > 1]
    if measured:
        parts.append(_aligned([_TARGET_HEAD, *measured]))
    return "\n\n".join([*parts, *_about(runs)])


def markdown(runs: Sequence[Run]) -> str:
    """The same as two tables with what must be said about them."""
    rows, skipped = newest(runs), _skipped(runs)
    said = [_target(target, rows, skipped) for target in TARGETS]
    targets = [(*cells[:5], f"`{cells[5]}`") for cells in said]
    return "\n\n".join(
        [
            "### Targets",
            _table([_TARGET_HEAD, *targets]),
            "### Measurements",
            _table([_HEAD, *map(_cells, rows)]),
            *_about(runs),
        ]
    )


def newest(runs: Sequence[Run]) -> list[Row]:
    """The latest row of every case, in the order in which they were first measured."""
    rows: dict[tuple[str, str], Row] = {}
    for run in runs:
        rows.update({(row.benchmark, row.case): row for row in run.rows})
    return list(rows.values())


def _skipped(runs: Sequence[Run]) -> dict[str, str]:
    """Why the newest run that was asked for a benchmark did not measure it, or not all of it."""
    reasons: dict[str, str] = {}
    for run in runs:
        for name in {row.benchmark for row in run.rows}:
            reasons.pop(name, None)
        reasons.update(run.skipped)
        reasons.update({name: f"failed: {reason}" for name, reason in run.failed.items()})
    return reasons


def _cells(row: Row) -> tuple[str, ...]:
    """One comparison as a line."""
    names = list(row.sides)
    other = Spread.of(row.sides[names[-1]]) if len(names) > 1 else None
    return (
        row.benchmark,
        row.case,
        row.unit,
        *_spread(row.ours),
        names[-1] if other else "",
        *_spread(other),
        *_spread(row.ratio),
        "" if row.share is None else f"{100 * row.share:.0f} %",
    )


def _target(target: Target, rows: Sequence[Row], skipped: dict[str, str]) -> tuple[str, ...]:
    value = target.value(rows)
    if value is None:
        reason = skipped.get(target.benchmark)
        said = "-", f"not measured: {reason}" if reason else "not measured"
    else:
        said = f"{_number(value)} {target.unit}", "reached" if target.reached(value) else "missed"
    return target.benchmark, target.case, target.words, *said, target.command


def _about(runs: Sequence[Run]) -> list[str]:
    """Machines, commits and what disturbed, each run once."""
    lines = []
    for run in runs:
        where = f"{run.machine.words}, {run.memory:g} GiB"
        if run.gpu:
            where += f", {run.gpu}, CUDA {run.cuda}" if run.cuda else f", {run.gpu}"
        line = f"`{run.command}`, {run.time}, commit {run.commit[:7]}: {where}."
        if run.commit.endswith("-dirty"):
            line += " Files differed from the commit."
        if run.busy:
            line += f" The machine was not quiet: {run.busy}."
        for name, reason in run.failed.items():
            line += f" Failed: {name}: {reason}."
        lines.append(line)
    return lines


def _spread(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "", ""
    return _number(spread.median), f"{_number(spread.low)}-{_number(spread.high)}"


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}".replace(",", " ")
    return f"{value:#.3g}".rstrip(".")


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _table(lines: Sequence[Sequence[str]]) -> str:
    # Reasons come from anywhere.
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))
