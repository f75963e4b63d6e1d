"""Plans: which cells a table has, and what their keys depend on."""

from dataclasses import replace

import numpy as np
import pytest

from bench.config import (
    Column,
    MethodConfig,
    Preset,
    Row,
    TableConfig,
    budgets,
    method_config,
    table_config,
)
from bench.contracts import BadInput
from bench.data.clips import Clip, Dataset
from bench.data.skeletons import BODY_14, H36M_17, H36M_22
from bench.plan import budget_named, check_task, chosen_table, plan
from bench.results import Cell

TABLE = table_config("table3")


def dataset(name: str = "pw3d-spin", frames: int = 120, **rest) -> Dataset:
    skeleton = H36M_17 if name.startswith("h36m") else BODY_14
    poses = np.zeros((frames, len(skeleton.joints), 3), np.float32)
    clips = {
        split: (Clip("one", "one", poses, poses),) for split in ("train", "validation", "test")
    }
    known = {"fingerprint": "f", **rest}
    return Dataset(name, "D", "E", "3d", 30, skeleton, clips, "made here", **known)


def cells(methods, *, data=None, budget="smoke", **rest) -> list[Cell]:
    data = data or dataset()
    config = chosen_table(TABLE, methods, [data.name], budget)
    return planned(config, {data.name: data}, budget=budget, **rest)


def planned(config, datasets, **rest) -> list[Cell]:
    return [place.cell for place in plan(config, datasets, **rest)]


def cell(method: str, **rest) -> Cell:
    return cells([method], **rest)[0]


@pytest.mark.parametrize("budget", ["smoke", "quick", "paper"])
@pytest.mark.parametrize("method", ["deciwatch", "mct", "mixsynthformer"])
def test_each_budget_takes_the_preset_it_names(method, budget):
    found = cell(method, budget=budget)
    preset = method_config(method).budgets[budget]
    assert found.preset == preset
    assert found.budget == budget
    limits = budgets()[budget]
    assert found.limits["validations"] == limits.validations
    if "windows" in limits.training:
        assert found.training["windows"] == limits.training["windows"]
        assert found.training["epochs"] is None
    else:
        assert found.training["epochs"] == method_config(method).presets[preset].training["epochs"]


def test_a_preset_differs_between_datasets_as_published():
    pw3d = cell("deciwatch", budget="paper")
    h36m = cell("deciwatch", budget="paper", data=dataset("h36m-fcn", 300))
    assert (pw3d.options["width"], h36m.options["width"]) == (32, 128)
    assert (pw3d.training["batch"], h36m.training["batch"]) == (256, 512)
    assert (pw3d.options["loss_recover"], h36m.options["loss_recover"]) == (2.5, 1.0)
    assert pw3d.geometry["intervals"] == h36m.geometry["intervals"] == 10


def test_every_option_is_resolved():
    found = cell("mixsynthformer", budget="paper")
    assert set(method_config("mixsynthformer").presets["paper"].options) < set(found.options)
    assert found.geometry["interval"] == 10
    # Without a word of the preset, the dataset decides about Q.
    assert cell("linear").geometry["intervals"] == 5
    assert cell("linear", data=dataset("h36m-fcn")).geometry["intervals"] == 10


def test_a_stand_in_is_trained_as_long_as_the_budget_says_of_stand_ins():
    real, standin = (cell("deciwatch", budget="quick", data=dataset(standin=s)) for s in (0, 1))
    assert real.training["windows"] == budgets()["quick"].training["windows"]
    assert standin.training["windows"] == budgets()["quick"].standin["windows"]


def test_a_method_can_be_given_its_preset():
    found = cell("deciwatch:released")
    assert (found.method, found.preset) == ("deciwatch", "released")
    assert found.options["cross_attention"] == "additive"
    with pytest.raises(BadInput, match=r"unknown preset 'relesed' of deciwatch; .*released"):
        cell("deciwatch:relesed")


