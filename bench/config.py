"""Typed configuration, read from configs/ and tables/: every error at once, with its path.

The YAML files travel with the package: in a checkout they lie at its top, in a wheel in
`bench/_assets`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bench.contracts import BadInput
from bench.documents import read_yaml

Selection = Literal["last", "validation", "test"]
Task = Literal["recovery", "prediction"]


class Strict(BaseModel):
    """Unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(Strict):
    """How a trainable method is optimised: Adam with a schedule (spec 1.7, 2.2, 4.2, 5.3).

    Length is `epochs` (one epoch draws as many windows as the train split has) or `windows` in
    all, whichever is given; schedule 'exponential' multiplies the rate by `decay` after every
    epoch, 'steps' at each of `milestones` (shares of the whole length), 'cosine' brings it to
    zero at the end. precision: of the arithmetic in training alone: 'tf32' rounds the factors of
    matrix products on a GPU that can, 'bfloat16' computes what autocast lets it.
    """

    batch: int = Field(256, ge=1)
    lr: float = Field(1e-3, gt=0)
    amsgrad: bool = True
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["exponential", "steps", "cosine"] = "exponential"
    decay: float = Field(0.97, gt=0, le=1)
    milestones: tuple[float, ...] = ()
    epochs: int | None = Field(None, ge=1)
    windows: int | None = Field(None, ge=1)
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"

    @property
    def said(self) -> dict[str, Any]:
        """All settings as JSON; a precision only where it is not the usual one.

        A cell's key is made of this: it is the same as before there was a choice.
        """
        said = self.model_dump(mode="json")
        if self.precision == "float32":
            del said["precision"]
        return said


class Preset(Strict):
    """Hyper-parameters of a method under one name, with what differs for single datasets.

    intervals: Q of a recovery method; history, future: H and F of a prediction method.
    """

    title: str | None = None
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    intervals: int | None = Field(None, ge=1)
    history: int | None = Field(None, ge=1)
    future: int | None = Field(None, ge=1)
    datasets: dict[str, PresetChange] = {}

    def on(self, dataset: str) -> Preset:
        """The preset as it is for one dataset."""
        change = self.datasets.get(dataset)
        if change is None:
            return self
        return self.model_copy(
            update={
                "options": {**self.options, **change.options},
                "training": {**self.training, **change.training},
                "intervals": change.intervals or self.intervals,
            }
        )


class PresetChange(Strict):
    """What a preset changes for one dataset."""

    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    intervals: int | None = Field(None, ge=1)


class Ablation(Strict):
    """How `bench ablate` speaks of a method.

    flags: short names of options; without: by the name of a part, the options that remove it;
    implied: by option and value, what that value asks of other options.
    """

    flags: dict[str, str] = {}
    without: dict[str, dict[str, Any]] = {}
    implied: dict[str, dict[str, dict[str, Any]]] = {}


class MethodConfig(Strict):
    """configs/methods/NAME.yaml: presets by name, and the preset each budget takes.

    published: the preset whose size the published costs belong to, where that is not `paper`.
    """

    presets: dict[str, Preset]
    budgets: dict[str, str] = {}
    published: str = "paper"
    ablation: Ablation = Ablation()

    @property
    def of_publication(self) -> str:
        """The preset of the published size, or the first where there is no such one."""
        return self.published if self.published in self.presets else next(iter(self.presets))


class Budget(Strict):
    """configs/budgets.yaml: how long to train, how many seeds, how much is looked at.

    training: what overrides every method's own settings; standin: the same on stand-ins, whose
    clips are fewer.
    """

    summary: str
    seeds: int = Field(ge=1)
    training: dict[str, Any] = {}
    standin: dict[str, Any] = {}
    fit_windows: int | None = Field(None, ge=1)
    validations: int = Field(1, ge=1)
    validation_windows: int | None = Field(None, ge=1)
    test_clips: int | None = Field(None, ge=1)


class Source(Strict):
    """Where a dataset can be read from: a file layout and the names it uses there."""

    layout: Literal["deciwatch", "h36m", "expmap"]
    dataset: str = ""
    estimator: str = ""
    representation: Literal["3d", "2d", "smpl"] = "3d"


class StandinConfig(Strict):
    """How the synthetic clips in place of a dataset are made (docs/stand-ins.md).

    actions: motions, shared out evenly; clips, frames: how many clips of a split and how long
    they are; views: clips (cameras) of one performance; tempo: how fast people move; learnable:
    share of the slow errors' energy that is a fixed function of the pose; bursts: share of the
    frames in which a limb is occluded; fill: how much of the image a person takes at most;
    targets: full-rate metrics to reach where the dataset has no published `single_frame`; seed:
    datasets with the same one show the same performances to different estimators.
    """

    actions: tuple[str, ...]
    clips: dict[Literal["train", "validation", "test"], int]
    frames: tuple[int, int]
    views: int = Field(1, ge=1)
    tempo: float = Field(1.0, gt=0)
    learnable: float = Field(0.5, ge=0, le=1)
    bursts: float = Field(0.02, ge=0, le=1)
    fill: float = Field(0.9, gt=0, le=1)
    targets: dict[str, float] = {}
    seed: int = 0


