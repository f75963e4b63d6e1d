"""Tables of many metrics: joint groups, costs, quoted columns, missing data, rows of their own."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.config import DatasetConfig, TableConfig
from bench.metrics import COSTS
from bench.report import quoting, sentences
from bench.report.build import build
from bench.report.csv import csv
from bench.report.latex import latex
from bench.report.markdown import markdown
from bench.report.style import Style
from bench.report.table import Table
from bench.report.terminal import show
from bench.results import Cell, ClipScore, Planned, Result, Scored

GROUPS = ("head", "wrist", "ankle")
PCK = (*(f"pck@0.2:{group}" for group in GROUPS), "pck@0.2", "pck@0.1")
COLUMNS: tuple[dict[str, Any], ...] = (
    {"name": "kfp", "label": "KFP (R18)", "quoted": "chooses keyframes by images"},
    {"name": "mapn", "label": "MAPN", "quoted": "chooses keyframes by images"},
    {"method": "linear"},
    {"method": "net", "label": "Net"},
)
ROWS: tuple[dict[str, Any], ...] = (
    {
        "dataset": "j",
        "published": {
            "kfp": {"pck@0.2:head": 94.7, "pck@0.2": {"value": 94.5, "note": "of 13 joints"}},
            "net": {"pck@0.2": 99.3, "macs": {"value": 0.4, "source": "its code"}},
        },
    },
    {"dataset": "b", "metrics": ("mpjpe", "total"), "published": {"net": [91.2]}},
)
CONFIG = TableConfig(
    title="2D pose estimation",
    layout="metrics",
    metrics=(*PCK, "macs"),
    protocol="deciwatch",
    reference="linear",
    columns=COLUMNS,
    rows=ROWS,
    source="a paper",
)
DATASETS = {
    "j": DatasetConfig(
        title="J / SimplePose", estimator="-", space="2d", fps=30, skeleton="x", gflops=11.96
    ),
    "b": DatasetConfig(
        title="B / SPIN (body model)", estimator="-", space="3d", fps=30, skeleton="x"
    ),
}
MISSING = {"b": "no files of B in any folder"}


def result(
    method: str, dataset: str, interval: int, seed: int, metrics: dict[str, float]
) -> Result:
    """Two clips with the same scores: intervals of differences have no width."""
    size = {"interval": interval, "intervals": 20 // interval}
    trained = {"windows": 4000} if method == "net" else None
    cell = Cell(
        dataset, "f", method, "p", 1, {}, trained, size, "deciwatch", "quick", {}, "last", seed
    )  # fmt: skip
    clips = tuple(
        ClipScore(name, name, 50, {metric: (value, 50.0) for metric, value in metrics.items()})
        for name in "ab"
    )
    cost = {"macs": 514e3, "parameters": 103245.0} if method == "net" else {"macs": 0.0}
    return Result(
        cell, "done", metrics=metrics, clips=clips, scored=Scored(2, 100, 15), cost=cost,
        parameters=7,
    )  # fmt: skip


def pck(value: float) -> dict[str, float]:
    """The share of right joints: more at the head, less at the ankle."""
    return dict(zip(PCK, (value + 0.02, value, value - 0.02, value, value - 0.1), strict=True))


RESULTS = (
    ("linear", result("linear", "j", 10, 0, pck(0.9))),
    ("net", result("net", "j", 10, 0, pck(0.96))),
    ("net", result("net", "j", 10, 1, pck(0.97))),
)


def table(config: TableConfig = CONFIG) -> Table:
    keys = [column.key for column in config.columns]
    planned = [Planned(0, keys.index(key), one.cell) for key, one in RESULTS if key in keys]
    return build(
        "table1",
        config,
        [one for _, one in RESULTS],
        planned=planned,
        datasets=DATASETS,
        every_frame=(),
        missing=MISSING,
    )


def plain(width: int, made: Table, **given: Any) -> str:
    stream = io.StringIO()
    show(made, Console(file=stream, width=width), **given)
    return stream.getvalue()


SAID = """
protocol deciwatch, K=10, Q=2 | budget quick | 2 seeds, last epoch kept | trained on 4 000 windows
**: best, _: second of each column, of the methods that see only keyframes; +-: standard deviation
  over seeds; published: a paper; published MACs of Net: its code
