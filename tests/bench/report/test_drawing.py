"""One small table, drawn in every way."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from bench.config import Column, TableConfig
from bench.report import write
from bench.report.csv import csv
from bench.report.latex import latex
from bench.report.markdown import escape, markdown
from bench.report.table import DatasetRow, Entry, Number, Run, Table
from bench.report.terminal import draw, show
from bench.results import Cell, Scored
from bench.stats import Gain

AWKWARD = '100 % of a_b & c#d {e} $f$ ~x ^y \\z <u> |v| [w] *q* "r" `s` -- é 骨'
COLUMNS = (
    Column(method="estimator", label="every frame", beyond=True),
    Column(method="linear"),
    Column(method="net", label="Net"),
)
CONFIG = TableConfig(
    title="Recovery from every 10th frame",
    metrics=("mpjpe", "accel"),
    details=("pampjpe",),
    interval=10,
    protocol="deciwatch",
    reference="linear",
    columns=COLUMNS,
    rows=(),
    source="a paper, Table 3",
    notes=("a note",),
)


LEADING = ("mpjpe", "accel")
SIZE = {"interval": 10, "intervals": 10}


def cell(dataset: str, method: str, seed: int = 0) -> Cell:
    trained = {"epochs": 3} if method == "net" else None
    return Cell(
        dataset, "f", method, "base", 1, {}, trained, SIZE, "deciwatch", "quick", {}, "last", seed
    )


def small() -> Table:
    scored = Scored(223, 506875, 17, missed=12)
    first = (
        Entry(
            COLUMNS[0],
            "done",
            keyframes=False,
            numbers={"mpjpe": Number(72.71), "accel": Number(26.6), "pampjpe": Number(50.0)},
            published={"mpjpe": 54.6, "accel": 19.2},
            seeds=1,
            planned=1,
            parameters=0,
            scored=scored,
            cell=cell("h36m", "estimator"),
        ),
        Entry(
            COLUMNS[1],
            "done",
            keyframes=True,
            numbers={"mpjpe": Number(72.0), "accel": Number(1.4), "pampjpe": Number(49.0)},
            published={"mpjpe": 54.8, "accel": 1.9},
            seeds=1,
            planned=1,
            marks={"mpjpe": "second"},
            parameters=0,
            scored=scored,
            cell=cell("h36m", "linear"),
        ),
        Entry(
            COLUMNS[2],
            "done",
            keyframes=True,
            numbers={
                "mpjpe": Number(70.94, 0.2, Gain(-1.06, -1.5, -0.6, 30)),
                "accel": Number(1.3, 0.04),
                "pampjpe": Number(48.0, 0.1),
            },
            published={"mpjpe": 50.9, "accel": 1.5},
            seeds=3,
            planned=3,
            marks={"mpjpe": "best"},
            parameters=103245,
            scored=scored,
            cell=cell("h36m", "net"),
        ),
    )
    second = (
        Entry(COLUMNS[0], "absent", keyframes=False),
        Entry(
            COLUMNS[1],
            "failed",
            keyframes=True,
            planned=1,
            reason="no [bold]memory[/bold]",
            cell=cell("pw3d", "linear"),
        ),
        Entry(
            COLUMNS[2],
            "not run",
            keyframes=True,
            published={"mpjpe": 91.2, "accel": 6.8},
            planned=3,
            cell=cell("pw3d", "net"),
        ),
    )
    rows = (
        DatasetRow(
            "h36m", "Human3.6M / FCN", 50, "deciwatch", LEADING, 10, first,
            scored=scored, geometry=SIZE,
        ),
        DatasetRow(
            "pw3d", "3DPW / SPIN", 30, "deciwatch", LEADING, 10, second,
            standin=True, geometry=SIZE,
        ),
    )  # fmt: skip
    return Table("table3", CONFIG, rows, Run(5, 1, 61.0, "bench report table3", Path("out")))


def awkward() -> Table:
    """Every text that comes from elsewhere is hard to print."""
    table = small()
    columns = tuple(column.model_copy(update={"label": AWKWARD[:24]}) for column in COLUMNS)
    rows = tuple(
        replace(
            row,
            title=AWKWARD,
            origin=AWKWARD,
            notes=(AWKWARD,),
            standin=True,
            entries=tuple(
                replace(entry, column=column, reason=AWKWARD if entry.reason else "")
                for entry, column in zip(row.entries, columns, strict=True)
            ),
        )
        for row in table.rows
    )
    config = CONFIG.model_copy(
        update={"title": AWKWARD, "notes": (AWKWARD,), "source": AWKWARD, "columns": columns}
    )
    return replace(table, name="a_b", config=config, rows=rows)


def plain(width: int, *, long: bool = False, table: Table | None = None) -> str:
    stream = io.StringIO()
    show(table or small(), Console(file=stream, width=width), long=long)
    return stream.getvalue()


FOOT = """
protocol deciwatch, K=10, Q=10 | budget quick | 3 seeds, last epoch kept
**: best, _: second, of the methods that see only keyframes; every frame: the estimator at all
  frames, for reference; +-: standard deviation over seeds; published: a paper, Table 3
