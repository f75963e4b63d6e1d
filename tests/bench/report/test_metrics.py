"""Tables of several equal metrics, under two protocols and by action, drawn in every way."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.config import Column, DatasetConfig, Row, TableConfig, table_config
from bench.contracts import BadInput
from bench.data.expmap import H36M_ACTIONS
from bench.report import sentences
from bench.report.build import build
from bench.report.csv import csv
from bench.report.latex import latex
from bench.report.markdown import markdown
from bench.report.table import Table
from bench.report.terminal import show
from bench.results import Cell, ClipScore, Planned, Result, Scored
from bench.stats import weighted_means

AVERAGE, HORIZON = "h36m-average", "h36m-horizon"
CONFIG = TableConfig(
    title="Motion prediction",
    layout="metrics",
    metrics=("mpjpe@80", "mpjpe@400"),
    details=("mpjpe@1000",),
    protocol=AVERAGE,
    reference="still",
    columns=(
        Column(method="still"),
        Column(method="net", label="Net"),
        Column(method="old", weights="w1", label="Old"),
    ),
    rows=(
        {"dataset": "d", "published": {"net": (8.4, 37.4)}, "note": "a row's note"},
        {"dataset": "d", "protocol": HORIZON},
    ),
    source="a paper",
)
DATASETS = {
    "d": DatasetConfig(title="Human3.6M motion", estimator="-", space="3d", fps=25, skeleton="x")
}
FACTS = {"title": "Human3.6M motion", "origin": "motion capture", "fps": 25.0}


def cell(method: str, protocol: str, seed: int = 0) -> Cell:
    trained = {"windows": 4000} if method == "net" else None
    size = {"history": 10 if method == "net" else 50, "future": 25}
    weights = "w1" if method == "old" else ""
    return Cell(
        "d", "f", method, "base", 1, {}, trained, size, protocol, "quick", {}, "last", seed, weights
    )


def done(cell: Cell, walking: Sequence[float], eating: Sequence[float]) -> Result:
    """Two takes of walking, one of eating, with these errors at 80, 400 and 1000 ms."""
    clips = tuple(
        ClipScore(
            f"S5/{name}",
            f"S5/{name}",
            200,
            {f"mpjpe@{ms}": (e, 8.0) for ms, e in zip((80, 400, 1000), errors, strict=True)},
        )
        for name, errors in (("eating_1", eating), ("walking_1", walking), ("walking_2", walking))
    )
    metrics = weighted_means(clip.values for clip in clips)
    scored = Scored(24, 600, 32)
    return Result(
        cell, "done", metrics=metrics, clips=clips, scored=scored, parameters=7, dataset=FACTS
    )


RESULTS = (
    done(cell("still", AVERAGE), (20, 60, 90), (17, 57, 87)),
    done(cell("net", AVERAGE), (10, 40, 75), (7, 34, 72)),
    done(cell("net", AVERAGE, 1), (11, 40, 75), (8, 34, 72)),
    done(cell("old", AVERAGE), (12, 39, 80), (9, 30, 77)),
    done(cell("still", HORIZON), (30, 90, 140), (30, 90, 140)),
    done(cell("net", HORIZON), (14, 65, 115), (14, 65, 115)),
)
PLANNED = (*(result.cell for result in RESULTS), cell("old", HORIZON))


def placed(cells: Iterable[Cell], config: TableConfig) -> list[Planned]:
    """Every cell once, in the rows of its dataset and protocol and the column of its method."""
    return [
        Planned(row, column, cell)
        for row, about in enumerate(config.rows)
        for column, shown in enumerate(config.columns)
        for cell in {cell.key: cell for cell in cells}.values()
        if (about.dataset, config.protocol_of(about), shown.method, shown.weights)
        == (cell.dataset, cell.protocol, cell.method, cell.weights)
    ]


def table(
    results: Sequence[Result] = RESULTS,
    config: TableConfig = CONFIG,
    by: Literal["action"] | None = None,
) -> Table:
    planned = PLANNED if results is RESULTS else [result.cell for result in results]
    return build(
        "table4",
        config,
        results,
        planned=placed(planned, config),
        datasets=DATASETS,
        every_frame=(),
        by=by,
    )


def plain(width: int, made: Table, *, long: bool = False) -> str:
    stream = io.StringIO()
    show(made, Console(file=stream, width=width), long=long)
    return stream.getvalue()


SAID = """
protocols h36m-average and h36m-horizon, future 25 frames | budget quick | 2 seeds, last epoch kept
  | trained on 4 000 windows
