"""Ablations: from flags such as `--rt 1,4 --without se` to a table of variants of one method.

How a method's options are called and what they imply stands in its configs/methods/NAME.yaml.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from bench import registry
from bench.config import (
    Column,
    Row,
    TableConfig,
    dataset_config,
    method_config,
    nearest_names,
)
from bench.contracts import BadInput
from bench.documents import from_yaml
from bench.metrics import LEADING
from bench.plan import preset_name

Grid = Literal["full", "single"]
Changes = Mapping[str, tuple[str, ...]]

BASELINE = "default"
"""The column of the method as its preset has it, which differences are measured from."""

_HORIZONS = ("mpjpe@80", "mpjpe@160", "mpjpe@320", "mpjpe@400")
_COSTS = ("live", "macs")
_USUAL = {
    "recovery": ("h36m-fcn", "deciwatch"),
    "prediction": ("h36m-motion", "h36m-average"),
}


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    changes: values by flag, as typed; without: names of parts to remove; grid: 'full' for all
    combinations, 'single' for one change at a time; interval, intervals (K, Q), protocol, preset,
    metrics: None for the usual; beside: the command's own flags, for hints.
    """

    method: str
    changes: Changes
    without: tuple[str, ...]
    grid: Grid
    datasets: tuple[str, ...]
    budget: str
    interval: int | None = None
    intervals: int | None = None
    preset: str | None = None
    protocol: str | None = None
    metrics: tuple[str, ...] | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Step:
    """One change: how it is called, the options that it sets, and others that they imply."""

    label: str
    options: Mapping[str, Any]
    implied: Mapping[str, Any] = field(default_factory=dict)


def usual_dataset(method: str) -> str:
    """The dataset of an ablation when none is named."""
    return _USUAL[registry.task(method)][0]


