"""What becomes of published numbers: counted, reproduced or not, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench import audit as auditing
from bench import plans
from bench.audit import Finding, audit, lines
from bench.config import table_config
from bench.contracts import BadInput
from bench.results import Cell, ClipScore, Planned, Result, Results, Scored

CONFIG = table_config("table3")
AT = {column.key: place for place, column in enumerate(CONFIG.columns)}


def cell(method: str, **changes: object) -> Cell:
    trained = {"epochs": 3} if method == "mixsynthformer" else None
    made = Cell(
        "h36m-fcn", "f", method, "p", 1, {}, trained, {"interval": 10, "intervals": 10},
        "deciwatch", "quick", {}, "last", 0,
    )  # fmt: skip
    return replace(made, **changes)


def result(cell: Cell, mpjpe: float, accel: float, *, standin: bool = False) -> Result:
    clips = tuple(ClipScore(n, n, 9, {"mpjpe": (mpjpe, 9.0)}) for n in "ab")
    return Result(
        cell, "done", metrics={"mpjpe": mpjpe, "accel": accel}, clips=clips,
        scored=Scored(2, 18, 17), dataset={"standin": standin},
    )  # fmt: skip


def found(folder: Path, *results: Result) -> dict[tuple[str, str], Finding]:
    """The findings on h36m-fcn with these results, by label and metric."""
    planned = tuple(Planned(0, AT[one.cell.method], one.cell) for one in results)
    plans.save(plans.Plan("table3", CONFIG, planned), folder)
    for one in results:
        Results(folder).put(one)
    return {
        (finding.label, finding.metric): finding
        for finding in audit(["table3"], folder)
        if finding.place.startswith("Human3.6M")
    }


def test_a_number_within_its_tolerance_is_reproduced(tmp_path: Path) -> None:
    # Published: 54.8 and 1.9, tolerances 1.0 and 0.3.
    made = found(tmp_path, result(cell("linear"), 55.8, 1.5))
    assert made["linear", "mpjpe"].verdict == "reproduced"
    assert made["linear", "mpjpe"].reason == ""
    assert made["linear", "accel"].verdict == "differs"
    assert made["linear", "accel"].text == "1.9 -> 1.5 (-0.4)"
    assert "fine-tuned" in made["linear", "accel"].reason
    assert (made["cubic", "mpjpe"].verdict, made["cubic", "mpjpe"].reason) == (
        "not checked", "not run",
    )  # fmt: skip


def test_what_was_trained_for_less_says_so(tmp_path: Path) -> None:
    made = found(tmp_path, result(cell("mixsynthformer"), 70.0, 1.5))
    assert "budget quick" in made["MixSynthFormer", "mpjpe"].reason
    assert made["MixSynthFormer", "accel"].verdict == "reproduced"


@pytest.mark.parametrize(
    ("changes", "standin", "reason"),
    [
        ({}, True, "stand-ins prove nothing"),
        ({"limits": {"test_clips": 6}}, False, "only some test clips"),
    ],
)
def test_numbers_that_prove_nothing_are_not_checked(
    tmp_path: Path, changes: dict[str, object], standin: bool, reason: str
) -> None:
    made = found(tmp_path, result(cell("linear", **changes), 54.8, 1.9, standin=standin))
    assert made["linear", "mpjpe"].verdict == "not checked"
    assert reason in made["linear", "mpjpe"].reason


def test_a_failed_cell_says_why(tmp_path: Path) -> None:
    failed = Result(cell("linear"), "failed", error="out of memory")
    assert found(tmp_path, failed)["linear", "mpjpe"].reason == "failed: out of memory"


def test_costs_need_no_results(tmp_path: Path) -> None:
    made = {(f.label, f.metric): f for f in audit(["table6"], tmp_path)}
    for label in ("r_t=1, r_s=1", "r_t=4, r_s=1", "r_t=1, r_s=4", "r_t=4, r_s=4"):
        assert made[label, "parameters"].verdict == "reproduced"
        assert made[label, "macs-published"].verdict == "reproduced"
    # 261 771 as released, less the 11 * 101 + 101 of a learned interpolation.
    assert made["r_t=1, r_s=1", "parameters"].here == pytest.approx(0.260559)


def test_quoted_numbers_are_not_checked(tmp_path: Path) -> None:
    made = [f for f in audit(["table1"], tmp_path) if f.label == "KFP (R18)"]
    assert len(made) == 10
    assert {f.verdict for f in made} == {"not checked"}
    assert all(f.reason.startswith("quoted: ") for f in made)


def test_the_papers_numbers_are_counted_apart_from_those_of_other_sources() -> None:
    one = Finding("table2", "D, deciwatch", "A", "mpjpe", 50.0, 50.4, 1.0, "reproduced")
    two = replace(one, here=53.0, verdict="differs", reason="a reason")
    made = list(lines([one, two, replace(two, source="elsewhere")]))
    assert [line.split() for line in made[:4]] == [
        ["table", "published", "reproduced", "differs", "not", "checked"],
        ["table2", "2", "1", "1", "0"],
        ["all", "of", "these", "2", "1", "1", "0"],
        ["from", "other", "sources", "1", "0", "1", "0"],
    ]
    assert made[4:] == [
        "",
        "differs:",
        "  table2, D, deciwatch: A MPJPE 50.0 -> 53.0 (+3.0), A MPJPE 50.0 -> 53.0 (+3.0)"
        " | a reason",
    ]
    assert next(lines([one], markdown=True)).startswith("| table |")


def test_the_paper_has_203_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "_cost", lambda *_: None)
    own = Counter(f.table for f in audit([], tmp_path) if not f.source)
    assert sum(own.values()) == 203


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown table 'table33'"):
        audit(["table33"], tmp_path)