"""


def test_a_column_for_every_metric_of_every_row() -> None:
    assert plain(99, table()) == (
        """\
Table 4  Motion prediction  MPJPE mm for horizons of 80 and 400 ms, lower is better
             Human3.6M motion
             h36m-average                  h36m-horizon
             80 ms          400 ms         80 ms     400 ms
still         19.0            59.0          _30.0_    _90.0_
Net          **9.5 +-0.7**   _38.0 +-0.0_  **14.0**  **65.0**
  published    8.4            37.4
Old          _11.0_         **36.0**       not run      -
"""
        + SAID
        + """\
**: best, _: second of each column; +-: standard deviation over seeds; published: a paper
Human3.6M motion (25 fps, history 50 frames, Net history 10): 24 clips, 32 joints; motion capture
published weights, not trained here: Old
not run: Old on Human3.6M motion, h36m-horizon
Human3.6M motion, h36m-average: a row's note
"""
    )


def test_actions_stand_before_their_average_and_protocols_apart() -> None:
    assert plain(99, table(by="action")) == (
        """\
Table 4  Motion prediction  MPJPE mm for horizons of 80 and 400 ms, lower is better
             Human3.6M motion
             h36m-average
             walking             eating             average
             80 ms     400 ms    80 ms    400 ms    80 ms    400 ms
still          20.0      60.0     17.0      57.0     19.0      59.0
Net          **10.5**   _40.0_   **7.5**   _34.0_   **9.5**   _38.0_
  published                                           8.4      37.4
Old           _12.0_   **39.0**   _9.0_   **30.0**  _11.0_   **36.0**

             Human3.6M motion
             h36m-horizon
             walking             eating              average
             80 ms     400 ms    80 ms     400 ms    80 ms     400 ms
still         _30.0_    _90.0_    _30.0_    _90.0_    _30.0_    _90.0_
Net          **14.0**  **65.0**  **14.0**  **65.0**  **14.0**  **65.0**
Old          not run      -      not run      -      not run      -
"""
        + SAID
        + """\
**: best, _: second of each column; standard deviations over seeds are in the CSV file; published:
  a paper
Human3.6M motion (25 fps, history 50 frames, Net history 10): walking: 16 clips, 32 joints; eating:
  8 clips, 32 joints; average: 24 clips, 32 joints; motion capture
