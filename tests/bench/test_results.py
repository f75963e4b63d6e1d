"""Cells and their files: keys name what changes numbers, files survive everything but a fire."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BadInput
from bench.results import (
    Cell,
    ClipScore,
    Result,
    Results,
    Scored,
    check_writable,
    from_json,
    to_json,
)

CELL = Cell(
    dataset="h36m",
    fingerprint="f00d",
    method="ridge",
    preset="default",
    revision=1,
    options={"layers": [64, 64], "norm": None},
    training=None,
    geometry={"interval": 10, "intervals": 9},
    protocol="deciwatch",
    budget="quick",
    limits={"test_clips": 4},
    selection="validation",
    seed=0,
)

OTHER: dict[str, Any] = {
    "dataset": "3dpw",
    "fingerprint": "beef",
    "method": "linear",
    "preset": "wide",
    "revision": 2,
    "options": {"layers": [64, 32], "norm": None},
    "training": {"lr": 0.1},
    "geometry": {"interval": 10, "intervals": 8},
    "protocol": "full",
    "budget": "paper",
    "limits": {"test_clips": None},
    "selection": "last",
    "seed": 1,
    "weights": "c0de",
}

RESULT = Result(
    CELL,
    "done",
    metrics={"mpjpe": 0.1 + 0.2},
    clips=(ClipScore("a", "S9 Walking", 91, {"mpjpe": (52.8, 91.0), "accel": (1.4, 89.0)}),),
    scored=Scored(clips=1, frames=91, joints=17, missed=3, sampled=0.1),
    parameters=12,
    cost={"live": 12.0, "macs": 345.5},
    chosen={"penalty": 1e-3},
    curve=({"windows": 256.0, "loss": 0.5},),
    dataset={"standin": False},
    provenance={"commit": "unknown"},
)


@pytest.mark.parametrize("field", [field.name for field in fields(Cell)])
def test_the_key_changes_with_the_numbers_and_not_with_names_for_them(field: str) -> None:
    other = replace(CELL, **{field: OTHER[field]})
    assert (other.key == CELL.key) == (field in ("preset", "budget"))


@pytest.mark.parametrize("field", [field.name for field in fields(Cell)])
def test_weights_are_shared_by_cells_that_are_scored_otherwise(field: str) -> None:
    other = replace(CELL, **{field: OTHER[field]})
    same = other.training_key == CELL.training_key
    assert same == (field in ("preset", "budget", "protocol", "limits"))


def test_weights_depend_on_the_limits_of_learning() -> None:
    less = replace(CELL, limits={**CELL.limits, "validation_windows": 9})
    assert less.training_key != CELL.training_key


def test_the_key_does_not_depend_on_the_order_of_options() -> None:
    turned = replace(CELL, options=dict(reversed(CELL.options.items())))
    assert list(turned.options) != list(CELL.options)
    assert turned.key == CELL.key


def test_the_key_is_a_file_name_that_says_what_it_holds() -> None:
    assert CELL.key.startswith("h36m_ridge_s0_")
    assert Path(CELL.key).name == CELL.key


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    results = Results(tmp_path / "new" / "out")
    path = results.put(RESULT)
    assert path == results.path(CELL)
    assert results.get(CELL) == RESULT


@settings(max_examples=50)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_numbers_round_trip_exactly(metric: float, weight: float) -> None:
    clip = ClipScore("a", "a", 1, {"mpjpe": (metric, weight)})
    told = replace(RESULT, metrics={"mpjpe": metric}, clips=(clip,))
    assert from_json(to_json(told)) == told


def test_a_stored_cell_has_the_key_of_its_file(tmp_path: Path) -> None:
    tuples = replace(RESULT, cell=replace(CELL, options={"layers": (64, 64), "norm": None}))
    results = Results(tmp_path)
    results.put(tuples)
    found = results.get(CELL)
    assert found is not None
    assert found.cell.key == tuples.cell.key == CELL.key


def test_what_was_never_stored_is_none(tmp_path: Path) -> None:
    assert Results(tmp_path).get(CELL) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"text"', "{}", '{"format": 3}', to_json(RESULT)[:-9], "\0" * 50],
    ids=["empty", "brace", "list", "null", "string", "no format", "no cell", "cut", "zeros"],
)
def test_a_damaged_file_counts_as_absent(tmp_path: Path, text: str) -> None:
    results = Results(tmp_path)
    results.folder.mkdir()
    results.path(CELL).write_text(text)
    assert results.get(CELL) is None
    results.put(RESULT)
    assert results.get(CELL) == RESULT


def test_a_file_that_is_not_text_counts_as_absent(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.folder.mkdir()
    results.path(CELL).write_bytes(b"\xff\xfe\x00garbage")
    assert results.get(CELL) is None


def test_another_format_says_which() -> None:
    raw = json.loads(to_json(RESULT))
    with pytest.raises(BadInput, match=r"x\.json: another format of results; found 9; expected 3"):
        from_json(json.dumps({**raw, "format": 9}), "x.json")


def test_a_result_with_a_field_of_the_future_is_not_read() -> None:
    raw = json.loads(to_json(RESULT))
    raw["cell"]["mood"] = "good"
    with pytest.raises(BadInput, match="mood"):
        from_json(json.dumps(raw))


def test_a_kill_while_writing_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path)
    results.put(RESULT)

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        results.put(replace(RESULT, metrics={"mpjpe": 1.0}))
    assert results.get(CELL) == RESULT


def test_nothing_but_results_is_left_in_the_folder(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.put(RESULT)
    results.put(replace(RESULT, metrics={"mpjpe": 1.0}))
    assert [path.name for path in results.folder.iterdir()] == [f"{CELL.key}.json"]


def test_an_output_folder_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadInput) as caught:
        check_writable(tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'out'}: the output folder cannot be written; found Not a directory; "
        "choose another with --out"
    )
    assert (tmp_path / "out").read_text() == "mine"


def test_what_is_damaged_is_said_in_one_line(tmp_path: Path) -> None:
    results, said = Results(tmp_path), []
    path = results.put(RESULT)
    whole = path.read_text()
    for text, reason in (
        (whole.replace("52.8", "25.8"), "not the result that was written; found another digest"),
        (to_json(replace(RESULT, cell=replace(CELL, seed=1))), "the result of another cell"),
        (whole[:-9], "not a result file"),
    ):
        path.write_text(text)
        said.clear()
        assert results.get(CELL, said.append) is None
        (line,) = said
        assert line.startswith(f"{path}: {reason}")
        assert line.endswith("; it counts as absent")
    path.unlink()
    said.clear()
    assert results.get(CELL, said.append) is None
    assert said == []


def test_results_of_earlier_versions_have_no_digest_and_are_read() -> None:
    raw = json.loads(to_json(RESULT))
    del raw["digest"]
    assert from_json(json.dumps(raw)) == RESULT


def test_the_stamp_changes_whenever_a_result_is_stored(tmp_path: Path) -> None:
    results = Results(tmp_path)
    assert results.stamp(CELL) is None
    results.put(RESULT)
    first = results.stamp(CELL)
    assert first == results.stamp(CELL)
    results.put(RESULT)
    assert results.stamp(CELL) != first