@pytest.mark.parametrize(
    ("methods", "datasets", "message"),
    [
        (["lineer"], None, "unknown method 'lineer'; did you mean .*linear"),
        (["linear:fast"], None, "unknown preset 'fast' of linear; did you mean default"),
        (None, ["pw3d-spinn"], "unknown dataset 'pw3d-spinn'; did you mean .*pw3d-spin"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_ones(methods, datasets, message):
    with pytest.raises(BadInput, match=message):
        chosen_table(TABLE, methods, datasets, "smoke")


def test_an_unknown_budget_is_refused():
    with pytest.raises(BadInput, match="unknown budget 'quik'; did you mean quick"):
        budget_named("quik")


def test_only_trained_methods_have_seeds():
    found = cells(["linear", "ridge", "estimator", "deciwatch"], seeds=3)
    seeds = {
        method: [c.seed for c in found if c.method == method]
        for method in ("linear", "ridge", "estimator", "deciwatch")
    }
    assert seeds == {"linear": [0], "ridge": [0], "estimator": [0], "deciwatch": [0, 1, 2]}
    assert len(cells(["deciwatch"], budget="paper")) == budgets()["paper"].seeds
    assert all(
        c.training is None and c.selection == "last"
        for c in found
        if c.seed == 0 and c.method != "deciwatch"
    )


def test_a_cell_says_what_limits_it_and_nothing_that_does_not():
    assert set(cell("linear").limits) == {"test_clips"}
    assert set(cell("ridge").limits) == {"test_clips", "fit_windows"}
    assert set(cell("deciwatch").limits) == {"test_clips", "validations", "validation_windows"}


def test_a_narrowed_table_keeps_its_order():
    config = chosen_table(
        TABLE,
        ["mixsynthformer", "deciwatch:released", "linear", "ridge", "linear"],
        ["pw3d-eft", "aist-spin", "h36m-sh", "h36m-fcn", "aist-spin"],
        "smoke",
    )
    keys = [column.key for column in config.columns]
    assert keys == ["linear", "ridge", "mixsynthformer", "deciwatch:released"]
    assert [row.dataset for row in config.rows] == ["h36m-fcn", "aist-spin", "h36m-sh", "pw3d-eft"]
    known = {"linear", "mixsynthformer"}
    assert config.rows[0].published == {
        key: said for key, said in TABLE.rows[0].published.items() if key in known
    }
    assert config.rows[2].published == {}
    assert config.columns[3].beyond
    assert chosen_table(TABLE, None, None, "smoke") == TABLE


def test_the_budgets_own_preset_is_no_second_column():
    methods = ["deciwatch:quick", "deciwatch:released", "deciwatch:paper", "deciwatch"]
    columns = chosen_table(TABLE, methods, None, "quick").columns
    assert [c.key for c in columns] == ["deciwatch", "deciwatch:released", "deciwatch:paper"]
    assert columns[0].label == "DeciWatch"


def test_cells_come_dataset_by_dataset_in_the_order_of_the_columns():
    data = {name: dataset(name) for name in ("pw3d-spin", "h36m-fcn")}
    config = chosen_table(
        TABLE, ["ridge", "linear"], ["pw3d-spin", "h36m-fcn", "aist-spin"], "smoke"
    )
    assert [(c.dataset, c.method) for c in planned(config, data, budget="smoke")] == [
        ("h36m-fcn", "linear"),
        ("h36m-fcn", "ridge"),
        ("pw3d-spin", "linear"),
        ("pw3d-spin", "ridge"),
    ]


def test_keys_do_not_depend_on_what_else_was_asked_for():
    alone = {c.key for name in ("linear", "deciwatch") for c in cells([name])}
    assert {c.key for c in cells(["deciwatch", "linear"])} == alone
    assert {c.key for c in cells(["linear", "ridge", "deciwatch"])} > alone
    assert cells(["deciwatch"], seeds=3)[0].key == cell("deciwatch").key
    # The name of a preset or budget is only a name.
    assert replace(cell("deciwatch"), preset="other", budget="other").key == cell("deciwatch").key


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "other"},
        {"fingerprint": "other"},
        {"method": "other"},
        {"revision": 99},
        {"training": None},
        {"geometry": {"interval": 5, "intervals": 9}},
        {"protocol": "full"},
        {"limits": {}},
        {"selection": "test"},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_key_changes_with_everything_that_changes_numbers(change):
    before = cell("deciwatch")
    assert replace(before, **change).key != before.key


def test_a_key_changes_with_every_option_and_setting():
    before = cell("deciwatch")
    keys = {before.key}
    for field in ("options", "training"):
        for name in getattr(before, field):
            keys.add(replace(before, **{field: {**getattr(before, field), name: "x"}}).key)
    assert len(keys) == 1 + len(before.options) + len(before.training)


def test_the_plan_passes_on_fingerprint_protocol_and_selection():
    base = cell("deciwatch")
    assert base.fingerprint == "f"
    assert cell("deciwatch", data=dataset(fingerprint="g")).key != base.key
    assert cell("deciwatch", selection="test").selection == "test"
    full = TABLE.model_copy(update={"protocol": "full"})
    config = chosen_table(full, ["deciwatch"], ["pw3d-spin"], "smoke")
    assert planned(config, {"pw3d-spin": dataset()}, budget="smoke")[0].protocol == "full"


def test_a_columns_options_are_checked_and_win():
    def table(**options) -> TableConfig:
        column = {"method": "deciwatch", "options": options}
        raw = TABLE.model_dump() | {"columns": [column], "rows": [{"dataset": "pw3d-spin"}]}
        return TableConfig.model_validate(raw)

    data = {"pw3d-spin": dataset()}
    assert planned(table(width=8), data, budget="smoke")[0].options["width"] == 8
    with pytest.raises(BadInput, match="no option 'widht'; did you mean width"):
        planned(table(widht=8), data, budget="smoke")


def test_a_clip_too_short_for_the_protocol_is_found_while_planning():
    full = TABLE.model_copy(update={"protocol": "full"})
    config = chosen_table(full, ["linear"], ["pw3d-spin"], "smoke")
    assert planned(config, {"pw3d-spin": dataset(frames=51)}, budget="smoke")
    with pytest.raises(BadInput, match=r"clip one of pw3d-spin: .*found 50 frames.*at least 51"):
        planned(config, {"pw3d-spin": dataset(frames=50)}, budget="smoke")


def test_a_plugin_brings_its_own_training(tmp_path, monkeypatch) -> None:
    from methods.mct import MCT

    monkeypatch.setattr(MCT, "training_defaults", {"lr": 0.5, "batch": 7}, raising=False)
    monkeypatch.setattr(
        "bench.plan.method_config", lambda _name: MethodConfig(presets={"default": Preset()})
    )
    (cell,) = cells(["mct"])
    assert cell.training is not None
    assert (cell.training["lr"], cell.training["batch"], cell.training["windows"]) == (0.5, 7, 512)
    with pytest.raises(BadInput, match="does not say how long to train"):
        cells(["mct"], budget="paper")


MOTION = TableConfig(
    title="t",
    metrics=("mpjpe@80",),
    protocol="h36m-average",
    reference="zero-velocity",
    columns=(Column(method="zero-velocity"), Column(method="stsgcn")),
    rows=(Row(dataset="h36m-motion"), Row(dataset="h36m-motion", protocol="h36m-horizon")),
    source="s",
)


def motion(frames: int = 300, **rest) -> Dataset:
    poses = np.zeros((frames, 22, 3), np.float32)
    clips = {
        split: tuple(Clip(name, name, poses, poses) for name in ("S5/walking_1", "S5/walking_2"))
        for split in ("train", "validation", "test")
    }
    return Dataset(
        "h36m-motion", "D", "E", "3d", 25, H36M_22, clips, "made here", fingerprint="f", **rest
    )


def test_prediction_has_a_history_and_a_future_and_a_cell_for_each_protocol():
    found = planned(MOTION, {"h36m-motion": motion()}, budget="quick", seeds=2)
    assert [(c.method, c.protocol, c.seed) for c in found] == [
        (method, protocol, seed)
        for protocol in ("h36m-average", "h36m-horizon")
        for method, seed in (("zero-velocity", 0), ("stsgcn", 0), ("stsgcn", 1))
    ]
    assert found[1].geometry == {"history": 10, "future": 10}
    assert len({c.key for c in found}) == 6
    # Both protocols score the same weights.
    assert len({c.training_key for c in found}) == 3
    assert found[1].training["windows"] == budgets()["quick"].training["windows"]


def test_published_weights_are_neither_trained_nor_seeded():
    column = Column(
        method="stsgcn", weights="c0de", label="published",
        options={"horizons": [2, 4]}, geometry={"history": 10, "future": 4},
    )  # fmt: skip
    config = MOTION.model_copy(update={"columns": (*MOTION.columns, column)})
    found = planned(config, {"h36m-motion": motion()}, budget="quick", seeds=2)[3]
    assert (found.weights, found.training, found.selection) == ("c0de", None, "last")
    assert found.geometry == {"history": 10, "future": 4}
    assert found.preset == "published"
    assert column.key == "stsgcn@c0de"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": "full"}, "h36m-motion is not for recovery"),
        ({"rows": (Row(dataset="h36m-fcn"),)}, "h36m-fcn is not for prediction"),
        ({"columns": (Column(method="linear"),)}, "linear is not for prediction"),
    ],
)
def test_recovery_and_prediction_never_meet_in_a_table(change, said):
    with pytest.raises(BadInput, match=said):
        check_task(MOTION.model_copy(update=change))