J / SimplePose (30 fps): 2 clips, 100 frames, 15 joints
quoted, not run: KFP (R18), MAPN: chooses keyframes by images
no data: B / SPIN (body model): no files of B in any folder
published PCK@0.2 of KFP (R18): of 13 joints
"""


def test_terminal() -> None:
    """MAPN has no published number at all, so that it has no line; a row has its own metrics."""
    assert plain(100, table()) == (
        """\
Table 1  2D pose estimation
PCK@0.2 %, PCK@0.1 %, MACs M/frame, MPJPE mm, Total G/frame, higher is better in PCK@0.2 and
PCK@0.1, lower in MPJPE
             J / SimplePose
             PCK@0.2
             head            wrist           ankle           avg             PCK@0.1         MACs
KFP (R18)    quoted                                             -
  published    94.7                                            94.5
linear        _92.0_          _90.0_          _88.0_          _90.0_          _80.0_         0.000
Net          **98.5 +-0.7**  **96.5 +-0.7**  **94.5 +-0.7**  **96.5 +-0.7**  **86.5 +-0.7**  0.514
  published                                                    99.3                          0.400

             B / SPIN (body model)
             MPJPE    Total
linear       no data  -
Net          no data  -
  published  91.2
"""
        + SAID
    )


def test_metrics_below_one_head_stay_together_in_blocks() -> None:
    """A row that does not fit stands apart from others; deviations go where they cost a block."""
    assert plain(56, table()).splitlines()[4:26] == [
        "             J / SimplePose",
        "             PCK@0.2",
        "             head      wrist     ankle     avg",
        "KFP (R18)    quoted                           -",
        "  published    94.7                          94.5",
        "linear        _92.0_    _90.0_    _88.0_    _90.0_",
        "Net          **98.5**  **96.5**  **94.5**  **96.5**",
        "  published                                  99.3",
        "",
        "             J / SimplePose",
        "             PCK@0.1   MACs",
        "linear        _80.0_   0.000",
        "Net          **86.5**  0.514",
        "  published            0.400",
        "",
        "             B / SPIN (body model)",
        "             MPJPE    Total",
        "linear       no data  -",
        "Net          no data  -",
        "  published  91.2",
        "",
        "protocol deciwatch, K=10, Q=2 | budget quick | 2 seeds,",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("long", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, long: bool) -> None:
    lines = plain(width, table(), long=long).splitlines()
    assert max(map(len, lines)) <= max(width, 46 if long else 40)


def test_states_and_costs() -> None:
    pose, body = table().rows
    assert [entry.state for entry in pose.entries] == ["quoted", "quoted", "done", "done"]
    assert [entry.state for entry in body.entries] == ["quoted", "quoted", "no data", "no data"]
    net = pose.entries[3].numbers
    assert net["macs"].mean == pytest.approx(0.514)
    assert net["parameters"].mean == pytest.approx(0.103245)
    # Every 10th frame of an estimator of 11.96 G, and the method.
    assert net["estimator"].mean == pytest.approx(1.196)
    assert net["total"].mean == pytest.approx(1.196514)
    assert all(net[cost].sd is None and net[cost].gain is None for cost in ("macs", "total"))
    assert "macs" not in pose.entries[3].marks


def test_what_costs_nothing_is_known_of_is_no_warning() -> None:
    """A dataset without an estimator's cost has no total; only errors can be missing."""
    config = CONFIG.model_copy(
        update={"rows": (CONFIG.rows[0].model_copy(update={"metrics": ("pck@0.1", "live")}),)}
    )
    assert sentences.warnings(table(config)) == []
    lacking = CONFIG.rows[0].model_copy(update={"metrics": ("pck@0.05",), "published": {}})
    assert sentences.warnings(table(CONFIG.model_copy(update={"rows": (lacking,)}))) == [
        "no number: linear on J / SimplePose: PCK@0.05 is missing or not finite",
        "no number: Net on J / SimplePose: PCK@0.05 is missing or not finite",
    ]


def test_costs_have_no_say_in_which_way_is_better() -> None:
    config = CONFIG.model_copy(
        update={"rows": (CONFIG.rows[0].model_copy(update={"metrics": None}),)}
    )
    assert sentences.measure(table(config)) == (
        "PCK@0.2 %, PCK@0.1 %, MACs M/frame, higher is better"
    )


