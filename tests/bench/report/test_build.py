"""From results to a table: who belongs where, means, gains, marks, and what must be said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import Column, DatasetConfig, Published, Row, TableConfig, table_config
from bench.contracts import BadInput
from bench.metrics import COSTS
from bench.report import sentences
from bench.report.build import build, check_rows
from bench.report.table import Run, Table, printed, signed
from bench.results import Cell, ClipScore, Planned, Result, Scored

CONFIG = TableConfig(
    title="Recovery",
    metrics=("mpjpe", "accel"),
    details=("pampjpe",),
    interval=10,
    protocol="deciwatch",
    reference="linear",
    columns=(
        Column(method="estimator", label="every frame"),
        Column(method="linear"),
        Column(method="ridge", beyond=True),
        Column(method="net", label="Net"),
    ),
    rows=(
        {
            "dataset": "d1",
            "published": {"linear": (54.8, 1.9), "net": (50.9,)},
            "note": "a row's note",
        },
        {"dataset": "d2"},
    ),
    source="a paper, Table 3",
    notes=("a table's note",),
)
DATASETS = {
    "d1": DatasetConfig(
        title="D1 / FCN", estimator="FCN", space="3d", fps=50, skeleton="x", intervals=10
    ),
    "d2": DatasetConfig(
        title="D2 / SPIN", estimator="SPIN", space="3d", fps=30, skeleton="x", intervals=5
    ),
}
LEADING = "mpjpe"
SCORED = Scored(clips=2, frames=400, joints=17)


def cell(method: str, dataset: str = "d1", seed: int = 0, **changes: Any) -> Cell:
    trained = {"epochs": 3} if method == "net" else None
    size = {"interval": 10, "intervals": 10}
    made = Cell(
        dataset, "f0", method, "quick", 1, {}, trained, size, "deciwatch", "quick", {}, "last", 0
    )
    return replace(made, seed=seed, **changes)


def done(cell: Cell, clips: Sequence[float], accel: float = 1.0, **changes: Any) -> Result:
    """A result whose clips, 200 frames each, have these MPJPEs."""
    scores = tuple(
        ClipScore(f"c{i}", f"r{i}", 200, {"mpjpe": (value, 200.0)}) for i, value in enumerate(clips)
    )
    metrics = {"mpjpe": sum(clips) / len(clips), "accel": accel, "pampjpe": 40.0}
    made = Result(cell, "done", metrics=metrics, clips=scores, scored=SCORED, parameters=7)
    return replace(made, **changes)


def placed(cells: Iterable[Cell], config: TableConfig = CONFIG) -> list[Planned]:
    """Every cell once, in the row of its dataset and the column of its method."""
    return [
        Planned(row, column, cell)
        for row, about in enumerate(config.rows)
        for column, shown in enumerate(config.columns)
        for cell in {cell.key: cell for cell in cells}.values()
        if (about.dataset, shown.method) == (cell.dataset, cell.method)
    ]


def table(
    results: Sequence[Result],
    planned: Sequence[Cell] = (),
    config: TableConfig = CONFIG,
    run: Run | None = None,
    **changes: Any,
) -> Table:
    """What is built when all that has a result was planned, and some more."""
    cells = [*(result.cell for result in results), *planned]
    return build(
        "table3",
        config,
        results,
        planned=placed(cells, config),
        datasets=DATASETS,
        every_frame={"estimator"},
        run=run,
        **changes,
    )


def test_seeds_are_averaged_and_their_deviation_is_the_sample_one() -> None:
    results = [done(cell("net", seed=s), [v, v]) for s, v in enumerate((70.0, 71.0, 72.0))]
    net = table(results).rows[0].entries[3]
    assert net.numbers["mpjpe"].mean == pytest.approx(71.0)
    assert net.numbers["mpjpe"].sd == pytest.approx(1.0)
    assert net.numbers["accel"].sd == 0.0
    assert (net.state, net.seeds, net.planned, net.parameters) == ("done", 3, 3, 7)


def test_a_result_stored_by_another_run_takes_the_names_of_this_one() -> None:
    stored = done(cell("linear"), [70.0])
    wanted = cell("linear", preset="paper", budget="paper")
    assert stored.cell.key == wanted.key
    made = table([stored], [wanted])
    assert made.rows[0].entries[1].state == "done"
    assert {one.budget for one in made.cells} == {one.preset for one in made.cells} == {"paper"}


def test_one_seed_has_no_deviation() -> None:
    assert table([done(cell("net"), [70.0])]).rows[0].entries[3].numbers["mpjpe"].sd is None


def test_a_result_given_twice_counts_once() -> None:
    result = done(cell("net"), [70.0, 72.0])
    assert table([result, result], [result.cell]).rows[0].entries[3].seeds == 1


def test_published_values_are_found_by_the_key_of_the_column() -> None:
    columns = (*CONFIG.columns, Column(method="net", name="net2", label="Net"))
    row = {
        "dataset": "d1",
        "published": {
            "net": [1.0, 2.0],
            "net2": {"pampjpe": 3.0},
            "linear": {"mpjpe": {"value": 4.0, "tolerance": 0.5}},
        },
    }
    config = TableConfig.model_validate({**CONFIG.model_dump(), "columns": columns, "rows": [row]})
    assert config.rows[0].published["linear"]["mpjpe"] == Published(value=4.0, tolerance=0.5)
    entries = table([], config=config).rows[0].entries
    assert [dict(entry.published) for entry in entries] == [
        {},
        {"mpjpe": 4.0},
        {},
        {"mpjpe": 1.0, "accel": 2.0},
        {"pampjpe": 3.0},
    ]


def test_a_gain_is_the_method_minus_the_reference() -> None:
    results = [done(cell("linear"), [70.0, 80.0]), done(cell("ridge"), [68.0, 76.0])]
    entries = table(results).rows[0].entries
    gain = entries[2].numbers["mpjpe"].gain
    assert gain is not None
    assert gain.mean == pytest.approx(-3.0)
    assert (gain.low, gain.high) == (pytest.approx(-4.0), pytest.approx(-2.0))
    assert entries[1].numbers["mpjpe"].gain is None
    assert entries[2].numbers["accel"].gain is None  # no clip holds one


def test_shares_are_printed_in_percent() -> None:
    config = CONFIG.model_copy(
        update={"metrics": ("pck@0.2",), "details": (), "rows": (Row(dataset="d1"),)}
    )
    better, worse = (
        replace(
            Result(cell(method), "done"),
            metrics={"pck@0.2": share},
            clips=tuple(
                ClipScore(f"c{i}", f"r{i}", 9, {"pck@0.2": (share, 1.0)}) for i in range(2)
            ),
        )
        for method, share in (("ridge", 0.95), ("linear", 0.9))
    )
    entries = table([better, worse], config=config).rows[0].entries
    assert entries[2].numbers["pck@0.2"].mean == pytest.approx(95.0)
    assert entries[2].numbers["pck@0.2"].gain is not None
    assert entries[2].numbers["pck@0.2"].gain.mean == pytest.approx(5.0)
    assert [dict(entry.marks) for entry in entries] == [
        {},
        {"pck@0.2": "second"},
        {"pck@0.2": "best"},
        {},
    ]


def test_marks_leave_out_what_sees_every_frame() -> None:
    results = [
        done(cell("estimator"), [60.0]),
        done(cell("linear"), [70.0]),
        done(cell("ridge"), [69.0]),
        done(cell("net"), [75.0]),
    ]
    assert [entry.marks.get(LEADING, "") for entry in table(results).rows[0].entries] == [
        "",
        "second",
        "best",
        "",
    ]


def test_equal_printed_values_share_a_mark() -> None:
    results = [
        done(cell("linear"), [70.04]),
        done(cell("ridge"), [69.96]),
        done(cell("net"), [71.0]),
    ]
    marks = [entry.marks.get(LEADING, "") for entry in table(results).rows[0].entries]
    assert marks == ["", "best", "best", "second"]


def test_a_method_without_rivals_is_not_marked() -> None:
    assert [
        e.marks.get(LEADING, "") for e in table([done(cell("net"), [70.0])]).rows[0].entries
    ] == [""] * 4


def test_states() -> None:
    failed = Result(cell("ridge"), "failed", error="singular\n  matrix")
    made = table([done(cell("linear"), [70.0]), failed], [cell("net"), cell("linear")])
    entries = made.rows[0].entries
    assert [entry.state for entry in entries] == ["absent", "done", "failed", "not run"]
    assert entries[2].reason == "singular matrix"
    assert [entry.state for entry in made.rows[1].entries] == ["absent"] * 4


def test_a_long_reason_is_shortened() -> None:
    failed = Result(cell("ridge"), "failed", error="word " * 200)
    assert len(table([failed]).rows[0].entries[2].reason) <= 240


def test_missing_and_infinite_metrics_are_no_numbers() -> None:
    infinite = done(cell("ridge"), [70.0], accel=float("nan"))
    made = table([infinite])
    assert {*made.rows[0].entries[2].numbers} - {*COSTS} == {"mpjpe", "pampjpe"}
    assert "no number: ridge on D1 / FCN: Accel is missing or not finite" in sentences.warnings(
        made
    )


def test_results_stand_where_the_plan_has_their_cells() -> None:
    """Nothing is guessed from what cells are: one may stand in two places, and one in none."""
    columns = (
        Column(method="net"),
        Column(method="net", preset="dense"),
        Column(method="net", options={"r": [4, 1]}, name="r=4"),
    )
    config = CONFIG.model_copy(update={"columns": columns, "rows": (Row(dataset="d1"),)})
    cells = [cell("net", options={"r": (n, 1)}) for n in (1, 2, 4)]
    values = (70.0, 71.0, 72.0)
    results = [done(one, [value]) for one, value in zip(cells, values, strict=True)]
    made = build(
        "t",
        config,
        results,
        planned=[Planned(0, 1, cells[0]), Planned(0, 0, cells[2]), Planned(0, 2, cells[2])],
        datasets=DATASETS,
        every_frame=(),
    )
    assert [e.numbers["mpjpe"].mean for e in made.rows[0].entries] == [72.0, 70.0, 72.0]


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 1), st.integers(0, 3)),
        st.lists(st.floats(1, 99), min_size=1, max_size=3),
        max_size=8,
    )
)
def test_every_place_holds_what_was_planned_there_and_nothing_else(
    placed_values: dict[tuple[int, int], list[float]],
) -> None:
    """Whatever the methods and datasets of the cells are."""
    made = [
        (row, column, done(cell("net", "d2", seed, options={"at": [row, column]}), [value]))
        for (row, column), values in placed_values.items()
        for seed, value in enumerate(values)
    ]
    rows = build(
        "t",
        CONFIG,
        [result for *_, result in made],
        planned=[Planned(row, column, result.cell) for row, column, result in made],
        datasets=DATASETS,
        every_frame=(),
    ).rows
    for row in range(2):
        for column in range(4):
            entry, values = rows[row].entries[column], placed_values.get((row, column), [])
            assert (entry.state, entry.seeds) == ("done" if values else "absent", len(values))
            if values:
                assert entry.numbers["mpjpe"].mean == pytest.approx(sum(values) / len(values))


def test_a_dataset_that_is_not_there_keeps_its_row() -> None:
    made = table([done(cell("linear"), [70.0])], missing={"d2": "no files of D2"})
    here, gone = made.rows
    assert (here.missing, gone.missing) == ("", "no files of D2")
    assert [entry.state for entry in gone.entries] == ["no data"] * 4
    assert sentences.missing(made) == ["no data: D2 / SPIN: no files of D2"]
    assert sentences.remarks(made)[1] == "no data: D2 / SPIN: no files of D2"
    assert sentences.warnings(made) == []


def test_a_table_without_its_reference_has_no_gains() -> None:
    config = CONFIG.model_copy(update={"columns": CONFIG.columns[2:]})
    entry = table([done(cell("ridge"), [70.0, 71.0])], config=config).rows[0].entries[0]
    assert entry.numbers["mpjpe"].gain is None


def test_facts_of_the_dataset_come_from_the_results() -> None:
    facts = {
        "title": "D1 / FCN",
        "origin": "made up",
        "standin": True,
        "notes": ["first take only"],
        "fps": 25.0,
        "space": "3d",
    }
    first, second = table([done(cell("linear"), [70.0], dataset=facts)]).rows
    assert (first.standin, first.origin, first.fps) == (True, "made up", 25.0)
    assert (first.notes, first.note) == (("first take only",), "a row's note")
    assert (second.title, second.standin, second.fps, second.scored) == (
        "D2 / SPIN",
        False,
        30.0,
        None,
    )


def test_settings_and_basis() -> None:
    scored = Scored(2, 12345, 17, missed=3, padded=4, dropped=5)
    made = table(
        [
            done(cell("linear"), [70.0], scored=scored),
            done(cell("net", geometry={"interval": 10, "intervals": 5}), [70.0], scored=scored),
            done(cell("ridge"), [71.0], scored=scored),
        ],
        [cell("net", seed=1, geometry={"interval": 10, "intervals": 5})],
    )
    assert sentences.settings(made) == [
        "protocol deciwatch, K=10",
        "budget quick",
        "2 seeds, last epoch kept",
    ]
    assert sentences.basis(made) == [
        "D1 / FCN (50 fps, Q=10, Net Q=5): 2 clips, 12 345 frames, 17 joints, "
        "3 missed detections, 4 padded frames, 5 frames dropped at the ends"
    ]


def test_q_is_said_once_when_it_is_the_same_everywhere() -> None:
    made = table([done(cell("linear"), [70.0])])
    assert sentences.settings(made) == [
        "protocol deciwatch, K=10, Q=10",
        "budget quick",
        "1 seed",
    ]
    assert sentences.basis(made) == ["D1 / FCN (50 fps): 2 clips, 400 frames, 17 joints"]


def test_recovery_by_action() -> None:
    """Rows of a recovery table by action, with counts, means and gains over their clips."""
    clips = (
        ClipScore("a", "S9/Walking 1", 200, {"mpjpe": (70.0, 200.0)}),
        ClipScore("b", "S9/Walking", 100, {"mpjpe": (40.0, 100.0)}),
        ClipScore("c", "S9/Eating", 100, {"mpjpe": (50.0, 100.0)}),
    )
    better = tuple(
        replace(c, values={"mpjpe": (c.values["mpjpe"][0] - 1, c.frames)}) for c in clips
    )
    results = [
        replace(done(cell(method), [mean]), clips=its, scored=Scored(3, 400, 17, missed=2))
        for method, mean, its in (("linear", 57.5, clips), ("ridge", 56.5, better))
    ]
    made = table(results, by="action")
    assert [(row.dataset, row.action) for row in made.rows] == [
        ("d1", "Walking"),
        ("d1", "Eating"),
        ("d1", ""),
        ("d2", ""),
    ]
    walking, eating, average, _ = made.rows
    assert [row.entries[1].numbers["mpjpe"].mean for row in made.rows[:3]] == [60.0, 50.0, 57.5]
    assert walking.scored == Scored(2, 300, 17)
    assert walking.entries[1].published == {}
    assert average.entries[1].published == {"mpjpe": 54.8, "accel": 1.9}
    gain = average.entries[2].numbers["mpjpe"].gain
    assert gain is not None
    assert gain.recordings == 3
    assert eating.entries[2].numbers["mpjpe"].gain is None  # of a single recording
    assert sentences.basis(made) == [
        "D1 / FCN (50 fps): Walking: 2 clips, 300 frames, 17 joints; Eating: 1 clip, 100 frames, "
        "17 joints; average: 3 clips, 400 frames, 17 joints, 2 missed detections"
    ]


def test_by_action_of_recordings_that_tell_none_is_refused() -> None:
    """A row `test` would repeat the average; what has nothing done yet has nothing to tell."""
    clips = tuple(
        ClipScore(name, name, 200, {"mpjpe": (70.0, 200.0)}) for name in ("test-000", "test-001")
    )
    results = [replace(done(cell("linear"), [70.0]), clips=clips)]
    with pytest.raises(BadInput, match="the recordings of d1 are not named by action"):
        table(results, by="action")
    failed = [Result(cell("linear"), "failed", error="why")]
    made = table(failed, by="action")
    assert [row.action for row in made.rows] == ["", ""]


def test_a_row_twice_can_be_refused_before_anything_is_computed() -> None:
    check_rows(CONFIG)
    with pytest.raises(BadInput, match="the table has 2 rows of d2 under deciwatch"):
        check_rows(CONFIG.model_copy(update={"rows": (*CONFIG.rows, Row(dataset="d2"))}))


def test_warnings() -> None:
    other = replace(SCORED, frames=300)
    net = cell("net", selection="test", limits={"test_clips": 1})
    made = table(
        [
            done(cell("linear"), [70.0]),
            done(cell("estimator"), [70.0]),
            done(cell("ridge"), [70.0], scored=other),
            done(net, [70.0]),
            Result(replace(net, seed=1), "failed", error="out of memory"),
            Result(cell("ridge", "d2"), "failed", error="singular"),
        ],
        [replace(net, seed=2), cell("linear", "d2"), cell("net", "d2"), cell("linear")],
    )
    assert sentences.warnings(made) == [
        "selected on test: Net on D1 / FCN; these numbers are optimistic, because the test clips "
        "chose the weights",
        "scored on other frames: ridge on D1 / FCN: 2 clips, 300 frames, 17 joints",
        "1 of 3 seeds: Net on D1 / FCN: out of memory",
        "failed: ridge on D2 / SPIN: singular",
        "not run: linear, Net on D2 / SPIN",
        "only some test clips were scored, to save time: a smoke test, not a result",
    ]
    assert "SELECTED ON TEST" in sentences.settings(made)[-1]


def test_fewer_seeds_than_planned_are_said() -> None:
    made = table([done(cell("net"), [70.0])], [cell("net", seed=1)])
    assert sentences.warnings(made) == [
        "1 of 2 seeds: Net on D1 / FCN: the others were not run",
    ]


def test_nothing_is_wrong_with_a_complete_table() -> None:
    results = [
        done(cell(column.method, row.dataset), [70.0])
        for row in CONFIG.rows
        for column in CONFIG.columns
    ]
    made = table(results)
    assert sentences.warnings(made) == []
    assert sentences.standins(made) == ""
    assert sentences.notes(made) == ["D1 / FCN: a row's note", "a table's note"]


def test_how_it_was_run() -> None:
    run = Run(22, 14, 252.4, "bench report table3", Path("out"))
    assert sentences.ran(table([], run=run)) == (
        "22 cells run in 4 min 12 s, 14 from earlier | out/table3.tex .md .csv | "
        "`bench report table3` draws it"
    )
    assert sentences.ran(table([])) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (59.7, "1 min 0 s"), (3600 * 2 + 125, "2 h 2 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert sentences.duration(seconds) == text


def test_measure_says_which_way_is_good() -> None:
    made = table([])
    assert sentences.measure(made) == "MPJPE mm (Accel mm/frame^2), lower is better"
    mixed = CONFIG.model_copy(update={"metrics": ("pck@0.2", "mpjpe")})
    assert sentences.measure(table([], config=mixed)) == (
        "PCK@0.2 % (MPJPE mm), PCK@0.2: higher is better"
    )


def test_numbers_as_printed() -> None:
    assert printed("mpjpe", 70.05) == "70.0"  # 70.05 is a little less in binary
    assert printed("mpjpe", -0.04) == "0.0"
    assert [signed("mpjpe", v) for v in (1.25, -0.04, -2.0)] == ["+1.2", "0.0", "-2.0"]


def test_table_3_quotes_the_paper() -> None:
    config = table_config("table3")
    assert [column.method for column in config.columns if not column.beyond] == [
        "nearest",
        "linear",
        "quadratic",
        "cubic",
        "mct",
        "mixsynthformer",
    ]
    keys = {column.key for column in config.columns}
    for row in config.rows:
        assert set(row.published) <= keys
        assert all(list(values) == ["mpjpe", "accel"] for values in row.published.values())
    h36m, pw3d, aist = (
        {key: (said["mpjpe"].value, said["accel"].value) for key, said in row.published.items()}
        for row in config.rows
    )
    assert h36m["mixsynthformer"] == (50.9, 1.5)
    # The text: MPJPE of Human3.6M falls by 7 % from cubic, that of AIST++ by over 30 %.
    assert 1 - h36m["mixsynthformer"][0] / h36m["cubic"][0] == pytest.approx(0.07, abs=0.005)
    assert aist["mixsynthformer"][0] < 0.7 * aist["linear"][0]
    assert min(pw3d, key=lambda key: pw3d[key][0]) == "mixsynthformer"
