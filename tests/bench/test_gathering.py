"""Every table that has results, written for a paper."""

from pathlib import Path

import pytest

from bench.config import table_config
from bench.contracts import BadInput
from bench.gathering import gather
from bench.plans import Plan, save
from bench.report.style import PLAIN
from bench.results import Cell, Planned, Result, Results


def cell(method: str) -> Cell:
    return Cell(
        dataset="pw3d-spin",
        fingerprint="f",
        method=method,
        preset="default",
        revision=1,
        options={},
        training=None,
        geometry={"interval": 10, "intervals": 5},
        protocol="deciwatch",
        budget="quick",
        limits={},
        selection="last",
        seed=0,
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three tables: one with a result, one that failed, one that was never computed."""
    folder, stored = tmp_path / "out", Results(tmp_path / "out")
    config = table_config("table3")
    for name, method in (("table3", "linear"), ("broken", "ridge"), ("planned", "nearest")):
        save(Plan(name, config, (Planned(1, 2, cell(method)),)), folder)
    stored.put(Result(cell("linear"), "done", metrics={"mpjpe": 61.2345, "accel": 1.9}))
    stored.put(Result(cell("ridge"), "failed", error="RuntimeError: on purpose"))
    return folder


def test_only_tables_with_results_are_written(results: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper"
    assert gather([], ("tex", "md"), results, paper, PLAIN)[0] == [
        paper / "table3.tex",
        paper / "table3.md",
    ]
    assert sorted(path.name for path in paper.iterdir()) == ["table3.md", "table3.tex"]
    assert "61.2" in (paper / "table3.md").read_text(encoding="utf-8")


def test_a_named_table_is_written_once(results: Path, tmp_path: Path) -> None:
    names = ["table3", "broken", "table3"]
    written, problems = gather(names, ("csv",), results, tmp_path / "p", PLAIN)
    assert (written, problems) == ([tmp_path / "p/table3.csv"], [])


def test_a_table_that_was_not_run_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        gather(["table3", "table4"], ("tex",), results, tmp_path / "p", PLAIN)
    assert str(caught.value) == (
        f"{results}: 'table4' was not run into this folder; found broken, planned, table3; "
        f"bench run table4 --out {results}"
    )
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("names", [["broken"], ["planned"], ["planned", "broken"]])
def test_tables_without_results_are_refused(results: Path, tmp_path: Path, names) -> None:
    with pytest.raises(BadInput, match="no table has results; bench run computes them"):
        gather(names, ("tex",), results, tmp_path / "p", PLAIN)
    assert not (tmp_path / "p").exists()


def test_a_folder_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: no table has results; .*see --results"):
        gather([], ("tex",), tmp_path / "nowhere", tmp_path / "p", PLAIN)
    with pytest.raises(BadInput, match="'table3' was not run into this folder; found no table"):
        gather(["table3"], ("tex",), tmp_path / "nowhere", tmp_path / "p", PLAIN)
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown format 'docx'; known: csv, md, tex"):
        gather([], ("tex", "docx"), results, tmp_path / "p", PLAIN)
    assert not (tmp_path / "p").exists()


def test_a_folder_that_cannot_be_written_is_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        gather([], ("tex",), results, tmp_path / "p", PLAIN)


def test_a_damaged_plan_is_named_and_stops_no_other(results: Path, tmp_path: Path) -> None:
    (results / "plans/broken.json").write_text("{")
    written, (problem,) = gather([], ("tex",), results, tmp_path / "p", PLAIN)
    assert written == gather(["table3"], ("tex",), results, tmp_path / "p", PLAIN)[0]
    assert "broken.json: not the plan of a table" in problem
    with pytest.raises(BadInput, match=r"no table has results; found .*broken\.json"):
        gather(["broken"], ("tex",), results, tmp_path / "p", PLAIN)