def test_latex() -> None:
    text = latex(table())
    assert text[text.index(r"\toprule") : text.index(r"\bottomrule")] == (
        r"""\toprule
 & \multicolumn{11}{c}{J / SimplePose} & \multicolumn{2}{c}{B / SPIN (body model)} \\
\cmidrule(lr){2-12}\cmidrule(lr){13-14}
 & \multicolumn{8}{c}{PCK@0.2 $\uparrow$} & \multicolumn{3}{c}{} & \multicolumn{2}{c}{} \\
\cmidrule(lr){2-9}
 & \multicolumn{2}{c}{head} & \multicolumn{2}{c}{wrist} & \multicolumn{2}{c}{ankle} & """
        r"""\multicolumn{2}{c}{avg} & \multicolumn{2}{c}{PCK@0.1 $\uparrow$} & MACs & """
        r"""MPJPE $\downarrow$ & Total \\
\midrule
KFP (R18)$^\ddagger$ & {\scriptsize 94.7} &  & -- &  & -- &  & {\scriptsize 94.5} &  & -- &  """
        r"""& -- & -- & -- \\
\addlinespace[2pt]
linear & \underline{92.0} &  & \underline{90.0} &  & \underline{88.0} &  & \underline{90.0} &  """
        r"""& \underline{80.0} &  & 0.000 & \textit{no data} & -- \\
\addlinespace[2pt]
Net & \textbf{98.5} & {\scriptsize \,$\pm$\,0.7} & \textbf{96.5} & {\scriptsize \,$\pm$\,0.7} """
        r"""& \textbf{94.5} & {\scriptsize \,$\pm$\,0.7} & \textbf{96.5} & """
        r"""{\scriptsize \,$\pm$\,0.7} & \textbf{86.5} & {\scriptsize \,$\pm$\,0.7} & 0.514 & """
        r"""\textit{no data} & -- \\
{\scriptsize \quad published} &  &  &  &  &  &  & {\scriptsize 99.3} &  &  &  & """
        r"""{\scriptsize 0.400} & {\scriptsize 91.2} &  \\
"""
    )
    assert "$^\\ddagger$Quoted, not run: KFP (R18), MAPN: chooses keyframes by images.\\\\" in text
    assert "No data: B / SPIN (body model): no files of B in any folder." in text


def many(table: Table, copies: int) -> Table:
    """Rows of so many metrics that none fits, before one that does."""
    row, other = table.rows
    errors = ("mpjpe", "pampjpe", "accel", "mpvpe", "angle", "pixels")
    wide = replace(row, metrics=(*PCK, *COSTS, *errors))
    return replace(
        table, rows=(*(replace(wide, dataset=f"j{number}") for number in range(copies)), other)
    )


def test_a_row_that_is_too_wide_is_parted_and_stands_apart() -> None:
    text = latex(many(table(), 1))
    first, second, *rest = text.split(r"\begin{tabular}")[1:]
    # Deviations stay, as they make no more panels.
    assert r"\multicolumn{8}{c}{PCK@0.2 $\uparrow$}" in first
    assert "PCK@0.2" not in second
    # The label of no family has no line of heads above it.
    assert second.count(r"\cmidrule") == 1
    assert ["B / SPIN" in panel for panel in rest] == [False] * (len(rest) - 1) + [True]
    assert "J / SimplePose} " not in rest[-1]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_within_its_page(tmp_path: Path) -> None:
    long = [column.model_copy(update={"label": "a long name " * 6}) for column in CONFIG.columns]
    named = table()
    named = replace(named, config=CONFIG.model_copy(update={"columns": tuple(long)}))
    style = Style(units=True, significance=True, spread="ci", decimals={"pck": 3})
    for made, given in (
        (table(), Style()),
        (many(table(), 3), Style()),
        (named, style),
        (differences(), style),
    ):
        (tmp_path / "made.tex").write_text(latex(made, given), encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "made.tex"]
        run = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == 0, run.stdout[-2000:]
        assert "Overfull" not in run.stdout
        assert "too large" not in run.stdout