stand-in: synthetic clips in place of data that is not on this machine, not to be compared with
  published values
Human3.6M / FCN (50 fps): 223 clips, 506 875 frames, 17 joints, 12 missed detections
failed: linear on 3DPW / SPIN: no [bold]memory[/bold]
not run: Net on 3DPW / SPIN
a note
5 cells run in 1 min 1 s, 1 from earlier | out/table3.tex .md .csv | `bench report table3` draws it
"""


def test_wide() -> None:
    assert plain(99) == (
        """\
Table 3  Recovery from every 10th frame  MPJPE mm (Accel mm/frame^2), lower is better
                         every frame  linear        Net
Human3.6M / FCN          72.7 (26.6)  _72.0 (1.4)_  **70.9 +-0.2 (1.3)**
  published              54.6 (19.2)   54.8 (1.9)     50.9 (1.5)
3DPW / SPIN  [stand-in]   -           failed        not run
  published               -             -             91.2 (6.8)
"""
        + FOOT
    )


def test_units_stand_at_the_right_edge() -> None:
    title, *lines = plain(140, long=True).splitlines()
    assert len(title) == max(map(len, lines[:5]))
    assert title.endswith("better")


def test_narrower_turns_the_table() -> None:
    lines = plain(60).splitlines()
    assert lines[:11] == [
        "Table 3  Recovery from every 10th frame",
        "MPJPE mm (Accel mm/frame^2), lower is better",
        "             Human3.6M / FCN       3DPW / SPIN",
        "                                   [stand-in]",
        "every frame    72.7 (26.6)          -",
        "  published    54.6 (19.2)          -",
        "linear        _72.0 (1.4)_         failed",
        "  published    54.8 (1.9)           -",
        "Net          **70.9 +-0.2 (1.3)**  not run",
        "  published    50.9 (1.5)          91.2 (6.8)",
        "",
    ]


def test_narrow_puts_datasets_below_each_other() -> None:
    lines = plain(40).splitlines()
    assert lines[3:9] == [
        "             Human3.6M / FCN",
        "every frame    72.7 (26.6)",
        "  published    54.6 (19.2)",
        "linear        _72.0 (1.4)_",
        "  published    54.8 (1.9)",
        "Net          **70.9 +-0.2 (1.3)**",
    ]
    assert lines[11:14] == [
        "             3DPW / SPIN",
        "             [stand-in]",
        "every frame   -",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("long", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, long: bool) -> None:
    assert all(len(line) <= width for line in plain(width, long=long).splitlines())


def test_long_form() -> None:
    assert plain(140, long=True).splitlines()[1:11] == [
        "",
        "Human3.6M / FCN",
        "             MPJPE     sd   Accel  PA-MPJPE  minus linear [95 %]  "
        "published    minus published  seeds  parameters  Q",
        "every frame    72.7    -    26.6   50.0       -                   "
        "54.6 (19.2)  +18.1 (+7.4)     1/1          0     10",
        "linear        _72.0_   -     1.4   49.0       -                   "
        "54.8 (1.9)   +17.2 (-0.5)     1/1          0     10",
        "Net          **70.9**  0.2   1.3   48.0      -1.1 [-1.5, -0.6]    "
        "50.9 (1.5)   +20.0 (-0.2)     3/3    103 245     10",
        "",
        "3DPW / SPIN  [stand-in]",
        "             MPJPE    sd  Accel  PA-MPJPE  minus linear [95 %]  "
        "published   minus published  seeds  parameters  Q",
        "every frame        -  -   -      -         -                     "
        "-          -                  -    -            -",
    ]


def test_thousands_are_not_parted() -> None:
    lines = plain(40).splitlines()
    assert "Human3.6M / FCN (50 fps): 223 clips," in lines
    assert "  506 875 frames, 17 joints, 12 missed" in lines


def test_a_terminal_gets_styles_and_no_marks() -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, width=120, force_terminal=True, color_system="standard", _environ={}
    )
    show(small(), console)
    text = stream.getvalue()
    assert "\x1b[1m70.9 +-0.2 (1.3)\x1b[0m" in text
    assert "\x1b[4m72.0 (1.4)\x1b[0m" in text
    assert "\x1b[2m50.9 (1.5)\x1b[0m" in text
    assert "**" not in text
    assert "bold: best, underlined: second" in text
    shown = Text.from_ansi(text).plain.splitlines()
    assert shown == [line.plain for line in draw(small(), width=120, plain=False)]


def test_markup_in_foreign_text_stays_text() -> None:
    assert "no [bold]memory[/bold]" in plain(120)


def test_latex() -> None:
    text = latex(small())
    assert r"\label{tab:table3}" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    assert body == (
        r"""\toprule
 & \multicolumn{4}{c}{Human3.6M / FCN} & \multicolumn{2}{c}{3DPW / SPIN$^\dagger$} \\