def test_a_test_clip_too_short_for_the_draws_is_found_before_anything_runs():
    with pytest.raises(BadInput, match="too short for the published draws"):
        planned(MOTION, {"h36m-motion": motion(frames=150)}, budget="quick")


def test_a_dataset_keeps_all_its_rows_when_a_table_is_narrowed():
    config = chosen_table(MOTION, None, ["h36m-motion"], "quick")
    assert [config.protocol_of(row) for row in config.rows] == ["h36m-average", "h36m-horizon"]
    assert config.rows == MOTION.rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": "cmu-average", "rows": MOTION.rows[:1]},
         "cmu-average is not for h36m-motion; take h36m-average or h36m-average-8 or"),
        ({"columns": (Column(method="zero-velocity", weights="c", geometry={"history": 67}),)},
         "no room for such a history and future; found 67 and 25 frames; expected at most 66"),
        ({"columns": (Column(method="zero-velocity", weights="c", geometry={"future": 102}),)},
         "found 50 and 102 frames; expected at most 66 and 101"),
    ],
)  # fmt: skip
def test_draws_of_another_body_or_beyond_the_clip_are_refused(change, said):
    with pytest.raises(BadInput, match=said):
        planned(MOTION.model_copy(update=change), {"h36m-motion": motion()}, budget="quick")