def test_markdown() -> None:
    assert markdown(table()).splitlines()[2:18] == [
        "**J / SimplePose**",
        "",
        "| method | PCK@0.2<br>head | <br>wrist | <br>ankle | <br>avg | <br>PCK@0.1 | <br>MACs |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
        "| KFP (R18) | *quoted* | - | - | - | - | - |",
        "| &nbsp;&nbsp;published | 94.7 |  |  | 94.5 |  |  |",
        "| linear | <u>92.0</u> | <u>90.0</u> | <u>88.0</u> | <u>90.0</u> | <u>80.0</u> | 0.000 |",
        "| Net | **98.5** ± 0.7 | **96.5** ± 0.7 | **94.5** ± 0.7 | **96.5** ± 0.7 "
        "| **86.5** ± 0.7 | 0.514 |",
        "| &nbsp;&nbsp;published |  |  |  | 99.3 |  | 0.400 |",
        "",
        "**B / SPIN (body model)**",
        "",
        "| method | MPJPE | Total |",
        "| :-- | --: | --: |",
        "| linear | *no data* | - |",
        "| Net | *no data* | - |",
    ]


def test_csv() -> None:
    frame = pd.read_csv(io.StringIO(csv(table())), keep_default_na=False, dtype=str)
    # Every row has its own metrics; MAPN, of which nothing is published, has no lines.
    assert frame.groupby(["dataset", "column"], sort=False).size().to_dict() == {
        ("j", "kfp"): 6,
        ("j", "linear"): 6,
        ("j", "net"): 6,
        ("b", "linear"): 2,
        ("b", "net"): 2,
    }
    macs = frame[(frame.column == "net") & (frame.metric == "macs")].iloc[0]
    assert (macs["mean"], macs.unit, macs.sd, macs.gain) == ("0.514", "M/frame", "", "")
    assert (macs.published, macs.published_source) == ("0.4", "its code")
    average = frame[(frame.column == "kfp") & (frame.metric == "pck@0.2")].iloc[0]
    assert (average.published_source, average.published_note) == ("a paper", "of 13 joints")
    assert (average.status, average.reason) == ("quoted", "chooses keyframes by images")
    body = frame[frame.dataset == "b"]
    assert set(body.status) == {"no data"}
    assert set(body.reason) == {"no files of B in any folder"}


def test_published_numbers_of_other_sources_and_with_notes() -> None:
    rows = (
        {
            "dataset": "j",
            "metrics": ("pck@0.2", "pck@0.1"),
            "published": {
                "linear": {"pck@0.2": {"value": 90, "note": "rounded", "source": "a report"}},
                "net": {"pck@0.2": {"value": 91, "note": "rounded"}, "pck@0.1": 80},
            },
        },
        {
            "dataset": "b",
            "metrics": ("pck@0.2",),
            "published": {"net": [92], "linear": {"pck@0.2": {"value": 1, "source": "a report"}}},
        },
    )
    config = TableConfig.model_validate({**CONFIG.model_dump(), "rows": rows})
    made = table(config)
    assert quoting.other_sources(made) == ["published of linear: a report"]
    assert quoting.reservations(made) == [
        "published PCK@0.2 of linear, Net on J / SimplePose: rounded"
    ]
    net = made.rows[0].entries[3]
    assert quoting.published(made, made.rows[0], net)["pck@0.2"].value == 91
    assert quoting.published(made, made.rows[0], replace(net, published={})) == {}


def intervals(layout: str = "metrics") -> Table:
    """One dataset at two K, with windows of equal length."""
    config = TableConfig.model_validate(
        {
            **CONFIG.model_dump(),
            "columns": COLUMNS[2:],
            "layout": layout,
            "metrics": ("pck@0.1",),
            "rows": [
                {"dataset": "j", "interval": 2, "published": {"net": [97.0]}},
                {"dataset": "j", "interval": 10},
            ],
        }
    )
    made = [
        (row, column, result(method, "j", k, 0, {"pck@0.1": value}))
        for row, k, values in ((0, 2, (0.95, 0.97)), (1, 10, (0.85, 0.87)))
        for column, (method, value) in enumerate(zip(("linear", "net"), values, strict=True))
    ]
    return build(
        "sweep",
        config,
        [one for *_, one in made],
        planned=[Planned(row, column, one.cell) for row, column, one in made],
        datasets=DATASETS,
        every_frame=(),
    )