\cmidrule(lr){2-5}\cmidrule(lr){6-7}
 & \multicolumn{2}{c}{MPJPE $\downarrow$} & \multicolumn{2}{c}{Accel $\downarrow$} """
        r"""& MPJPE $\downarrow$ & Accel $\downarrow$ \\
\midrule
every frame & 72.7 &  & 26.6 &  & -- & -- \\
{\scriptsize \quad published} & {\scriptsize 54.6} &  & {\scriptsize 19.2} &  &  &  \\
\addlinespace[2pt]
linear & \underline{72.0} &  & 1.4 &  & \textit{failed} & -- \\
{\scriptsize \quad published} & {\scriptsize 54.8} &  & {\scriptsize 1.9} &  &  &  \\
\addlinespace[2pt]
Net & \textbf{70.9} & {\scriptsize \,$\pm$\,0.2} & 1.3 & {\scriptsize \,$\pm$\,0.0} """
        r"""& \textit{not run} & -- \\
{\scriptsize \quad published} & {\scriptsize 50.9} &  & {\scriptsize 1.5} &  """
        r"""& {\scriptsize 91.2} & {\scriptsize 6.8} \\
"""
    )
    caption = re.search(r"\\caption\{(.*?)\}\n\\label", text, re.DOTALL)
    assert caption is not None
    assert caption[1] == (
        r"""\textbf{Recovery from every 10th frame.} MPJPE in mm, """
        r"""Accel in mm/frame\textsuperscript{2} (lower is better).
Data: Human3.6M / FCN, 3DPW / SPIN$^\dagger$.
Protocol deciwatch, $K=10$, $Q=10$, budget quick, 3 seeds, last epoch kept.
Bold: best, underlined: second, of the methods that see only keyframes; every frame: """
        r"""the estimator at all frames, for reference; $\pm$: standard deviation over seeds; """
        r"""published: a paper, Table~3.
