"""Figures against the sampling interval: what is drawn, and that it repeats."""

from __future__ import annotations

from pathlib import Path

from bench.config import Column, DatasetConfig, Published, Row, TableConfig
from bench.report.build import build
from bench.report.figure import _points, against_interval
from bench.report.table import Table
from bench.results import Cell, ClipScore, Planned, Result, Scored

DATASET = DatasetConfig(
    title="D / FCN", estimator="FCN", space="3d", fps=50, skeleton="x", gflops=6.0
)


def table() -> Table:
    rows = tuple(
        Row(
            dataset="d",
            interval=interval,
            intervals=20 // interval,
            published={"net": {"mpjpe": Published(value=50.0 + interval)}},
        )
        for interval in (5, 10)
    )
    config = TableConfig(
        title="D", metrics=("mpjpe",), details=("macs", "total"), protocol="full",
        reference="linear", columns=(Column(method="linear"), Column(method="net")), rows=rows,
        source="s",
    )  # fmt: skip
    results, planned = [], []
    for number, row in enumerate(rows):
        for column, method in enumerate(("linear", "net")):
            for seed in range(1 + column):
                size = {"interval": row.interval or 0, "intervals": row.intervals or 0}
                cell = Cell(
                    "d", "f", method, "p", 1, {}, None, size, "full", "quick", {}, "last", seed
                )
                value = 60.0 + number + seed
                clips = (ClipScore("a", "a", 9, {"mpjpe": (value, 9.0)}),)
                scored = Scored(1, 9, 3, sampled=0.1)
                metrics, cost = {"mpjpe": value}, {"macs": 1e6}
                made = Result(cell, "done", metrics=metrics, clips=clips, scored=scored, cost=cost)
                results.append(made)
                planned.append(Planned(number, column, cell))
    return build(
        "sweep-d", config, results, planned=planned, datasets={"d": DATASET}, every_frame=()
    )


def test_points_are_means_deviations_and_what_was_published() -> None:
    points = _points(table(), ["mpjpe", "total"])
    net = points[(points["method"] == "net") & (points["metric"] == "mpjpe")]
    here = net[net["origin"] == "here"].sort_values("K")
    assert list(here["K"]) == [5, 10]
    assert list(here["value"]) == [60.5, 61.5]
    assert list(here["sd"].round(4)) == [0.7071, 0.7071]
    assert list(net[net["origin"] == "published"]["value"]) == [55.0, 60.0]
    total = points[(points["method"] == "linear") & (points["metric"] == "total")]
    # 6 G per frame of the estimator at every K-th frame, and 0.001 G of the method (Eq. 15).
    assert list(total["value"].round(4)) == [1.201, 0.601]


def test_the_same_table_gives_the_same_files(tmp_path: Path) -> None:
    first = against_interval(table(), tmp_path / "one")
    again = against_interval(table(), tmp_path / "two")
    assert [path.name for path in first] == ["sweep-d.pdf", "sweep-d.svg", "sweep-d.png"]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, again, strict=True))
    svg = (tmp_path / "one/sweep-d.svg").read_text()
    assert "<svg" in svg
