"""Measured times as text, Markdown, CSV and LaTeX: all of the same columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from itertools import groupby

import pandas as pd

from bench.clocking import Clocked
from bench.report import markdown, tex
from bench.report.csv import plain
from bench.report.grid import Column, Piece, blocks
from bench.timing import counted
from bench.timings import Timing, baseline, counterpart

FORMS = ("text", "markdown", "csv", "tex")

# Long names would push the numbers off a terminal; everything else is short.
_WIDTH = 100


def draw(clocked: Clocked, form: str) -> str:
    """A table of times in one of `FORMS`, with what must be said about it; ends in a newline."""
    return _FORMS[form](clocked)


def number(value: float | None) -> str:
    """Three significant digits without an exponent, `-` for nothing: 0.0123, 1.23, 1230."""
    if value is None:
        return "-"
    rounded = float(f"{value:.3g}")
    decimals = 2 - math.floor(math.log10(abs(rounded))) if rounded else 2
    return f"{rounded:.{max(decimals, 0)}f}"


def _ratios(timing: Timing, clocked: Clocked) -> tuple[float | None, float | None]:
    """Times as long as the first method's, and as the method's own baseline."""
    first = counterpart(timing, _first(clocked), clocked.timings)
    own = baseline(timing, clocked.timings)
    return (None if first is None else timing.times(first)), timing.times(own)


def _first(clocked: Clocked) -> str:
    return clocked.timings[0].method if clocked.timings else ""


def _heads(clocked: Clocked) -> tuple[str, ...]:
    against = _first(clocked)
    return ("method", "engine", "ms/window", "IQR", "ms/frame", f"x {against}", "x own")


def _cells(timing: Timing, clocked: Clocked) -> tuple[str, ...]:
    first, own = _ratios(timing, clocked)
    values = (timing.per_window, timing.spread, timing.per_frame, first, own)
    return (timing.method, timing.engine, *map(number, values))


def _block(timing: Timing) -> tuple[str, ...]:
    """What the lines of one block have in common."""
    window = timing.window
    return (
        timing.title,
        f"{window.joints} joints in {window.dims}D, K={window.interval}",
        timing.precision,
        counted(timing.threads, "thread"),
        f"batch {timing.batch}",
    )


def _said(clocked: Clocked) -> Iterator[str]:
    """What a reader must know."""
    if not clocked.timings:
        yield "nothing could be measured"
    else:
        one = clocked.timings[0]
        yield one.machine.words
        commits = dict.fromkeys(timing.about.get("commit", "unknown") for timing in clocked.timings)
        yield f"commit {', '.join(commits)}; {one.about.get('time', 'at an unknown time')}"
        windows = sorted({timing.window.frames for timing in clocked.timings})
        yield (
            f"a window has {' or '.join(map(str, windows))} frames; times are medians, per window "
            "and per frame; IQR: between their quartiles, per window"
        )
        yield (
            f"x {_first(clocked)}: times as long under the same engine, batch and threads; x own: "
            "as the method itself, eager, in the smallest batch on the fewest threads; both are "
            "medians over turns"
        )
    yield from clocked.notes


def _text(clocked: Clocked) -> str:
    lines: list[str] = []
    for block, group in groupby(clocked.timings, key=_block):
        rows = [_cells(timing, clocked) for timing in group]
        columns = [
            Column((Piece(head),), tuple(Piece(row[place]) for row in rows), group=place)
            for place, head in enumerate(_heads(clocked))
        ]
        lines += [", ".join(block)]
        lines += [line.plain for line in blocks(columns[0], columns[1:], _WIDTH, plain=True)]
        lines.append("")
    for sentence in _said(clocked):
        lines += textwrap.wrap(sentence, _WIDTH, subsequent_indent="  ")
    return "\n".join([*lines, ""])


def _flat(clocked: Clocked) -> list[tuple[str, ...]]:
    """Heads and lines with the columns that differ between blocks in front."""
    names = ("dataset", "window", "precision", "threads", "batch")
    keys = [_block(timing) for timing in clocked.timings]
    differs = [place for place in range(len(names)) if len({key[place] for key in keys}) > 1]
    lines = [(*(names[place] for place in differs), *_heads(clocked))]
    for key, timing in zip(keys, clocked.timings, strict=True):
        lines.append((*(key[place] for place in differs), *_cells(timing, clocked)))
    return lines


def _common(clocked: Clocked) -> str:
    """What all lines have in common, for the caption."""
    keys = [_block(timing) for timing in clocked.timings]
    return ", ".join(parts[0] for parts in zip(*keys, strict=True) if len(set(parts)) == 1)


def _markdown(clocked: Clocked) -> str:
    heads, *lines = _flat(clocked)
    words = len(heads) - 5
    rules = [":--"] * words + ["--:"] * 5
    rows = [map(markdown.escape, heads), rules, *(map(markdown.escape, line) for line in lines)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    said = [f"- {markdown.escape(sentence)}" for sentence in _said(clocked)]
    caption = markdown.escape(_common(clocked))
    return "\n".join([f"**Inference time on a CPU**, {caption}", "", *table, "", *said, ""])


def _tex(clocked: Clocked) -> str:
    heads, *lines = _flat(clocked)
    escaped = [" & ".join(map(tex.escape, row)) + r" \\" for row in (heads, *lines)]
    said = " ".join(f"{tex.escape(sentence)}." for sentence in _said(clocked))
    return "\n".join(
        [
            r"\begin{table*}[t]",
            r"\centering\footnotesize",
            rf"\caption{{\textbf{{Inference time on a CPU}}, {tex.escape(_common(clocked))}}}",
            rf"\begin{{tabular}}{{{'l' * (len(heads) - 5)}{'r' * 5}}}",
            r"\toprule",
            escaped[0],
            r"\midrule",
            *escaped[1:],
            r"\bottomrule",
            r"\end{tabular}",
            rf"\par\smallskip\begin{{minipage}}{{\linewidth}}\scriptsize {said}\end{{minipage}}",
            r"\end{table*}",
            "",
        ]
    )


def _csv(clocked: Clocked) -> str:
    """One line per measurement, nothing rounded; times in milliseconds."""
    lines = []
    for timing in clocked.timings:
        first, own = _ratios(timing, clocked)
        lines.append(
            {
                "dataset": timing.dataset,
                "method": timing.method,
                "label": timing.label,
                "engine": timing.engine,
                "precision": timing.precision,
                "threads": timing.threads,
                "batch": timing.batch,
                "interval": timing.window.interval,
                "intervals": timing.window.intervals,
                "frames": timing.window.frames,
                "ms_window": timing.per_window,
                "iqr_window": timing.spread,
                "ms_frame": timing.per_frame,
                "against": _first(clocked),
                "ratio": first,
                "ratio_own": own,
                "blocks": timing.measured.blocks,
                "machine": timing.machine.words,
                "busy": timing.busy,
                "commit": timing.about.get("commit", "unknown"),
                "time": timing.about.get("time", "unknown"),
            }
        )
    return pd.DataFrame(map(plain, lines)).to_csv(index=False, lineterminator="\n")


_FORMS: dict[str, Callable[[Clocked], str]] = {
    "text": _text,
    "markdown": _markdown,
    "csv": _csv,
    "tex": _tex,
}
