"""From a table's specification to cells: every option resolved, nothing left to decide."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bench import registry, tuned
from bench.config import (
    Budget,
    Column,
    Row,
    Selection,
    TableConfig,
    Task,
    Training,
    budgets,
    dataset_config,
    method_config,
    nearest_names,
    parse,
)
from bench.contracts import BadInput
from bench.data.clips import Dataset
from bench.protocols import protocol, protocol_names
from bench.results import Cell, Planned
from bench.tasks import SETTINGS


def budget_named(name: str) -> Budget:
    """A budget of configs/budgets.yaml; BadInput with the nearest names."""
    if name not in budgets():
        raise BadInput(f"unknown budget '{name}'", hint=nearest_names(name, budgets()))
    return budgets()[name]


def chosen_table(
    config: TableConfig,
    methods: Sequence[str] | None,
    datasets: Sequence[str] | None,
    budget: str = "quick",
) -> TableConfig:
    """A table narrowed to some methods and datasets, in the table's order.

    A method outside the table becomes a column of its own, `method:preset` takes another preset
    than the budget's (and is no second column when it is the budget's); a dataset outside the
    table becomes a row without published values. BadInput for unknown names and for options that
    a method does not have.
    """
    columns, rows = config.columns, config.rows
    if methods is not None:
        place = {column.key: number for number, column in enumerate(config.columns)}
        named = [_column(config, name) for name in dict.fromkeys(methods)]
        named.sort(key=lambda column: place.get(column.key, len(place)))
        # The table's own column comes first, and stays.
        chosen: dict[str, Column] = {}
        for column in named:
            chosen.setdefault(_same(column, budget), column)
        columns = tuple(chosen.values())
    if datasets is not None:
        for name in datasets:
            dataset_config(name)
        known = tuple(row for row in config.rows if row.dataset in datasets)
        added = sorted(set(datasets) - {row.dataset for row in known})
        rows = known + tuple(Row(dataset=name) for name in added)
    for column in columns:
        if not column.quoted:
            preset = method_config(column.method).presets[preset_name(column, budget)]
            registry.resolve_options(column.method, {**preset.options, **column.options})
    keys = {column.key for column in columns}
    rows = tuple(
        row.model_copy(
            update={"published": {k: said for k, said in row.published.items() if k in keys}}
        )
        for row in rows
    )
    return config.model_copy(update={"columns": columns, "rows": rows})


def _same(column: Column, budget: str) -> str:
    """What is equal for two columns that would show the same."""
    if column.quoted:
        return column.key
    said = [column.method, preset_name(column, budget), column.options]
    return json.dumps(said, sort_keys=True)


def check_task(config: TableConfig) -> Task:
    """What a table is about; BadInput when its rows, methods and protocols do not agree on it."""
    task = protocol(config.protocol).task
    for row in config.rows:
        if protocol(config.protocol_of(row)).task != task:
            raise BadInput(
                f"the protocol {row.protocol} of {row.dataset} is not for {task}",
                hint=f"choose one of {', '.join(_names_of(task))}",
            )
        if dataset_config(row.dataset).task != task:
            raise BadInput(f"{row.dataset} is not for {task}", hint="see `bench list datasets`")
    for column in config.columns:
        if not column.quoted and registry.task(column.method) != task:
            raise BadInput(f"{column.method} is not for {task}", hint="see `bench list methods`")
    return task


def _names_of(task: Task) -> list[str]:
    return [name for name in protocol_names() if protocol(name).task == task]


def plan(
    config: TableConfig,
    datasets: Mapping[str, Dataset],
    *,
    budget: str,
    seeds: int | None = None,
    selection: Selection = "validation",
    training: Mapping[str, Any] = MappingProxyType({}),
    found: tuned.Found = MappingProxyType({}),
) -> list[Planned]:
    """The cells of a table with their places, row by row, in the order of its columns.

    datasets: by name, those that could be opened; training: settings that override all others;
    found: tuned presets, which stand in place of the budget's where a column does not name its
    own. A method that draws no random number gets one cell, every other one cell for each seed.
    Two places may hold the same cell. BadInput for options a method does not have, and for a test
    clip that is too short for the protocol.
    """
    limits = budget_named(budget)
    return [
        Planned(row_number, column_number, cell)
        for row_number, row in enumerate(config.rows)
        if row.dataset in datasets
        for column_number, column in enumerate(config.columns)
        if not column.quoted
        for cell in _cells(
            config,
            row,
            column,
            datasets[row.dataset],
            budget,
            limits,
            seeds,
            selection,
            training,
            found,
        )
    ]


def preset_name(column: Column, budget: str) -> str:
    """The preset a column takes: its own, the budget's, or the method's only one."""
    config = method_config(column.method)
    name = column.preset or config.budgets.get(budget) or next(iter(config.presets))
    if name not in config.presets:
        raise BadInput(
            f"unknown preset '{name}' of {column.method}",
            hint=nearest_names(name, config.presets),
        )
    return name


def _cells(
    config: TableConfig,
    row: Row,
    column: Column,
    dataset: Dataset,
    budget: str,
    limits: Budget,
    seeds: int | None,
    selection: Selection,
    override: Mapping[str, Any],
    found: tuned.Found,
) -> list[Cell]:
    method = column.method
    cls = registry.method_class(method)
    name = preset_name(column, budget)
    preset = method_config(method).presets[name].on(dataset.name)
    better = tuned.of(found, column, dataset.name)
    if better is not None:
        name, preset = tuned.PRESET, better.on(preset)
    used = protocol(config.protocol_of(row))
    trained = registry.kind(method) == "trainable" and not column.weights
    training = None
    if trained:
        shorter = limits.standin if dataset.standin else {}
        own = getattr(cls, "training_defaults", {})
        merged = {**own, **preset.training, **limits.training}
        training = parse({**merged, **shorter, **override}, Training, f"training of {method}")
        if training.epochs is None and training.windows is None:
            raise BadInput(
                f"the preset '{name}' of {method} does not say how long to train",
                hint="take --budget quick, or a preset with epochs",
            )
    about = dataset_config(dataset.name)
    if used.task == "recovery":
        intervals = row.intervals or preset.intervals or about.intervals
        geometry = {"interval": config.interval_of(row), "intervals": intervals}
    else:
        geometry = {
            "history": preset.history or about.history,
            "future": preset.future or about.future,
            **column.geometry,
        }
    setting = SETTINGS[used.task]
    setting.check(dataset, used, setting.geometry(dataset, geometry))
    said: dict[str, Any] = {"test_clips": limits.test_clips}
    if trained:
        said |= {
            "validations": limits.validations,
            "validation_windows": limits.validation_windows,
        }
    if registry.kind(method) == "fitted":
        said["fit_windows"] = limits.fit_windows
    options = column.options if column.weights else preset.options
    return [
        Cell(
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            method=method,
            preset="published" if column.weights else name,
            revision=cls.revision,
            options=registry.resolve_options(method, {**options, **column.options}),
            training=training.said if training else None,
            geometry=geometry,
            protocol=used.name,
            budget=budget,
            limits=said,
            selection=selection if trained else "last",
            seed=seed,
            weights=column.weights,
        )
        for seed in range((seeds or limits.seeds) if trained else 1)
    ]


def _column(config: TableConfig, name: str) -> Column:
    """The table's column of that method, or a new one for `method` or `method:preset`."""
    for column in config.columns:
        if name == column.key:
            return column
    method, _, preset = name.partition(":")
    title = registry.method_class(method).title
    if not preset:
        return Column(method=method, label=title, beyond=True)
    column = Column(method=method, preset=preset, beyond=True)
    chosen = method_config(method).presets[preset_name(column, "")]
    return column.model_copy(update={"label": chosen.title or f"{title} ({preset})"})
