"""A table as GitHub Markdown."""

from __future__ import annotations

import re

from bench.report import sentences
from bench.report.table import Entry, Table, printed, printed_all

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def escape(text: str) -> str:
    """Any text as Markdown that prints it, also inside a table; line breaks become spaces."""
    joined = " ".join(text.split()).replace("&", "&amp;")
    return _SPECIAL.sub(r"\\\1", joined)


def markdown(table: Table) -> str:
    """Methods by datasets, published values beside what was measured here, remarks as a list."""
    heads = ["method"]
    for row in table.rows:
        heads += [escape(row.title) + (" (stand-in)" if row.standin else ""), "published"]
    lines = [heads, [":--", *["--:"] * (len(heads) - 1)]]
    for place, label in enumerate(table.labels):
        line = [escape(label)]
        for row in table.rows:
            entry = row.entries[place]
            line += [_here(table, entry), printed_all(table.config.metrics, entry.published)]
        lines.append(line)
    title = f"**{sentences.heading(table)}: {escape(table.config.title)}**"
    said = [", ".join(sentences.settings(table)), sentences.legend(table)]
    said += [sentences.standins(table), *sentences.remarks(table)]
    return "\n".join(
        [
            f"{title}, {_sentence(sentences.measure(table))}",
            "",
            *(f"| {' | '.join(line)} |" for line in lines),
            "",
            *(f"- {_sentence(sentence)}" for sentence in said if sentence),
            "",
        ]
    )


def _here(table: Table, entry: Entry) -> str:
    """`**70.1** (1.3)`, or why there is no number."""
    first = table.config.metrics[0]
    if first not in entry.numbers:
        return f"*{entry.state}*" if entry.state in ("failed", "not run") else "-"
    means = {metric: number.mean for metric, number in entry.numbers.items()}
    mean, bracket, rest = printed_all(table.config.metrics, means).partition(" (")
    mean = {"best": f"**{mean}**", "second": f"<u>{mean}</u>"}.get(entry.mark, mean)
    sd = entry.numbers[first].sd
    return mean + ("" if sd is None else f" ± {printed(first, sd)}") + bracket + rest


def _sentence(text: str) -> str:
    return escape(text).replace("+-", "±").replace("frame^2", "frame²")
