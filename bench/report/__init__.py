"""From stored results to tables: terminal, LaTeX, Markdown, CSV."""

from __future__ import annotations

import os
from pathlib import Path

from bench.report.table import Table


def write(table: Table, folder: Path) -> list[Path]:
    """Write NAME.tex, NAME.md and NAME.csv into a folder, which is made; returns their paths.

    A kill at any instant leaves each file as it was or complete.
    """
    # pandas takes a while to import, and the terminal table does without.
    from bench.report.csv import csv
    from bench.report.latex import latex
    from bench.report.markdown import markdown

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, text in (("tex", latex(table)), ("md", markdown(table)), ("csv", csv(table))):
        path = folder / f"{table.name}.{ending}"
        temporary = path.with_suffix(f".{ending}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        written.append(path)
    return written
