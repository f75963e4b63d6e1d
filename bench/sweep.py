"""How errors and costs go with the sampling interval K: a table with a row for each, a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.config import Column, Row, Sweeps, TableConfig, assets, dataset_config, read
from bench.contracts import BadInput
from bench.metrics import LEADING

if TYPE_CHECKING:
    from bench.report.table import Table

_METHODS = ("estimator", "linear", "quadratic", "cubic", "ridge", "deciwatch", "mixsynthformer")
_SHORT = 11
_PUBLISHED_UNDER = "deciwatch"
_COSTS = ("macs", "total")


def parsed(text: str) -> tuple[int, ...]:
    """`2:20`, `2:20:3` or `2,5,10` -> the values of K; BadInput for anything else."""
    try:
        if ":" in text:
            first, last, *step = (int(part) for part in text.split(":"))
            values = tuple(range(first, last + 1, *step)) if min(step, default=1) > 0 else ()
        else:
            values = tuple(sorted({int(part) for part in text.split(",")}))
    except (ValueError, TypeError):
        values = ()
    if not values or min(values) < 1:
        raise BadInput(
            "not values of K", found=text, expected="FIRST:LAST, FIRST:LAST:STEP or a list"
        )
    return values


def table(
    dataset: str,
    intervals: Sequence[int],
    methods: Sequence[str] | None,
    *,
    frames: int | None = None,
    protocol: str = "deciwatch",
    metrics: tuple[str, ...] | None = None,
    plugins: Sequence[Path] = (),
) -> TableConfig:
    """A table with a row for each K, of windows as long as fits into `frames`.

    Q is (frames - 1) // K, and at least 1. frames: None for what was published (101), or for two
    keyframes at K = 10 where the dataset's own windows are so short. BadInput for a dataset of
    another task, and for `frames` that hold no interval.
    """
    for plugin in plugins:
        registry.load_plugin(plugin)
    about = dataset_config(dataset)
    if about.task != "recovery":
        raise BadInput(f"{dataset} has no sampling interval", hint="choose a dataset of recovery")
    said = read(assets() / "configs/sweeps.yaml", Sweeps)
    if frames is None:
        frames = said.frames if about.intervals > 1 else _SHORT
    elif frames <= max(intervals):
        raise BadInput(
            "the windows are shorter than an interval",
            found=f"{frames} frames, K = {max(intervals)}",
            hint="raise --frames",
        )
    columns = [_column(name) for name in dict.fromkeys(methods or _METHODS)]
    cost = "macs" if about.gflops is None else "total"
    names = metrics or (*LEADING[about.space], cost)
    keys = [column.key for column in columns]
    rows = [
        Row(
            dataset=dataset,
            interval=interval,
            intervals=max((frames - 1) // interval, 1),
            published={
                key: {metric: value for metric, value in values.items() if metric in names}
                for key, values in said.of(dataset, interval, frames, keys).items()
                if protocol == _PUBLISHED_UNDER
            },
        )
        for interval in intervals
    ]
    return TableConfig(
        title=f"{about.title} against the sampling interval",
        source=said.source,
        metrics=names,
        details=_COSTS,
        protocol=protocol,
        reference="linear" if "linear" in keys else keys[0],
        columns=tuple(columns),
        rows=tuple(rows),
    )


def draw(table: Table, folder: Path) -> list[Path]:
    """NAME.pdf, .svg and .png: a panel for each metric, a line for each method; the paths."""
    from bench.report.figure import against_interval

    return against_interval(table, folder)


def _column(name: str) -> Column:
    method, _, preset = name.partition(":")
    title = registry.method_class(method).title
    if preset:
        return Column(method=method, preset=preset, label=f"{title} ({preset})")
    return Column(method=method, label="every frame" if method == "estimator" else title)