def test_rows_that_differ_in_k_say_it_in_their_heads() -> None:
    assert plain(99, intervals()).splitlines()[:8] == [
        "sweep  2D pose estimation  PCK@0.1 %, higher is better",
        "             J / SimplePose",
        "             K=2       K=10",
        "             PCK@0.1   PCK@0.1",
        "linear        _95.0_    _85.0_",
        "Net          **97.0**  **87.0**",
        "  published    97.0",
        "",
    ]
    assert sentences.settings(intervals())[0] == "protocol deciwatch"
    assert sentences.basis(intervals()) == [
        "J / SimplePose (30 fps, Q=10 for K=2, Q=2 for K=10): 2 clips, 100 frames, 15 joints"
    ]
    lines = plain(99, intervals("entries")).splitlines()
    assert lines[2].split() == ["J", "/", "SimplePose,", "K=2", "_95.0_", "**97.0**"]
    text = latex(intervals())
    assert r" & \multicolumn{2}{c}{J / SimplePose} \\" in text
    assert "\n & $K=2$ & $K=10$ \\\\\n" in text
    assert "**J / SimplePose, K=10**" in markdown(intervals())
    frame = pd.read_csv(io.StringIO(csv(intervals())))
    assert frame.interval.tolist() == [2, 2, 10, 10]
    assert frame.intervals.tolist() == [10, 10, 2, 2]


def differences(layout: str = "metrics") -> Table:
    made = intervals(layout)
    config = made.config.model_copy(update={"differences": True, "reference": "linear"})
    return replace(made, config=config)


def test_differences_stand_below_each_method() -> None:
    assert plain(99, differences()).splitlines()[3:9] == [
        "                       PCK@0.1              PCK@0.1",
        "linear                  _95.0_               _85.0_",
        "Net                    **97.0**             **87.0**",
        "  minus linear [95 %]    +2.0 [+2.0, +2.0]    +2.0 [+2.0, +2.0]",
        "  published              97.0",
        "",
    ]
    said = "minus linear: the difference, with its 95 % interval over recordings"
    assert said in " ".join(plain(300, differences()).splitlines())
    assert said not in " ".join(plain(300, intervals()).splitlines())


def test_differences_in_every_form() -> None:
    assert plain(99, differences("entries")).splitlines()[1:8] == [
        "                       linear  Net",
        "J / SimplePose, K=2    _95.0_  **97.0**",
        "  minus linear [95 %]    -       +2.0 [+2.0, +2.0]",
        "  published              -       97.0",
        "J / SimplePose, K=10   _85.0_  **87.0**",
        "  minus linear [95 %]    -       +2.0 [+2.0, +2.0]",
        "",
    ]
    small = r"{\scriptsize +2.0 [+2.0, +2.0]}"
    label = r"{\scriptsize \quad minus linear {[}95 \%{]}}"
    assert rf"{label} & {small} & {small} \\" in latex(differences())
    assert rf"{label} & {small} & {small} \\" in latex(differences("entries"))
    assert r"| &nbsp;&nbsp;minus linear \[95 %\] | +2.0 [+2.0, +2.0] |" in markdown(differences())
    assert (
        "| method | J / SimplePose, K=2 | minus linear \\[95 %\\] | published "
        "| J / SimplePose, K=10 | minus linear \\[95 %\\] | published |"
    ) in markdown(differences("entries"))
    assert "| Net | **97.0** | +2.0 [+2.0, +2.0] | 97.0 | **87.0** |" in markdown(
        differences("entries")
    )


def test_a_difference_beside_deviations_spans_both_columns() -> None:
    made = table(CONFIG.model_copy(update={"differences": True}))
    assert r" & \multicolumn{2}{r}{{\scriptsize +6.5 [+6.5, +6.5]}} & " in latex(made)
    worse = table(CONFIG.model_copy(update={"differences": True, "reference": "net"}))
    assert r"{\scriptsize $-$6.5 [$-$6.5, $-$6.5]}" in latex(worse)
    assert "minus Net [95 %]" in plain(150, worse)  # as the column is labelled