published weights, not trained here: Old
not run: Old on Human3.6M motion, h36m-horizon
Human3.6M motion, h36m-average: a row's note
"""
    )


def test_narrower_parts_rows_then_drops_deviations() -> None:
    assert plain(50, table()).splitlines()[3:9] == [
        "             Human3.6M motion",
        "             h36m-average",
        "             80 ms          400 ms",
        "still         19.0            59.0",
        "Net          **9.5 +-0.7**   _38.0 +-0.0_",
        "  published    8.4            37.4",
    ]
    narrow = plain(40, table())
    assert "+-" not in narrow
    assert "Net          **9.5**   _38.0_\n" in narrow


@pytest.mark.parametrize("width", [30, 60, 80, 120])
@pytest.mark.parametrize("by", [None, "action"])
def test_no_line_is_wider_than_the_terminal(width: int, by: Literal["action"] | None) -> None:
    made = table(by=by)
    for long in (False, True):
        body = plain(width, made, long=long)
        assert max(map(len, body.splitlines())) <= max(width, 46 if long else 30)


def test_long_form_has_differences_below_every_metric() -> None:
    assert plain(150, table(), long=True).splitlines()[1:11] == [
        "",
        "Human3.6M motion, h36m-average",
        "                      80 ms               400 ms                 1000 ms                "
        "seeds  parameters  history  future",
        "still                  19.0                 59.0                   89.0                 "
        "1/1    7           50       25",
        "Net                   **9.5 +-0.7**        _38.0 +-0.0_          **74.0 +-0.0**         "
        "2/2    7           10       25",
        "  minus still [95 %]   -9.5 [-9.5, -9.5]   -21.0 [-23.0, -20.0]   -15.0 [-15.0, -15.0]",
        "  published             8.4                 37.4",
        "  minus published      +1.1                 +0.6",
        "Old                   _11.0_              **36.0**                _79.0_                "
        "1/1    7           50       25",
        "  minus still [95 %]   -8.0 [-8.0, -8.0]   -23.0 [-27.0, -21.0]   -10.0 [-10.0, -10.0]",
    ]


def test_every_metric_has_its_own_marks() -> None:
    net, old = table().rows[0].entries[1:]
    assert net.marks == {"mpjpe@80": "best", "mpjpe@400": "second", "mpjpe@1000": "best"}
    assert old.marks == {"mpjpe@80": "second", "mpjpe@400": "best", "mpjpe@1000": "second"}


def test_markdown() -> None:
    lines = markdown(table()).splitlines()
    assert lines[:19] == [
        "**Table 4: Motion prediction**, MPJPE mm for horizons of 80 and 400 ms, lower is better",
        "",
        "**Human3.6M motion, h36m-average**",
        "",
        "| method | 80 ms | 400 ms |",
        "| :-- | --: | --: |",
        "| still | 19.0 | 59.0 |",
        "| Net | **9.5** ± 0.7 | <u>38.0</u> ± 0.0 |",
        "| &nbsp;&nbsp;published | 8.4 | 37.4 |",
        "| Old | <u>11.0</u> | **36.0** |",
        "",
        "**Human3.6M motion, h36m-horizon**",
        "",
        "| method | 80 ms | 400 ms |",
        "| :-- | --: | --: |",
        "| still | <u>30.0</u> | <u>90.0</u> |",
        "| Net | **14.0** | **65.0** |",
        "| Old | *not run* | - |",
        "",
    ]
    assert "- published weights, not trained here: Old" in lines


def test_markdown_by_action() -> None:
    assert markdown(table(by="action")).splitlines()[4:10] == [
        "| method | walking<br>80 ms | <br>400 ms | eating<br>80 ms | <br>400 ms "
        "| average<br>80 ms | <br>400 ms |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
        "| still | 20.0 | 60.0 | 17.0 | 57.0 | 19.0 | 59.0 |",
        "| Net | **10.5** | <u>40.0</u> | **7.5** | <u>34.0</u> | **9.5** | <u>38.0</u> |",
        "| &nbsp;&nbsp;published |  |  |  |  | 8.4 | 37.4 |",
        "| Old | <u>12.0</u> | **39.0** | <u>9.0</u> | **30.0** | <u>11.0</u> | **36.0** |",
    ]


def test_latex() -> None:
    text = latex(table())
    assert text[text.index(r"\toprule") : text.index(r"\bottomrule")] == (
        r"""\toprule
 & \multicolumn{6}{c}{Human3.6M motion} \\
\cmidrule(lr){2-7}
 & \multicolumn{4}{c}{h36m-average} & \multicolumn{2}{c}{h36m-horizon} \\
\cmidrule(lr){2-5}\cmidrule(lr){6-7}
{\scriptsize horizon in ms $\downarrow$} & \multicolumn{2}{c}{80} & """
        r"""\multicolumn{2}{c}{400} & 80 & 400 \\
\midrule
still & 19.0 &  & 59.0 &  & \underline{30.0} & \underline{90.0} \\
\addlinespace[2pt]
Net & \textbf{9.5} & {\scriptsize \,$\pm$\,0.7} & \underline{38.0} & """
        r"""{\scriptsize \,$\pm$\,0.0} & \textbf{14.0} & \textbf{65.0} \\
{\scriptsize \quad published} & {\scriptsize 8.4} &  & {\scriptsize 37.4} &  &  &  \\
\addlinespace[2pt]
Old & \underline{11.0} &  & \textbf{36.0} &  & \textit{not run} & -- \\
"""
    )
    assert "MPJPE in mm for horizons of 80 and 400 ms (lower is better).\nData: Human3.6M" in text


def test_latex_by_action_heads_panels_by_place_and_action() -> None:
    text = latex(table(by="action"))
    assert text.count(r"\begin{tabular}") == 2
    heads = r""" & \multicolumn{6}{c}{h36m-horizon} \\
\cmidrule(lr){2-7}
 & \multicolumn{2}{c}{walking} & \multicolumn{2}{c}{eating} & \multicolumn{2}{c}{average} \\
