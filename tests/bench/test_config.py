"""Configs: what ships can be read, and a mistake is named with its path and what was meant."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.config import (
    Budget,
    Column,
    MethodConfig,
    Source,
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