def parsed(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`--rt 1,4 --attention=dense` -> values by flag; BadInput for anything else."""
    changes: dict[str, tuple[str, ...]] = {}
    rest = list(words)
    while rest:
        flag, has_value, value = rest.pop(0).partition("=")
        if not flag.startswith("--") or len(flag) < 3:
            raise BadInput("not a flag", found=flag, expected="--OPTION VALUE[,VALUE...]")
        if not has_value:
            if not rest or rest[0].startswith("--"):
                raise BadInput(f"{flag} needs a value", expected=f"{flag} VALUE[,VALUE...]")
            value = rest.pop(0)
        values = tuple(part.strip() for part in value.split(",") if part.strip())
        if not values:
            raise BadInput(f"{flag} needs a value", expected=f"{flag} VALUE[,VALUE...]")
        name = flag.removeprefix("--")
        changes[name] = tuple(dict.fromkeys((*changes.get(name, ()), *values)))
    return changes


def listed(method: str, budget: str, preset: str | None = None) -> list[str]:
    """The flags of a method with the baseline's values, and the parts that can be removed.

    preset: of the baseline, the budget's when None.
    """
    registry.method_class(method)
    said = method_config(method).ablation
    chosen = preset_name(Column(method=method, preset=preset), budget)
    start = method_config(method).presets[chosen]
    short = {option: flag for flag, option in said.flags.items()}
    lines = []
    changed = {name for other in start.datasets.values() for name in other.options}
    for name, value in registry.resolve_options(method, start.options).items():
        flags = [f"--{short[name]}"] if name in short else []
        words = ", ".join([*flags, "--" + name.replace("_", "-")])
        text = json.dumps(value).strip('"')
        lines.append(f"{words}  (default {text}{', others by dataset' if name in changed else ''})")
    if said.without:
        lines.append(f"--without  {', '.join(said.without)}")
    return lines or [f"{method} has no options"]


def table(asked: Asked) -> TableConfig:
    """The table of an ablation: the baseline first, then the variants in the order of the flags.

    BadInput for unknown flags, parts, values, datasets, for K or Q of a method that predicts, and
    when no variant differs from the baseline.
    """
    task = registry.task(asked.method)
    if task == "prediction" and (asked.interval or asked.intervals):
        raise BadInput(
            f"{asked.method} predicts, so that there are no keyframes with an interval",
            hint="leave --interval and --intervals out",
        )
    baseline = Column(method=asked.method, preset=asked.preset, name=BASELINE, label=BASELINE)
    preset = method_config(asked.method).presets[preset_name(baseline, asked.budget)]
    datasets = dict.fromkeys(asked.datasets)
    starts = [preset.on(name).options for name in datasets]

    def resolved(options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """With every hyper-parameter, on each dataset."""
        return [registry.resolve_options(asked.method, {**start, **options}) for start in starts]

    axes = list(_axes(asked))
    if not axes:
        raise BadInput(
            "nothing to vary", hint=f"bench ablate --method {asked.method} --list names the flags"
        )
    columns, seen = [baseline], [resolved({})]
    same: dict[str, None] = {}
    for steps in _combined(axes, asked.grid):
        label = ", ".join(step.label for step in steps)
        options: dict[str, Any] = {}
        # What is asked for wins over what is implied by something else.
        for changes in (*(step.implied for step in steps), *(step.options for step in steps)):
            options |= changes
        variant = resolved(options)
        if variant == seen[0]:
            same |= dict.fromkeys(step.label for step in steps)
        if variant in seen:
            continue
        seen.append(variant)
        columns.append(
            Column(
                method=asked.method, preset=asked.preset, name=label, label=label, options=options
            )
        )
    if len(columns) == 1:
        raise BadInput(
            "every variant is the baseline", found=", ".join(same), hint="vary something else"
        )
    if same:
        columns[0] = baseline.model_copy(update={"label": f"{BASELINE} ({', '.join(same)})"})
    rows = [
        Row(
            dataset=name,
            intervals=asked.intervals if task == "recovery" else None,
            metrics=asked.metrics or _metrics_of(name),
        )
        for name in datasets
    ]
    title = registry.method_class(asked.method).title
    return TableConfig(
        title=f"Ablation of {title}",
        source="",
        layout="metrics",
        metrics=rows[0].metrics or (),
        interval=asked.interval or 10,
        protocol=asked.protocol or _USUAL[task][1],
        reference=BASELINE,
        differences=True,
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _metrics_of(dataset: str) -> tuple[str, ...]:
    config = dataset_config(dataset)
    errors = _HORIZONS if config.task == "prediction" else LEADING[config.space]
    return (*errors, *_COSTS)


def _axes(asked: Asked) -> Iterator[list[_Step]]:
    """What is varied: for each flag its values, and the parts to remove with 'none removed'."""
    options = registry.method_class(asked.method).Options
    known = {field.name.replace("_", "-"): field.name for field in dataclasses.fields(options)}
    said = method_config(asked.method).ablation
    for flag, values in asked.changes.items():
        option = said.flags.get(flag) or known.get(flag.replace("_", "-"))
        if option is None:
            raise BadInput(
                f"the method '{asked.method}' has no option for --{flag}",
                hint=_nearest(flag, [*said.flags, *known], asked.beside),
            )
        yield [
            _Step(
                f"{flag}={text}",
                {option: _value(flag, text)},
                said.implied.get(option, {}).get(text, {}),
            )
            for text in values
        ]
    if asked.without:
        for part in asked.without:
            if part not in said.without:
                raise BadInput(
                    f"'{part}' is no part of {asked.method} that can be removed",
                    hint=nearest_names(part, said.without) if said.without else "it has none",
                )
        yield [
            *([_Step("", {})] if asked.changes and asked.grid == "full" else []),
            *(_Step(f"without {part}", said.without[part]) for part in asked.without),
        ]


def _value(flag: str, text: str) -> Any:
    """A typed value: a number, true, false, null, or else a word."""
    try:
        return from_yaml(text)
    except BadInput as error:
        raise BadInput(f"--{flag} has no such value", found=text) from error


def _nearest(flag: str, own: Sequence[str], beside: Sequence[str]) -> str:
    """What a flag may have been meant for: one of the method's, or else of the command's."""
    mine = nearest_names(flag, own) if own else "it has no options"
    if mine.startswith("did you mean"):
        return mine
    others = nearest_names(flag, beside)
    return others if others.startswith("did you mean") else mine


def _combined(axes: Sequence[Sequence[_Step]], grid: Grid) -> Iterator[list[_Step]]:
    """The variants: all combinations, or every change by itself."""
    if grid == "single":
        yield from ([step] for axis in axes for step in axis)
        return
    for steps in product(*axes):
        yield [step for step in steps if step.label]
