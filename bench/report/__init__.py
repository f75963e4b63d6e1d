"""From stored results to tables: terminal, LaTeX, Markdown, CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.config import nearest_names
from bench.contracts import BadInput
from bench.files import write_whole
from bench.report.style import PLAIN, Style
from bench.report.table import Table

FORMATS = ("tex", "md", "csv")
"""Endings of the files that a table can be written to."""


def write(
    table: Table, folder: Path, formats: Sequence[str] = FORMATS, style: Style = PLAIN
) -> list[Path]:
    """Write NAME.tex, NAME.md and NAME.csv, or some of them, into a folder, which is made.

    Returns their paths. A kill at any instant leaves each file as it was or complete. BadInput,
    before anything is written, for a format that is none of `FORMATS` and when the style leaves
    nothing of the table.
    """
    for ending in formats:
        if ending not in FORMATS:
            raise BadInput(f"unknown format '{ending}'", hint=nearest_names(ending, FORMATS))
    # pandas takes a while to import, and the terminal table does without.
    from bench.report.csv import csv
    from bench.report.latex import latex
    from bench.report.markdown import markdown

    drawn = {"tex": latex, "md": markdown, "csv": csv}
    texts = {ending: drawn[ending](table, style) for ending in dict.fromkeys(formats)}
    written = []
    for ending, text in texts.items():
        path = folder / f"{table.name}.{ending}"
        write_whole(path, text, what="the table", hint="choose another folder with --out")
        written.append(path)
    return written
