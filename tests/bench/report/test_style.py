"""Styles: how numbers look, which are shown; what they are stays."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.config import Column, TableConfig
from bench.contracts import BadInput
from bench.report import write
from bench.report.csv import csv
from bench.report.latex import latex
from bench.report.markdown import markdown
from bench.report.style import PLAIN, Style, bracketed, ranked, styled
from bench.report.table import DatasetRow, Entry, Number, Table
from bench.report.terminal import show
from bench.results import Cell
from bench.stats import Gain

COLUMNS = (
    Column(method="linear", label="Lin"),
    Column(method="net"),
    Column(name="old", quoted="no code exists"),
)
METRICS = ("mpjpe", "accel")
SIZE = {"interval": 10, "intervals": 10}
CONFIG = TableConfig(
    title="Recovery",
    metrics=METRICS,
    protocol="deciwatch",
    reference="linear",
    columns=COLUMNS,
    rows=(),
    source="a paper",
)


def entry(at: int, **changes: Any) -> Entry:
    column = COLUMNS[at]
    cell = Cell(
        "d", "f", column.method, "p", 1, {}, None, SIZE, "deciwatch", "quick", {}, "last", 0
    )
    made = Entry(column, "done", keyframes=True, seeds=1, planned=1, cell=cell)
    return replace(made, **changes)


def table(layout: str = "entries") -> Table:
    real = (
        entry(
            0,
            numbers={"mpjpe": Number(70.04), "accel": Number(1.4)},
            published={"mpjpe": 54.8},
            marks={"mpjpe": "best"},
        ),
        entry(
            1,
            numbers={
                "mpjpe": Number(69.96, 1.0, Gain(-0.08, -0.12, -0.04, 30)),
                "accel": Number(1.3, 0.04, Gain(-0.1, -0.3, 0.1, 30)),
            },
            marks={"mpjpe": "best"},
            seeds=3,
            planned=3,
        ),
        entry(2, state="quoted", published={"mpjpe": 60.0}, seeds=0, planned=0, cell=None),
    )
    standin = (
        entry(0, numbers={"mpjpe": Number(80.0), "accel": Number(2.0)}, marks={"mpjpe": "second"}),
        entry(1, numbers={"mpjpe": Number(75.0), "accel": Number(3.0)}, marks={"mpjpe": "best"}),
        entry(2, state="quoted", seeds=0, planned=0, cell=None),
    )
    rows = (
        DatasetRow("d", "D", 50, "deciwatch", METRICS, 10, real, geometry=SIZE),
        DatasetRow("s", "S", 50, "deciwatch", METRICS, 10, standin, standin=True, geometry=SIZE),
    )
    return Table("t", CONFIG.model_copy(update={"layout": layout}), rows)


def plain(made: Table, style: Style, width: int = 300) -> list[str]:
    stream = io.StringIO()
    show(made, Console(file=stream, width=width), style=style)
    return stream.getvalue().splitlines()


def test_decimals_are_the_metrics_own_or_those_asked_for() -> None:
    style = Style(decimals={"mpjpe": 2, "pck": 3, "pck@0.2:wrist": 0})
    assert style.printed("mpjpe", 70.123) == "70.12"
    assert style.printed("mpjpe@80", 70.123) == "70.12"
    assert style.printed("pampjpe", 70.123) == "70.1"
    assert style.printed("pck@0.05", 70.123) == "70.123"
    assert style.printed("pck@0.2", 70.123) == "70.123"
    assert style.printed("pck@0.2:wrist", 70.623) == "71"
    assert [style.signed("mpjpe", v) for v in (1.2, -0.004, -2.0)] == ["+1.20", "0.00", "-2.00"]
    assert PLAIN.printed("total", 1.19634) == "1.1963"
    assert PLAIN.printed_all(("mpjpe", "accel"), {"mpjpe": 1.0}) == "1.0 (-)"


@pytest.mark.parametrize(
    ("decimals", "match"),
    [
        ({"mpje": 1}, "decimals for an unknown metric 'mpje'; did you mean mpjpe"),
        ({"mpjpe:wrist": 1}, "unknown metric 'mpjpe:wrist'"),
        ({"mpjpe": -1}, "mpjpe cannot have so many decimals; found -1; expected 0 to 9"),
        ({"mpjpe": 10}, "found 10"),
    ],
)
def test_decimals_that_cannot_be_printed_are_refused(decimals: dict[str, int], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        Style(decimals=decimals)


def test_brackets() -> None:
    assert bracketed(["1"]) == "1"
    assert bracketed(["1", "-", "2"]) == "1 (-, 2)"
    assert bracketed(["-", "-"]) == "-"


def test_deviation_and_confidence_interval() -> None:
    """Three seeds: t of two degrees of freedom is 4.302653, so that half is 4.302653 / sqrt 3."""
    net = table().rows[0].entries[1]
    assert PLAIN.deviation(net, "mpjpe") == 1.0
    assert Style(spread="ci").deviation(net, "mpjpe") == pytest.approx(2.484138, abs=1e-6)
    assert Style(spread="none").deviation(net, "mpjpe") is None
    assert Style(spread="ci").deviation(table().rows[0].entries[0], "mpjpe") is None


def test_a_difference_is_significant_when_its_interval_leaves_out_zero() -> None:
    style = Style(significance=True)
    gains = [(-0.3, -0.1), (0.1, 0.3), (-0.1, 0.1), (0.0, 0.2), (-0.2, 0.0)]
    said = [style.significant(Number(1.0, gain=Gain(0.0, *gain, 5))) for gain in gains]
    assert said == [True, True, False, False, False]
    assert not style.significant(Number(1.0))
    assert not style.significant(None)
    assert not PLAIN.significant(Number(1.0, gain=Gain(-1.0, -2.0, -0.5, 5)))


def test_default_in_every_format() -> None:
    assert plain(table(), PLAIN)[1:6] == [
        "               Lin             net                   old",
        "D              **70.0 (1.4)**  **70.0 +-1.0 (1.3)**  quoted",
        "  published      54.8 (-)         -                  60.0 (-)",
        "S  [stand-in]   _80.0 (2.0)_   **75.0 (3.0)**         -",
        "",
    ]
    assert r"net & \textbf{70.0} & {\scriptsize \,$\pm$\,1.0} & 1.3 " in latex(table())
    assert "| net | **70.0** ± 1.0 (1.3) | - | **75.0** (3.0) | - |" in markdown(table())


def test_marks_follow_the_decimals() -> None:
    made = plain(table(), Style(decimals={"mpjpe": 2}))
    assert made[2].split() == ["D", "_70.04", "(1.4)_", "**69.96", "+-1.00", "(1.3)**", "quoted"]
    coarse = styled(table(), Style(decimals={"mpjpe": 0}))
    assert [e.marks.get("mpjpe") for e in coarse.rows[0].entries] == ["best", "best", None]


def test_ranked_is_what_is_better_and_no_cost() -> None:
    entries = [
        entry(0, numbers={"pck@0.2": Number(90.0), "macs": Number(1.0)}),
        entry(1, numbers={"pck@0.2": Number(95.0), "macs": Number(2.0)}),
        entry(0, numbers={"pck@0.2": Number(99.0)}, keyframes=False),
    ]
    assert ranked("pck@0.2", entries) == {0: "second", 1: "best"}
    assert ranked("macs", entries) == {}
    assert ranked("pck@0.2", entries[1:]) == {}


def test_marks_can_be_fewer() -> None:
    bold = plain(table(), Style(marks="bold"))
    assert "_80.0 (2.0)_" not in "\n".join(bold)
    assert "**75.0 (3.0)**" in "\n".join(bold)
    assert any(line.startswith("**: best, of the methods") for line in bold)
    none = "\n".join(plain(table(), Style(marks="none")))
    assert "**" not in none
    assert "best" not in none
    assert r"\textbf{7" not in latex(table(), Style(marks="none"))
    assert "**7" not in markdown(table(), Style(marks="none"))


def test_spread_can_be_an_interval_or_nothing() -> None:
    said = "half of the 95 % confidence interval of the mean over seeds"
    interval = Style(spread="ci")
    text = "\n".join(plain(table(), interval))
    assert "70.0 +-2.5 (1.3)" in text
    assert f"+-: {said}" in text
    assert rf"$\pm$: {said}".replace("%", r"\%") in latex(table(), interval)
    assert "± 2.5 (1.3)" in markdown(table(), interval)
    for made in (table(), table("metrics")):
        for drawn in (latex, markdown):
            assert "over seeds" not in drawn(made, Style(spread="none"))
        assert "+-" not in "\n".join(plain(made, Style(spread="none")))


def test_published_values_can_be_left_out_with_what_has_nothing_else() -> None:
    style = Style(published=False)
    for text in ("\n".join(plain(table(), style)), latex(table(), style), markdown(table(), style)):
        assert "54.8" not in text
        assert "published" not in text.replace("compared with published values", "")
        assert "quoted" not in text
        assert "no code exists" not in text
    only = replace(
        table(),
        config=CONFIG.model_copy(update={"columns": COLUMNS[2:]}),
        rows=tuple(replace(row, entries=row.entries[2:]) for row in table().rows),
    )
    with pytest.raises(BadInput, match="t: nothing is left without published numbers"):
        styled(only, style)


def test_standins_can_be_left_out() -> None:
    style = Style(standins=False)
    for text in (
        "\n".join(plain(table(), style)),
        latex(table(), style),
        markdown(table(), style),
        csv(table(), style),
    ):
        assert "75.0" not in text
        assert "stand-in" not in text
    only = replace(table(), rows=table().rows[1:])
    for drawn in (latex, markdown, csv):
        with pytest.raises(BadInput, match="t: nothing is left without stand-ins"):
            drawn(only, style)


def test_significance_bears_a_sign_and_says_so() -> None:
    style = Style(significance=True)
    said = "the 95 % interval of the difference to Lin leaves out 0"
    text = "\n".join(plain(table(), style))
    assert "**70.0^ +-1.0 (1.3)**" in text
    assert f"^: {said}" in text
    assert r"net | **70.0**<sup>\*</sup> ± 1.0 (1.3) |" in markdown(table(), style)
    assert rf"\*: {said}" in markdown(table(), style)
    made = latex(table(), style)
    assert r"net & \textbf{70.0} & $^*${\scriptsize \,$\pm$\,1.0} & 1.3 & {\scriptsize " in made
    assert r"Lin & \textbf{70.0} & \phantom{$^*$} & 1.4 &" in made
    assert rf"{{*}}: {said}".replace("%", r"\%") in made
    assert "leaves out" not in latex(table())


def test_units_and_arrows_in_heads() -> None:
    style = Style(units=True, arrows=True)
    own = "MPJPE (mm) \u2193 Accel (mm/frame^2) \u2193"
    assert " ".join(plain(table("metrics"), style)[2].split()) == f"{own} {own}"
    assert "| method | MPJPE (mm) \u2193 | Accel (mm/frame^2) \u2193 |" in markdown(
        table("metrics"), style
    )
    made = latex(table(), style)
    assert r"MPJPE (mm) $\downarrow$" in made
    assert r"\shortstack{Accel\\(mm/frame\textsuperscript{2}) $\downarrow$}" in made
    assert r"\downarrow" not in latex(table(), Style(arrows=False))


def test_csv_is_never_rounded_or_thinned() -> None:
    style = Style(
        decimals={"mpjpe": 0}, marks="none", spread="none", published=False, significance=True
    )
    assert csv(table(), style) == csv(table())
    frame = pd.read_csv(io.StringIO(csv(table())), keep_default_na=False, dtype=str)
    assert frame[(frame.column == "net") & (frame.dataset == "d")]["mean"].tolist() == [
        "69.96",
        "1.3",
    ]
    old = frame[frame.column == "old"]
    # What is quoted stands where it has a published number.
    assert old[
        ["dataset", "metric", "published", "status", "reason", "method"]
    ].values.tolist() == [
        ["d", "mpjpe", "60.0", "quoted", "no code exists", ""],
        ["d", "accel", "", "quoted", "no code exists", ""],
    ]


def test_write_some_formats_in_a_style(tmp_path: Path) -> None:
    style = Style(decimals={"mpjpe": 3})
    paths = write(table(), tmp_path, ("csv", "tex"), style)
    assert [path.name for path in paths] == ["t.csv", "t.tex"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.tex"]
    assert "69.960" in paths[1].read_text(encoding="utf-8")
    assert paths[0].read_text(encoding="utf-8") == csv(table())
    with pytest.raises(BadInput, match="unknown format 'latex'"):
        write(table(), tmp_path / "none", ("tex", "latex"))
    assert not (tmp_path / "none").exists()


@settings(deadline=None, max_examples=50)
@given(
    value=st.floats(-1e6, 1e6),
    decimals=st.integers(0, 9),
)
def test_a_printed_number_is_the_number_rounded(value: float, decimals: int) -> None:
    text = Style(decimals={"mpjpe": decimals}).printed("mpjpe", value)
    assert abs(float(text) - value) <= 0.5 * 10**-decimals + 1e-9
    assert len(text.partition(".")[2]) == decimals
    assert not (float(text) == 0 and text.startswith("-"))


@settings(deadline=None, max_examples=50)
@given(sd=st.floats(1e-6, 1e3), seeds=st.integers(2, 50))
def test_the_interval_shrinks_to_that_of_many_seeds(sd: float, seeds: int) -> None:
    """Never narrower than with a normal distribution, nor wider than the one of two seeds."""
    one = entry(1, numbers={"mpjpe": Number(1.0, sd)}, seeds=seeds)
    half = Style(spread="ci").deviation(one, "mpjpe")
    assert half is not None
    assert 1.959 * sd / math.sqrt(seeds) <= half <= 12.707 * sd / math.sqrt(seeds)
