"""Configs: what ships can be read, and a mistake is named with its path and what was meant."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.config import (
    Budget,
    Column,
    MethodConfig,
    Published,
    Row,
    Source,
    Sweeps,
    TableConfig,
    Training,
    assets,
    budgets,
    dataset_config,
    dataset_names,
    method_config,
    nearest_names,
    parse,
    read,
    table_config,
    table_names,
)
from bench.contracts import BadInput


def test_every_dataset_that_ships_can_be_read() -> None:
    assert dataset_names()
    for name in dataset_names():
        assert dataset_config(name).title


def test_every_table_that_ships_names_known_datasets_and_its_own_columns() -> None:
    for name in table_names():
        table = table_config(name)
        labels = {column.key for column in table.columns}
        for row in table.rows:
            assert row.dataset in dataset_names()
            assert set(row.published) <= labels, f"{name}: {row.dataset}"


def test_every_method_that_ships_has_the_presets_its_budgets_take() -> None:
    for path in (assets() / "configs/methods").glob("*.yaml"):
        config = method_config(path.stem)
        assert set(config.budgets.values()) <= set(config.presets)
        assert set(config.budgets) <= set(budgets())
        for preset in config.presets.values():
            assert set(preset.datasets) <= set(dataset_names())


def test_every_budget_that_ships_changes_real_settings() -> None:
    assert {"smoke", "quick", "paper"} <= set(budgets())
    for budget in budgets().values():
        assert set(budget.training) <= set(Training.model_fields)


def test_a_method_without_a_file_has_one_empty_preset() -> None:
    config = method_config("a-plugin-of-mine")
    assert list(config.presets) == ["default"]
    assert config.presets["default"].options == {}


def test_every_mistake_is_named_at_once_with_its_path() -> None:
    raw = {"summary": "x", "seeds": 0, "validation": 2, "training": 5}
    with pytest.raises(BadInput) as caught:
        parse(raw, Budget, "budgets.yaml: mine")
    line = str(caught.value)
    assert line.startswith("budgets.yaml: mine: ")
    assert "seeds: Input should be greater than or equal to 1" in line
    assert "training: Input should be a valid dictionary" in line
    assert "validation: unknown key, did you mean validations" in line
    assert "\n" not in line


def test_a_mistake_inside_names_the_way_to_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("presets:\n  wide:\n    intervals: 0\n")
    with pytest.raises(BadInput, match=r"mine\.yaml: presets\.wide\.intervals: Input should be"):
        read(path, MethodConfig)


def test_what_is_not_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("presets: {wide: [}\n")
    with pytest.raises(BadInput, match=r"mine\.yaml: not valid YAML; found .*line 1") as caught:
        read(path, MethodConfig)
    assert "\n" not in str(caught.value)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    marker = tmp_path / "ran"
    path.write_text(f"!!python/object/apply:pathlib.Path.touch [!!python/name:x '{marker}']")
    with pytest.raises(BadInput, match="not valid YAML"):
        read(path, MethodConfig)
    assert not marker.exists()


def test_an_empty_file_is_not_a_config(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("")
    with pytest.raises(BadInput, match=r"mine\.yaml: "):
        read(path, MethodConfig)


@pytest.mark.parametrize(("load", "what"), [(dataset_config, "dataset"), (table_config, "table")])
def test_an_unknown_name_is_one_line(load: object, what: str) -> None:
    assert callable(load)
    with pytest.raises(BadInput, match=f"unknown {what} 'xyzzy'; known: "):
        load("xyzzy")


@pytest.mark.parametrize("name", ["../methods/mct", "/etc/passwd", ""])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(BadInput, match="unknown dataset"):
        dataset_config(name)


def test_nearest_names_come_best_first_or_all() -> None:
    assert nearest_names("linaer", ["ridge", "linear", "cubic"]) == "did you mean linear?"
    assert nearest_names("zzz", ["b", "a"]) == "known: a, b"


def test_configs_never_change_after_loading() -> None:
    source = Source(layout="h36m")
    with pytest.raises(ValidationError, match="frozen"):
        source.layout = "deciwatch"  # type: ignore[misc]


def test_a_column_is_found_by_method_and_preset() -> None:
    assert Column(method="mct").key == "mct"
    assert Column(method="mct", preset="wide").key == "mct:wide"
    assert Column(method="mct", preset="wide", name="mine").key == "mine"
    assert Column(method="mct", preset="wide", weights="c0de").key == "mct:wide@c0de"
    assert Column(name="kfp", quoted="no code").key == "kfp"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"label": "x"}, "a column has a method, or says why it is only quoted"),
        ({"method": "mct", "quoted": "no"}, "a column has a method, or says why"),
        ({"quoted": "no code"}, "a quoted column needs a name"),
    ],
)
def test_a_column_is_run_or_quoted(raw: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse(raw, Column, "table.yaml")


def table(**change: object) -> TableConfig:
    """A table of two methods on one dataset, with something changed."""
    raw = {
        "title": "t",
        "source": "s",
        "metrics": ["mpjpe", "accel"],
        "details": ["pampjpe"],
        "protocol": "deciwatch",
        "reference": "linear",
        "columns": [{"method": "linear"}, {"method": "mct"}],
        "rows": [{"dataset": "pw3d-spin"}],
        **change,
    }
    return parse(raw, TableConfig, "mine.yaml")


def published(said: object, **row: object) -> TableConfig:
    rows = [{"dataset": "pw3d-spin", "published": {"linear": said}, **row}]
    return table(rows=rows, layout="metrics" if "metrics" in row else "entries")


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ([97.2, 6.7], {"mpjpe": 97.2, "accel": 6.7}),
        ([97.2], {"mpjpe": 97.2}),
        ({"accel": 7, "pampjpe": 50.5}, {"accel": 7.0, "pampjpe": 50.5}),
        ({"mpjpe": {"value": 97.2}}, {"mpjpe": 97.2}),
        ([], {}),
    ],
)
def test_published_numbers_can_be_written_shortly(said: object, values: dict[str, float]) -> None:
    (row,) = published(said).rows
    assert row.published == {"linear": {m: Published(value=v) for m, v in values.items()}}


def test_a_published_number_may_say_more() -> None:
    full = {"value": 97.2, "tolerance": 0.5, "source": "else", "note": "why"}
    (row,) = published({"mpjpe": full, "accel": 6.7}).rows
    assert row.published["linear"] == {
        "mpjpe": Published(value=97.2, tolerance=0.5, source="else", note="why"),
        "accel": Published(value=6.7),
    }


def test_a_list_follows_the_metrics_of_its_row() -> None:
    (row,) = published([1.5, 2.5], metrics=["pixels", "pck@0.1"]).rows
    assert {metric: said.value for metric, said in row.published["linear"].items()} == {
        "pixels": 1.5, "pck@0.1": 2.5,
    }  # fmt: skip


def test_a_table_survives_being_written_down() -> None:
    before = published({"mpjpe": {"value": 97.2, "note": "why"}})
    assert parse(before.model_dump(mode="json"), TableConfig, "x") == before
    assert before.rows[0] == Row(
        dataset="pw3d-spin",
        published={"linear": {"mpjpe": Published(value=97.2, note="why")}},
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": [{"dataset": "d", "published": {"linear": [1, 2, 3]}}]},
         "d: more values than there are metrics"),
        ({"rows": [{"dataset": "d", "published": {"ridge": [1]}}]},
         "d: published 'ridge' is no column"),
        ({"rows": [{"dataset": "d", "published": {"linear": {"pixels": 1}}}]},
         "d: 'linear' has pixels, which is no metric"),
        ({"rows": [{"dataset": "d", "published": {"linear": {"mpjpe": {"value": "x"}}}}]},
         "rows.0.published.linear.mpjpe.value: Input should be a valid number"),
        ({"rows": [{"dataset": "d", "published": {"linear": {"mpjpe": {"vlaue": 1}}}}]},
         "vlaue: unknown key, did you mean value"),
        ({"rows": [{"dataset": "d", "published": {"linear": 3}}]},
         "rows.0.published.linear: Input should be a valid dictionary"),
        ({"rows": [{"dataset": "d", "published": 3}]}, "rows.0.published: Input should be"),
        ({"rows": 3}, "rows: Input should be a valid tuple"),
        ({"rows": [{"dataset": "d", "metrics": ["mpjpe"]}]},
         "d: a row has metrics of its own in layout metrics"),
        ({"columns": [{"method": "linear"}, {"method": "linear", "label": "again"}]},
         "2 columns are called 'linear'; give them names"),
        ({"columns": [{"method": "linear"}, {"method": "mct", "name": "linear"}]},
         "2 columns are called 'linear'"),
        ({"intervall": 5}, "intervall: unknown key, did you mean interval"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_one_line(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        table(**change)
    assert str(caught.value).startswith("mine.yaml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_may_have_protocol_metrics_and_k_of_its_own() -> None:
    config = table(
        layout="metrics",
        interval=10,
        rows=[
            {"dataset": "pw3d-spin"},
            {"dataset": "pw3d-spin", "protocol": "full", "metrics": ["pampjpe"], "interval": 5},
        ],
    )
    usual, own = config.rows
    assert (config.protocol_of(usual), config.protocol_of(own)) == ("deciwatch", "full")
    assert (config.metrics_of(usual), config.metrics_of(own)) == (("mpjpe", "accel"), ("pampjpe",))
    assert (config.interval_of(usual), config.interval_of(own)) == (10, 5)


CURVES = Sweeps(
    source="s",
    frames=101,
    datasets={"d": {"mct": {"mpjpe": (1.5, None, 3.5), "accel": (0.5,)}}},
)


@pytest.mark.parametrize(
    ("interval", "values"),
    [(1, {"mpjpe": 1.5, "accel": 0.5}), (2, {}), (3, {"mpjpe": 3.5}), (4, {})],
)
def test_a_published_curve_starts_at_k_1(interval: int, values: dict[str, float]) -> None:
    found = CURVES.of("d", interval, 101, ["linear", "mct"])
    assert {m: said.value for m, said in found.get("mct", {}).items()} == values
    assert set(found) <= {"mct"}
    assert CURVES.of("d", interval, 51, ["mct"]) == CURVES.of("e", interval, 101, ["mct"]) == {}
