"""From stored results to tables: terminal, LaTeX, Markdown, CSV."""

from __future__ import annotations

from pathlib import Path

from bench.files import write_whole
from bench.report.table import Table


def write(table: Table, folder: Path) -> list[Path]:
    """Write NAME.tex, NAME.md and NAME.csv into a folder, which is made; returns their paths.

    A kill at any instant leaves each file as it was or complete.
    """
    # pandas takes a while to import, and the terminal table does without.
    from bench.report.csv import csv
    from bench.report.latex import latex
    from bench.report.markdown import markdown

    written = []
    for ending, text in (("tex", latex(table)), ("md", markdown(table)), ("csv", csv(table))):
        path = folder / f"{table.name}.{ending}"
        write_whole(path, text, what="the table", hint="choose another folder with --out")
        written.append(path)
    return written
