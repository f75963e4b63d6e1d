r"""A table as LaTeX: compiles as it is and can be \input into a paper that loads booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.report import sentences
from bench.report.style import PLAIN, Style, styled
from bench.report.table import Table
from bench.report.tabular import DAGGER, DDAGGER, Column, height, panels, tabular
from bench.report.tex import escape, raised, sentence

# What the panels of one float may be high, so that a page has room for caption and remarks.
_HEIGHT_PT = 500.0

_HEAD = r"""% Compiles as it is; in a paper, load booktabs and \input this file.
\ifcsname ver@booktabs.sty\endcsname
  \let\benchend\relax
\else
  \def\benchend{\end{document}}
  \documentclass{article}
  \usepackage{booktabs}
  \usepackage[a4paper,textwidth=17.5cm,textheight=25cm]{geometry}
  \pagestyle{empty}
  \begin{document}
\fi
"""


def latex(table: Table, style: Style = PLAIN) -> str:
    """The table as a `table*` of methods by datasets, as wide as two columns at most.

    Datasets, actions and metrics that do not fit beside each other follow below. Differences and
    published values stand below their method; a method that is only quoted has nothing else, and
    a double dagger. BadInput when the style leaves nothing of the table.
    """
    table = styled(table, style)
    drawn, spread = panels(table, style)
    floats = _floats(table, drawn)
    label = rf"\label{{tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}}}"
    title = rf"\textbf{{{escape(table.config.title)}}}"
    continued = rf"\addtocounter{{table}}{{-1}}\caption{{{title}, continued.}}"
    caption = _caption(table, style, spread=spread)
    parts = [_HEAD]
    for place, together in enumerate(floats):
        parts += [
            r"\begin{table*}[t]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            *([continued] if place else [rf"\caption{{{caption}}}", label]),
            r"\par\smallskip",
            "\n\\par\\medskip\n".join(tabular(table, panel, style) for panel in together),
            *(_remarks(table) if place == len(floats) - 1 else []),
            r"\end{table*}",
        ]
    return "\n".join([*parts, r"\benchend"]) + "\n"


def _remarks(table: Table) -> list[str]:
    """The small print below the last panel."""
    quoted = sentences.quoted(table)
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        "\\\\\n".join(
            (DDAGGER if remark == quoted else "") + _capital(sentence(remark.rstrip("."))) + "."
            for remark in sentences.remarks(table)
        ),
        r"\end{minipage}",
    ]


def _floats(table: Table, drawn: Sequence[list[Column]]) -> list[list[list[Column]]]:
    """The panels in groups of which each fits on a page."""
    floats: list[list[list[Column]]] = [[]]
    left = _HEIGHT_PT
    for panel in drawn:
        high = height(table, panel)
        if floats[-1] and high > left:
            floats.append([])
            left = _HEIGHT_PT
        floats[-1].append(panel)
        left -= high
    return floats


def _caption(table: Table, style: Style, *, spread: bool) -> str:
    """Title, units, data, protocol, budget, seeds, selection, how to read it, and stand-ins."""
    units = ", ".join(
        " ".join(part for part in (escape(label), "in", raised(escape(unit)), horizons) if part)
        for label, unit, horizons in sentences.quantities(table.metrics)
    )
    better = sentences.which_better(table)
    units += f" ({escape(better)})" if better else ""
    said = [rf"\textbf{{{escape(table.config.title)}.}} {units}"]
    titles = {
        row.dataset: escape(row.title) + (DAGGER if row.standin else "") for row in table.rows
    }
    said.append(f"Data: {', '.join(titles.values())}")
    said.append(", ".join(sentence(part) for part in sentences.settings(table)))
    said.append(sentence(sentences.legend(table, style, spread=spread)))
    if sentences.standins(table):
        said.append(DAGGER + _capital(sentence(sentences.standins(table))))
    return ".\n".join(_capital(part) for part in said if part) + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