$^\dagger$Stand-in: synthetic clips in place of data that is not on this machine, not to be """
        r"""compared with published values."""
    )
    assert r"506\,875 frames" in text
    assert text.isascii()


def compile_latex(name: str, folder: Path) -> str:
    """Compile NAME.tex and return the log."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert (folder / f"{name}.pdf").is_file()
    return (folder / f"{name}.log").read_text(errors="replace")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_alone_and_in_a_paper(tmp_path: Path) -> None:
    many = replace(
        awkward(),
        rows=tuple(
            replace(row, dataset=f"{row.dataset}{i}") for i in range(4) for row in small().rows
        ),
    )
    for name, table in (("small", small()), ("awkward", awkward()), ("many", many)):
        (tmp_path / f"{name}.tex").write_text(latex(table), encoding="utf-8")
        assert "Overfull" not in compile_latex(name, tmp_path)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass[twocolumn]{article}\usepackage{booktabs}"
        r"\usepackage[textwidth=17.5cm,textheight=24cm]{geometry}"
        r"\begin{document}Before. \input{small} Between. \input{awkward} After.\end{document}"
    )
    assert "Overfull" not in compile_latex("paper", tmp_path)


def test_datasets_that_do_not_fit_follow_below() -> None:
    table = small()
    rows = tuple(replace(row, dataset=f"{row.dataset}{i}") for i in range(4) for row in table.rows)
    assert latex(replace(table, rows=rows)).count(r"\begin{tabular}") == 2
    assert latex(table).count(r"\begin{tabular}") == 1


def test_markdown() -> None:
    assert (
        markdown(small())
        == """\
**Table 3: Recovery from every 10th frame**, MPJPE mm (Accel mm/frame²), lower is better

| method | Human3.6M / FCN | published | 3DPW / SPIN (stand-in) | published |
| :-- | --: | --: | --: | --: |
| every frame | 72.7 (26.6) | 54.6 (19.2) | - | - |
| linear | <u>72.0</u> (1.4) | 54.8 (1.9) | *failed* | - |
| Net | **70.9** ± 0.2 (1.3) | 50.9 (1.5) | *not run* | 91.2 (6.8) |

- protocol deciwatch, K=10, Q=10, budget quick, 3 seeds, last epoch kept
- bold: best, underlined: second, of the methods that see only keyframes; every frame: the \
estimator at all frames, for reference; ±: standard deviation over seeds; published: a paper, \
Table 3
- stand-in: synthetic clips in place of data that is not on this machine, not to be compared \
with published values
- Human3.6M / FCN (50 fps): 223 clips, 506 875 frames, 17 joints, 12 missed detections
- failed: linear on 3DPW / SPIN: no \\[bold\\]memory\\[/bold\\]
- not run: Net on 3DPW / SPIN
- a note
"""
    )


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_escaped_markdown_is_one_line_without_bare_marks(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    bare = re.sub(r"\\.", "", escaped)
    assert not set(bare) & set("\\`*_{}[]<>#|~$")


def test_csv() -> None:
    frame = pd.read_csv(io.StringIO(csv(small())))
    # Three entries of three metrics, and two of the second dataset: one is neither planned
    # nor published.
    assert len(frame) == 5 * 3
    best = frame[(frame.method == "net") & (frame.dataset == "h36m")].set_index("metric")
    assert best.loc["mpjpe", ["mean", "sd", "gain", "gain_low", "gain_high"]].tolist() == [
        70.94,
        0.2,
        -1.06,
        -1.5,
        -0.6,
    ]
    assert best.loc["mpjpe", "published"] == 50.9
    assert pd.isna(best.loc["pampjpe", "published"])
    assert best["mark"].fillna("").tolist() == ["best", "", ""]
    assert best.loc["accel", "unit"] == "mm/frame^2"
    assert best["selection"].tolist() == ["last"] * 3
    assert set(frame.status) == {"done", "failed", "not run"}
    assert set(frame[frame.status == "failed"].reason) == {"no [bold]memory[/bold]"}
    assert frame[frame.dataset == "pw3d"].standin.all()
    header, first, *_ = csv(small()).splitlines()
    assert first.split(",")[header.split(",").index("frames")] == "506875"


def test_write(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    paths = write(small(), folder)
    assert [path.name for path in paths] == ["table3.tex", "table3.md", "table3.csv"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert paths[0].read_text() == latex(small())
    before = paths[1].read_text(encoding="utf-8")
    assert before == markdown(small())
    write(replace(small(), config=CONFIG.model_copy(update={"title": "Other"})), folder)
    assert "Other" in paths[1].read_text(encoding="utf-8")
    assert sorted(folder.iterdir()) == sorted(paths)