def rows_of(*rows: Row, **rest) -> TableConfig:
    """Linear interpolation and one that is quoted, in rows of their own."""
    return TableConfig(
        title="t",
        source="s",
        layout="metrics",
        metrics=("mpjpe",),
        protocol="deciwatch",
        reference="linear",
        columns=(Column(name="kfp", quoted="no code"), Column(method="linear")),
        rows=rows,
        **rest,
    )


def test_a_row_may_have_windows_of_its_own():
    config = rows_of(
        Row(dataset="pw3d-spin"),
        Row(dataset="pw3d-spin", interval=4),
        Row(dataset="pw3d-spin", interval=4, intervals=3),
        interval=8,
    )
    found = plan(config, {"pw3d-spin": dataset()}, budget="smoke")
    # Without a word of table, row and preset, Q is the dataset's.
    assert [place.cell.geometry for place in found] == [
        {"interval": 8, "intervals": 5},
        {"interval": 4, "intervals": 5},
        {"interval": 4, "intervals": 3},
    ]


def test_the_rows_q_wins_over_every_presets():
    assert cell("deciwatch", budget="paper").geometry["intervals"] == 10
    own = TABLE.model_copy(update={"rows": (Row(dataset="pw3d-spin", intervals=2),)})
    config = chosen_table(own, ["deciwatch"], None, "paper")
    found = planned(config, {"pw3d-spin": dataset()}, budget="paper")
    assert {c.geometry["intervals"] for c in found} == {2}


def test_places_say_row_and_column_and_quoted_columns_have_none():
    config = rows_of(Row(dataset="h36m-fcn"), Row(dataset="pw3d-spin"), Row(dataset="aist-spin"))
    data = {name: dataset(name) for name in ("pw3d-spin", "aist-spin")}
    # Nor has a row whose dataset could not be opened.
    found = [(p.row, p.column, p.cell.dataset) for p in plan(config, data, budget="smoke")]
    assert found == [(1, 1, "pw3d-spin"), (2, 1, "aist-spin")]


def test_rows_that_differ_in_metrics_alone_share_their_cell():
    config = rows_of(Row(dataset="pw3d-spin"), Row(dataset="pw3d-spin", metrics=("accel",)))
    found = plan(config, {"pw3d-spin": dataset()}, budget="smoke")
    assert [(place.row, place.column) for place in found] == [(0, 1), (1, 1)]
    assert found[0].cell == found[1].cell


def test_a_named_column_is_chosen_by_its_name():
    table5 = table_config("table5")
    config = chosen_table(table5, ["dense", "linear", "ours"], ["pw3d-spin"], "quick")
    assert [column.key for column in config.columns] == ["dense", "ours", "linear"]
    found = planned(config, {"pw3d-spin": dataset()}, budget="quick", seeds=1)
    assert [c.options.get("attention") for c in found] == ["dense", "synthetic", None]
    assert {c.geometry["intervals"] for c in found} == {5}
    quoted = chosen_table(table_config("table1"), ["kfp", "linear"], None, "quick")
    assert [column.key for column in quoted.columns] == ["kfp", "linear"]


def test_columns_with_the_same_options_are_one():
    columns = (Column(method="mct"), Column(method="mct", name="too"), Column(name="q", quoted="w"))
    config = TABLE.model_copy(update={"columns": columns})
    kept = chosen_table(config, ["mct", "too", "q"], None, "quick").columns
    assert [column.key for column in kept] == ["mct", "q"]
