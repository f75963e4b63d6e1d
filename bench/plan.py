"""From a table's specification to cells: every option resolved, nothing left to decide."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bench import registry, tuned
from bench.config import (
    Budget,
    Column,
    Preset,
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
    terms = _Terms(config, budget, seeds, selection, training, found)
    return [
        Planned(row_number, column_number, cell)
        for row_number, row in enumerate(config.rows)
        if row.dataset in datasets
        for column_number, column in enumerate(config.columns)
        if not column.quoted
        for cell in terms.cells(row, column, datasets[row.dataset])
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


@dataclass(frozen=True)
class _Terms:
    """What holds for every cell of a plan; the fields are `plan`'s."""

    config: TableConfig
    budget: str
    seeds: int | None
    selection: Selection
    training: Mapping[str, Any]
    found: tuned.Found

    @property
    def limits(self) -> Budget:
        return budget_named(self.budget)

    def cells(self, row: Row, column: Column, dataset: Dataset) -> list[Cell]:
        """One cell for each seed."""
        method = column.method
        name, preset = self._preset(column, dataset)
        trained = registry.kind(method) == "trainable" and not column.weights
        training = self._training(method, name, preset, dataset) if trained else None
        used = protocol(self.config.protocol_of(row))
        geometry = self._geometry(used.task, row, column, preset)
        setting = SETTINGS[used.task]
        setting.check(dataset, used, setting.geometry(dataset, geometry))
        options = column.options if column.weights else preset.options
        return [
            Cell(
                dataset=dataset.name,
                fingerprint=dataset.fingerprint,
                method=method,
                preset="published" if column.weights else name,
                revision=registry.method_class(method).revision,
                options=registry.resolve_options(method, {**options, **column.options}),
                training=training.said if training else None,
                geometry=geometry,
                protocol=used.name,
                budget=self.budget,
                limits=self._limits(method, trained),
                selection=self.selection if trained else "last",
                seed=seed,
                weights=column.weights,
            )
            for seed in range((self.seeds or self.limits.seeds) if trained else 1)
        ]

    def _preset(self, column: Column, dataset: Dataset) -> tuple[str, Preset]:
        """The preset a column takes on a dataset, and its name."""
        name = preset_name(column, self.budget)
        preset = method_config(column.method).presets[name].on(dataset.name)
        better = tuned.of(self.found, column, dataset.name)
        return (name, preset) if better is None else (tuned.PRESET, better.on(preset))

    def _training(self, method: str, name: str, preset: Preset, dataset: Dataset) -> Training:
        """The method's, the preset's, the budget's, `plan`'s: each overrides those before it."""
        own = getattr(registry.method_class(method), "training_defaults", {})
        shorter = self.limits.standin if dataset.standin else {}
        merged = {**own, **preset.training, **self.limits.training, **shorter, **self.training}
        training = parse(merged, Training, f"training of {method}")
        if training.epochs is None and training.windows is None:
            raise BadInput(
                f"the preset '{name}' of {method} does not say how long to train",
                hint="take --budget quick, or a preset with epochs",
            )
        return training

    def _geometry(self, task: Task, row: Row, column: Column, preset: Preset) -> dict[str, int]:
        """Of a window, or of history and future."""
        about = dataset_config(row.dataset)
        if task == "recovery":
            intervals = row.intervals or preset.intervals or about.intervals
            return {"interval": self.config.interval_of(row), "intervals": intervals}
        return {
            "history": preset.history or about.history,
            "future": preset.future or about.future,
            **column.geometry,
        }

    def _limits(self, method: str, trained: bool) -> dict[str, Any]:
        """What the budget bounds that this method does."""
        limits = self.limits
        said: dict[str, Any] = {"test_clips": limits.test_clips}
        if trained:
            said |= {
                "validations": limits.validations,
                "validation_windows": limits.validation_windows,
            }
        if registry.kind(method) == "fitted":
            said["fit_windows"] = limits.fit_windows
        return said


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
