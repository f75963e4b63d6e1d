"""Plans kept beside results: whole, readable, and enough to draw a table again."""

import json
from pathlib import Path

import pytest

from bench.config import table_config, table_names
from bench.contracts import BadInput
from bench.plan import chosen_table
from bench.plans import Plan, check_name, kept, load, save
from bench.results import Cell, Planned, Result


def cell(method: str, seed: int = 0) -> Cell:
    return Cell(
        dataset="pw3d-spin",
        fingerprint="f",
        method=method,
        preset="default",
        revision=1,
        options={"sizes": [1, 2]},
        training=None,
        geometry={"interval": 10, "intervals": 5},
        protocol="deciwatch",
        budget="smoke",
        limits={"test_clips": 2},
        selection="last",
        seed=seed,
    )


PLAN = Plan(
    "table3",
    table_config("table3"),
    (Planned(1, 2, cell("linear")), Planned(1, 14, cell("deciwatch", 1))),
    ("estimator",),
    {"aist-spin": "no data"},
    None,
    "bench report table3",
)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    path = save(PLAN, tmp_path / "new")
    assert path == tmp_path / "new/plans/table3.json"
    assert load(path) == PLAN
    # What was published is there in full.
    row = load(path).config.rows[0]
    assert row.published["linear"]["mpjpe"].value == 54.8


@pytest.mark.parametrize("name", table_names())
def test_every_table_that_ships_survives(name: str, tmp_path: Path) -> None:
    plan = Plan(name, table_config(name), ())
    assert load(save(plan, tmp_path)).config == plan.config


def test_a_cell_in_two_places_is_one_cell() -> None:
    twice = (Planned(0, 0, cell("linear")), Planned(1, 0, cell("linear")))
    assert Plan("t", PLAN.config, twice).cells == [cell("linear")]
    assert PLAN.cells == [cell("linear"), cell("deciwatch", 1)]


def test_a_plan_draws_its_table_without_data_or_flags(tmp_path: Path) -> None:
    done = Result(cell("linear"), "done", metrics={"mpjpe": 61.2, "accel": 1.9})
    table = load(save(PLAN, tmp_path)).drawn([done])
    assert [row.dataset for row in table.rows] == ["h36m-fcn", "pw3d-spin", "aist-spin"]
    entries = {entry.column.key: entry for entry in table.rows[1].entries}
    assert entries["linear"].state == "done"
    numbers = {metric: number.mean for metric, number in entries["linear"].numbers.items()}
    # SPIN's 4.13 GFLOPs at every tenth frame come from the dataset.
    assert numbers == {"mpjpe": 61.2, "accel": 1.9, "estimator": pytest.approx(0.413)}
    assert entries["deciwatch"].state == "not run"
    assert entries["mct"].state == "absent"
    assert table.rows[2].missing == "no data"
    assert {entry.state for entry in table.rows[2].entries} == {"no data"}
    assert not entries["estimator"].keyframes


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: "",
        lambda said: "{",
        lambda said: "[]",
        lambda said: "null",
        lambda said: json.dumps({}),
        lambda said: json.dumps(said)[:-20],
        lambda said: json.dumps({**said, "planned": [{"row": 0}]}),
        lambda said: json.dumps({**said, "planned": 3}),
        lambda said: json.dumps({**said, "planned": [{"row": 0, "column": 0, "cell": {}}]}),
        lambda said: json.dumps({**said, "config": {"title": "x"}}),
        lambda said: json.dumps({key: said[key] for key in said if key != "missing"}),
        lambda said: "\0" * 9,
    ],
    ids=[
        "empty", "brace", "list", "null", "nothing", "cut", "place", "number", "cell", "config",
        "less", "zeros",
    ],
)  # fmt: skip
def test_a_damaged_plan_is_one_line(tmp_path: Path, spoil) -> None:
    path = save(PLAN, tmp_path)
    path.write_text(spoil(json.loads(path.read_text())))
    with pytest.raises(BadInput) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_text_or_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    for name in ("x", "y"):
        with pytest.raises(BadInput, match=rf"{name}\.json: not the plan of a table; .*run the"):
            load(tmp_path / f"{name}.json")


def test_a_plan_of_another_format_says_which(tmp_path: Path) -> None:
    path = save(PLAN, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))
    with pytest.raises(BadInput, match=r"table3\.json: another format of plans; found 9"):
        load(path)


def test_plans_are_found_by_name(tmp_path: Path) -> None:
    assert kept(tmp_path) == []
    for name in ("b", "a"):
        save(Plan(name, PLAN.config, ()), tmp_path)
    (tmp_path / "plans/c.json.77.tmp").write_text("half of one")
    assert [path.stem for path in kept(tmp_path)] == ["a", "b"]


def test_a_plan_that_cannot_be_kept_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("in the way")
    with pytest.raises(BadInput, match="a plan cannot be written; found File exists; make room"):
        save(PLAN, tmp_path)


NO_NAMES = ["", "a/b", "../a", "/tmp/a", "a.b", ".", "a b", "-a", "a\n", "ä", "a\\b"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"found .*; expected letters, digits, - and _"):
        check_name(name)
    with pytest.raises(BadInput, match="not the name of a plan"):
        save(Plan(name, PLAN.config, ()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_of_tables_are_taken() -> None:
    assert check_name("ablate-rt_2") == "ablate-rt_2"
    with pytest.raises(BadInput, match="'table3' is the name of a table of its own"):
        check_name("table3")


@pytest.mark.parametrize("name", table_names())
def test_a_narrowed_table_comes_back(tmp_path: Path, name: str) -> None:
    whole = table_config(name)
    keys = [column.key for column in whole.columns if not column.quoted][-1:]
    narrow = chosen_table(whole, keys, None, "quick")
    path = save(Plan("mine", narrow, ()), tmp_path)
    assert load(path).config == narrow