class DatasetConfig(Strict):
    """configs/datasets/NAME.yaml.

    task: what is done with it; intervals: Q of its windows (recovery); history, future: H and F
    where a method does not say otherwise (prediction); `single_frame` holds the published
    full-rate errors; gflops: what the estimator costs per frame, as published (spec 3.5).
    """

    title: str
    task: Task = "recovery"
    estimator: str
    space: Literal["3d", "2d", "6d"]
    fps: float = Field(gt=0)
    skeleton: str
    intervals: int = Field(1, ge=1)
    history: int = Field(50, ge=1)
    future: int = Field(10, ge=1)
    image: tuple[int, int] | None = None
    lifter: Literal["held-out", "all", "out-of-fold"] | None = None
    sources: tuple[Source, ...] = ()
    single_frame: dict[str, float] = {}
    single_frame_source: str = ""
    gflops: float | None = Field(None, gt=0)
    standin: StandinConfig | None = None


class Published(Strict):
    """A published number, in the unit it is printed in.

    tolerance: how far a number may be from it and still count as the same; the table's for the
    metric when not given; source: when it is not the table's; note: why it may differ.
    """

    value: float
    tolerance: float | None = Field(None, ge=0)
    source: str = ""
    note: str = ""


class Row(Strict):
    """A row of a table: a dataset, and the published numbers of its entries by column and metric.

    In a file a bare number is a `value`, and a list follows the row's metrics. protocol, metrics,
    interval, intervals (K, Q): the row's own, where they are not the table's; action: only its
    clips; differs: why all of its published numbers may differ; note: anything else to be said.
    """

    dataset: str
    protocol: str | None = None
    action: str | None = None
    metrics: tuple[str, ...] | None = None
    interval: int | None = Field(None, ge=1)
    intervals: int | None = Field(None, ge=1)
    published: dict[str, dict[str, Published]] = {}
    note: str = ""
    differs: str = ""


class Column(Strict):
    """A column of a table: a method, perhaps under a preset other than the budget's.

    name: what it is called in `published` and by users, where the method alone does not say it;
    quoted: why it cannot be run here, and its published numbers are only quoted; geometry,
    weights: of published weights (`bench.checkpoints`), which are not trained here.
    """

    method: str = ""
    name: str = ""
    preset: str | None = None
    options: dict[str, Any] = {}
    label: str | None = None
    beyond: bool = False
    quoted: str = ""
    geometry: dict[str, int] = {}
    weights: str = ""

    @model_validator(mode="after")
    def _is_run_or_quoted(self) -> Self:
        if bool(self.method) == bool(self.quoted):
            raise ValueError("a column has a method, or says why it is only quoted")
        if not self.method and not self.name:
            raise ValueError("a quoted column needs a name")
        return self

    @property
    def key(self) -> str:
        """What `published` and users call it: name, method, method:preset or method@weights."""
        if self.name:
            return self.name
        key = self.method if self.preset is None else f"{self.method}:{self.preset}"
        return f"{key}@{self.weights}" if self.weights else key


class TableConfig(Strict):
    """tables/NAME.yaml: what a table compares, under which protocol, beside which numbers.

    layout: 'entries' has one entry for a method on a dataset, with the first metric and the others
    in brackets; 'metrics' has one line for a method and a column for every metric of every row;
    interval: K, for recovery; reference: the column that gains are measured from; differences:
    show them in every form of the table; tolerances: by metric, for published numbers that have
    none of their own.
    """

    title: str
    layout: Literal["entries", "metrics"] = "entries"
    metrics: tuple[str, ...]
    details: tuple[str, ...] = ()
    interval: int = Field(10, ge=1)
    protocol: str
    reference: str
    differences: bool = False
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    source: str
    tolerances: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _published_in_full(cls, raw: Any) -> Any:
        """Lists and bare numbers as mappings from metric to `Published`."""
        if not isinstance(raw, dict):
            return raw
        rows = raw.get("rows")
        if not isinstance(rows, list | tuple):
            return raw
        return {**raw, "rows": [_with_published(row, raw.get("metrics")) for row in rows]}

    @model_validator(mode="after")
    def _rows_fit_the_table(self) -> Self:
        keys = [column.key for column in self.columns]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{keys.count(key)} columns are called '{key}'; give them names")
        for row in self.rows:
            if row.metrics is not None and self.layout != "metrics":
                raise ValueError(f"{row.dataset}: a row has metrics of its own in layout metrics")
            for key, values in row.published.items():
                if key not in keys:
                    raise ValueError(f"{row.dataset}: published '{key}' is no column")
                for metric in values:
                    if metric not in (*self.metrics_of(row), *self.details):
                        raise ValueError(f"{row.dataset}: '{key}' has {metric}, which is no metric")
        return self

    def protocol_of(self, row: Row) -> str:
        """The protocol of a row: its own, or the table's."""
        return row.protocol or self.protocol

    def metrics_of(self, row: Row) -> tuple[str, ...]:
        """The metrics of a row: its own, or the table's."""
        return self.metrics if row.metrics is None else row.metrics

    def interval_of(self, row: Row) -> int:
        """K of a row: its own, or the table's."""
        return row.interval or self.interval