\cmidrule(lr){2-3}\cmidrule(lr){4-5}\cmidrule(lr){6-7}
{\scriptsize horizon in ms $\downarrow$} & 80 & 400 & 80 & 400 & 80 & 400 \\
"""
    assert heads in text


LONG = "Human3.6M / motion capture"


def titled(made: Table) -> Table:
    return replace(made, rows=tuple(replace(row, title=LONG) for row in made.rows))


def test_latex_breaks_a_title_above_narrow_columns_alone() -> None:
    """26 characters: wider than two columns, not than the six of both rows together."""
    assert rf"\multicolumn{{6}}{{c}}{{{LONG}}}" in latex(titled(table()))
    assert r"shortstack" not in latex(titled(table(by="action")))
    one = table(config=CONFIG.model_copy(update={"rows": CONFIG.rows[1:]}))
    assert r"\shortstack{Human3.6M / motion\\capture}" in latex(titled(one))


def many(actions: int) -> Table:
    """As many actions as papers have, of four horizons each."""
    config = CONFIG.model_copy(
        update={"metrics": tuple(f"mpjpe@{ms}" for ms in (80, 160, 320, 400)), "details": ()}
    )
    results = []
    scores = dict.fromkeys(config.metrics, (123.4, 1.0))
    for protocol in (AVERAGE, HORIZON):
        for method in ("still", "net"):
            clips = tuple(
                ClipScore(f"S5/{n}", f"S5/{H36M_ACTIONS[n]}_1", 9, scores) for n in range(actions)
            )
            metrics = weighted_means(clip.values for clip in clips)
            results.append(Result(cell(method, protocol), "done", metrics=metrics, clips=clips))
    return table(results, config, by="action")


def test_panels_that_do_not_fit_a_page_are_continued() -> None:
    text = latex(many(15))
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") > 1
    assert text.count(r"\addtocounter{table}{-1}") == text.count(r"\begin{table*}") - 1
    assert text.count(r"\label") == text.count(r"\begin{minipage}") == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize(
    "made",
    [table(), table(by="action"), many(15), titled(table()), titled(many(15))],
    ids=["a", "b", "c", "d", "e"],
)
def test_latex_compiles_within_its_page(made: Table, tmp_path: Path) -> None:
    (tmp_path / "made.tex").write_text(latex(made), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "made.tex"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull" not in run.stdout
    assert "too large" not in run.stdout


def test_csv() -> None:
    frame = pd.read_csv(io.StringIO(csv(table(by="action"))), keep_default_na=False, dtype=str)
    assert list(dict.fromkeys(frame.action)) == ["walking", "eating", ""]
    assert set(frame.interval) == set(frame.intervals) == {""}
    walking = frame[
        (frame.action == "walking") & (frame.method == "net") & (frame.protocol == AVERAGE)
    ]
    assert walking["mean"].tolist() == ["10.5", "40.0", "75.0"]
    assert walking["gain"].tolist() == ["-9.5", "-20.0", "-15.0"]
    assert walking["mark"].tolist() == ["best", "second", "best"]
    first = walking.iloc[0]
    assert (first.history, first.future, first.weights) == ("10", "25", "")
    assert (first.clips, first.frames, first.missed) == ("16", "400", "")
    assert set(frame[frame.method == "old"].weights) == {"w1"}
    assert set(frame[frame.action == ""].missed) == {"0", ""}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["still", "net", "old"]),
            st.sampled_from([AVERAGE, HORIZON]),
            st.floats(1, 99),
        ),
        max_size=8,
    )
)
def test_two_protocols_never_stand_in_one_column(
    given: list[tuple[str, str, float]],
) -> None:
    """Whatever results there are, a row holds those of its own protocol and no others."""
    results = {
        (method, protocol): done(cell(method, protocol), (e, e, e), (e, e, e))
        for method, protocol, e in given
    }
    for config in (CONFIG, CONFIG.model_copy(update={"rows": CONFIG.rows[:1]})):
        made = table(tuple(results.values()), config)
        for row in made.rows:
            for entry in row.entries:
                mine = results.get((entry.column.method, row.protocol))
                assert (entry.state == "done") == (mine is not None)
                if mine is not None:
                    assert entry.numbers["mpjpe@80"].mean == mine.metrics["mpjpe@80"]
                    assert entry.cell is not None
                    assert entry.cell.protocol == row.protocol


def test_a_row_of_one_action_in_the_file() -> None:
    rows = (Row(dataset="d", action="eating"), Row(dataset="d"))
    made = table(config=CONFIG.model_copy(update={"rows": rows}), by="action")
    assert [row.action for row in made.rows] == ["eating", "walking", ""]


def test_two_rows_of_the_same_are_refused() -> None:
    rows = (Row(dataset="d"), Row(dataset="d", protocol=AVERAGE))
    with pytest.raises(BadInput, match="2 rows of d under h36m-average"):
        table(config=CONFIG.model_copy(update={"rows": rows}))


def test_weights_choose_the_column() -> None:
    columns = (Column(method="net"), Column(method="net", weights="w1", label="published net"))
    config = CONFIG.model_copy(update={"columns": columns, "rows": (Row(dataset="d"),)})
    mine = replace(cell("net", AVERAGE), weights="w1")
    other = replace(cell("net", AVERAGE), weights="w2")
    results = [done(one, (v, v, v), (v, v, v)) for one, v in ((mine, 5.0), (other, 6.0))]
    trained = done(cell("net", AVERAGE), (7, 7, 7), (7, 7, 7))
    entries = table([*results, trained], config).rows[0].entries
    assert [entry.numbers["mpjpe@80"].mean for entry in entries] == [7.0, 5.0]


def test_a_failure_is_said_once_for_all_actions() -> None:
    failed = Result(cell("net", AVERAGE), "failed", error="out of memory")
    made = table([RESULTS[0], failed], by="action")
    assert sentences.warnings(made) == [
        "failed: Net on Human3.6M motion, h36m-average: out of memory"
    ]


def test_a_horizon_beyond_a_method_s_future_is_a_dash_and_no_warning() -> None:
    short = cell("net", AVERAGE)
    short = replace(short, geometry={**short.geometry, "future": 8})
    whole = done(short, (10, 40, 75), (7, 34, 72))
    metrics = {"mpjpe@80": whole.metrics["mpjpe@80"]}
    made = table([RESULTS[0], replace(whole, metrics=metrics)])
    assert sentences.warnings(made) == []
    assert made.rows[0].entries[1].numbers.keys() == {"mpjpe@80"}
    # One that it does reach has to be there.
    reached = replace(short, geometry={**short.geometry, "future": 10})
    made = table([RESULTS[0], replace(whole, cell=reached, metrics=metrics)])
    assert sentences.warnings(made) == [
        "no number: Net on Human3.6M motion, h36m-average: 400 ms is missing or not finite"
    ]


def test_rows_that_stand_on_different_clips_are_told_apart() -> None:
    fewer = replace(RESULTS[4], scored=Scored(8, 200, 32))
    made = table([RESULTS[0], fewer])
    assert sentences.basis(made) == [
        "Human3.6M motion (25 fps): h36m-average: 24 clips, 32 joints; "
        "h36m-horizon: 8 clips, 32 joints; motion capture"
    ]
    assert sentences.settings(made)[0] == (
        "protocols h36m-average and h36m-horizon, history 50 frames, future 25 frames"
    )


def test_measure_of_mixed_metrics() -> None:
    config = CONFIG.model_copy(update={"metrics": ("pck@0.2", "mpjpe", "accel")})
    assert sentences.measure(table(config=config)) == (
        "PCK@0.2 %, MPJPE mm, Accel mm/frame^2, higher is better in PCK@0.2, lower in MPJPE and "
        "Accel"
    )


def test_table_4_quotes_the_papers() -> None:
    config = table_config("table4")
    assert config.layout == "metrics"
    assert config.metrics == ("mpjpe@80", "mpjpe@160", "mpjpe@320", "mpjpe@400")
    average, horizon = config.rows
    assert [config.protocol_of(row) for row in config.rows] == [AVERAGE, HORIZON]
    published = [column.key for column in config.columns if not column.beyond]
    assert list(average.published) == published
    # The text: the method outperforms STSGCN and STGAGCN, at every horizon.
    ours = average.published["mixsynthformer-prediction"]
    for other in ("stsgcn", "stgagcn"):
        theirs = average.published[other]
        assert list(ours) == list(theirs) == list(config.metrics)
        assert all(ours[metric].value < theirs[metric].value for metric in config.metrics)
    assert list(horizon.published) == ["simlpe"]
    assert config.reference in {column.key for column in config.columns}