def _with_published(row: Any, metrics: Any) -> Any:
    """A row as in a file, with every published number as a mapping; what is wrong stays."""
    if not isinstance(row, dict) or not isinstance(row.get("published"), dict):
        return row
    metrics = row.get("metrics") or metrics
    if not isinstance(metrics, list | tuple):
        metrics = ()

    def full(values: Any) -> Any:
        if isinstance(values, list | tuple):
            if len(values) > len(metrics):
                raise ValueError(f"{row.get('dataset')}: more values than there are metrics")
            values = dict(zip(map(str, metrics), values, strict=False))
        if not isinstance(values, dict):
            return values
        return {m: {"value": v} if isinstance(v, int | float) else v for m, v in values.items()}

    return {**row, "published": {key: full(values) for key, values in row["published"].items()}}


class Sweeps(Strict):
    """configs/sweeps.yaml: what is published of errors against the sampling interval.

    frames: about how long the windows were; datasets: by dataset, method and metric the values at
    K = 1, 2, 3, ..., null where there is none.
    """

    source: str
    frames: int
    datasets: dict[str, dict[str, dict[str, tuple[float | None, ...]]]]

    def of(
        self, dataset: str, interval: int, frames: int, methods: Iterable[str]
    ) -> dict[str, dict[str, Published]]:
        """What is published of methods at one K, by method and metric; nothing of other windows."""
        if frames != self.frames:
            return {}
        found: dict[str, dict[str, Published]] = {}
        for method in methods:
            for metric, values in self.datasets.get(dataset, {}).get(method, {}).items():
                value = values[interval - 1] if interval <= len(values) else None
                if value is not None:
                    found.setdefault(method, {})[metric] = Published(value=value)
        return found


Preset.model_rebuild()

_Model = TypeVar("_Model", bound=BaseModel)


def assets() -> Path:
    """The folder that holds `configs/` and `tables/`."""
    packed = Path(__file__).parent / "_assets"
    return packed if packed.is_dir() else Path(__file__).parent.parent


def nearest_names(name: str, known: Iterable[str]) -> str:
    """A hint naming what the user may have meant, for the end of an error line."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


def read(path: Path, model: type[_Model]) -> _Model:
    """Read a YAML file (safe loader) into a model; BadInput lists every error with its path."""
    return parse(read_yaml(path), model, path)


def parse(raw: object, model: type[_Model], file: object) -> _Model:
    """Validate plain data; BadInput lists every error with its path and the nearest valid key."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            text = item["msg"]
            if item["type"] == "extra_forbidden":
                text = f"unknown key, {nearest_names(str(item['loc'][-1]), _keys(model, item))}"
            problems.append(f"{where}: {text}" if where else text)
        raise BadInput("; ".join(problems), file=file) from error


def _keys(model: type[BaseModel], item: ErrorDetails) -> Iterable[str]:
    """The keys that were possible where an unknown one was found."""
    for part in item["loc"][:-1]:
        if isinstance(part, str) and part in model.model_fields:
            inner = list(_models(model.model_fields[part].annotation))
            model = inner[0] if inner else model
    return model.model_fields


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models named in an annotation such as `tuple[Row, ...]` or `dict[str, Preset]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _names(kind: str) -> list[str]:
    return sorted(path.stem for path in (assets() / kind).glob("*.yaml"))


def _load(kind: str, what: str, name: str, model: type[_Model]) -> _Model:
    if name not in _names(kind):
        raise BadInput(f"unknown {what} '{name}'", hint=nearest_names(name, _names(kind)))
    return read(assets() / kind / f"{name}.yaml", model)


def dataset_names() -> list[str]:
    """Every dataset in configs/datasets."""
    return _names("configs/datasets")


def table_names() -> list[str]:
    """Every table in tables/."""
    return _names("tables")


@cache
def dataset_config(name: str) -> DatasetConfig:
    """The configuration of a dataset; BadInput with the nearest names when there is none."""
    return _load("configs/datasets", "dataset", name, DatasetConfig)


@cache
def table_config(name: str) -> TableConfig:
    """A table's specification; BadInput with the nearest names when there is none."""
    return _load("tables", "table", name, TableConfig)


@cache
def method_config(name: str) -> MethodConfig:
    """The presets of a method; a method without a file has one, empty, named `default`."""
    # A plugin or a stored plan may call a method anything: only names that are there become paths.
    if name not in _names("configs/methods"):
        return MethodConfig(presets={"default": Preset()})
    return _load("configs/methods", "method", name, MethodConfig)


@cache
def budgets() -> dict[str, Budget]:
    """Every budget by name."""
    path = assets() / "configs/budgets.yaml"
    raw = read_yaml(path)
    return {name: parse(budget, Budget, f"{path}: {name}") for name, budget in raw.items()}
