"""What a user asked for, and the table that this makes: names and options alone, and no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench import config as configs
from bench import registry, tuned
from bench.config import Column, Selection, TableConfig
from bench.contracts import BadInput
from bench.results import Planned, Redo, Result

if TYPE_CHECKING:
    from bench.checkpoints import Foreign
    from bench.data.clips import Dataset

Engine = Literal["local", "dask"]


@dataclass(frozen=True)
class Request:
    """What a user asked for; the defaults are the command line's.

    config: the table itself, where no file in tables/ holds it; tuned: a file or folder of tuned
    presets.
    """

    table: str
    config: TableConfig | None = None
    methods: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    seeds: int | None = None
    budget: str = "quick"
    device: str = "auto"
    precision: str = "float32"
    compiled: bool = False
    data: tuple[Path, ...] = ()
    redo: Redo = "missing"
    protocol: str | None = None
    metrics: tuple[str, ...] | None = None
    selection: Selection = "validation"
    workers: int | None = None
    engine: Engine = "local"
    scheduler: str | None = None
    plugins: tuple[Path, ...] = ()
    out: Path = Path("out")
    checkpoints: tuple[Path, ...] = ()
    by: Literal["action"] | None = None
    tuned: Path | None = None
    compute: bool = True
    track: bool = True
    command: str = ""


def that_fit(requests: Sequence[Request]) -> tuple[list[Request], list[str]]:
    """The requests whose options suit their table, and a line for each of the others.

    BadInput, with the first reason, when none does.
    """
    fit, left_out = [], []
    first: BadInput | None = None
    for request in requests:
        try:
            configured(request)
        except BadInput as error:
            first = first or error
            left_out.append(f"{request.table} is left out: {error}")
        else:
            fit.append(request)
    if first is not None and not fit:
        raise first
    return fit, left_out


def configured(request: Request) -> tuple[TableConfig, list[Foreign]]:
    """The table as asked for, and the published weights that are columns of it.

    Looks at names and options alone, and at no data. BadInput for what cannot be together.
    """
    from bench import checkpoints
    from bench.plan import budget_named, check_task, chosen_table
    from bench.report.build import check_rows

    for plugin in request.plugins:
        registry.load_plugin(plugin)
    config = chosen_table(
        request.config or configs.table_config(request.table),
        request.methods,
        request.datasets,
        request.budget,
    )
    if request.protocol is not None:
        config = _under(config, request.protocol)
    if request.metrics is not None:
        config = _showing(config, request.metrics)
    budget_named(request.budget)
    published = checkpoints.find(request.checkpoints)
    config = _with_published(config, published)
    check_task(config)
    check_rows(config)
    _check_metrics(config)
    _check_joints(config, published)
    return config, published


def planned_cells(
    request: Request,
    config: TableConfig,
    datasets: Mapping[str, Dataset],
    found: tuned.Found,
) -> list[Planned]:
    """The cells of a table as asked for, with their places; datasets, found: as in `plan.plan`."""
    from bench.plan import plan

    # The usual arithmetic is not said, so that tables and tuned presets may have another one.
    own = {} if request.precision == "float32" else {"precision": request.precision}
    return plan(
        config,
        datasets,
        budget=request.budget,
        seeds=request.seeds,
        selection=request.selection,
        training=own,
        found=found,
    )


def wanted(stored: Result | None, request: Request) -> bool:
    """Whether a request computes a cell of which this much is stored."""
    if not request.compute:
        return False
    if stored is None or request.redo == "all":
        return True
    return request.redo == "failed" and stored.status == "failed"


def check_engine(request: Request) -> None:
    """Raise BadInput unless it is said which cluster computes."""
    if (request.engine == "dask") != (request.scheduler is not None):
        raise BadInput(
            "a cluster needs both --engine dask and --scheduler",
            hint="--scheduler tcp://HOST:PORT, or a file: see docs/cluster.md",
        )


def _showing(config: TableConfig, metrics: tuple[str, ...]) -> TableConfig:
    """A table with other metrics, in all of its rows, and what was published of them."""
    rows = [
        row.model_copy(
            update={
                "metrics": None,
                "published": {
                    key: {metric: said for metric, said in values.items() if metric in metrics}
                    for key, values in row.published.items()
                },
            }
        )
        for row in config.rows
    ]
    return config.model_copy(update={"metrics": metrics, "details": (), "rows": tuple(rows)})


def _under(config: TableConfig, protocol: str) -> TableConfig:
    """A table under one protocol: each dataset once, published values of that protocol alone."""
    rows = {}
    for row in config.rows:
        if config.protocol_of(row) == protocol:
            rows[row.dataset, row.interval] = row.model_copy(update={"protocol": None})
        else:
            bare = row.model_copy(update={"protocol": None, "published": {}})
            rows.setdefault((row.dataset, row.interval), bare)
    return config.model_copy(update={"protocol": protocol, "rows": tuple(rows.values())})


def _with_published(config: TableConfig, published: Sequence[Foreign]) -> TableConfig:
    """A table with a column for every published model, behind its method's own."""
    columns = list(config.columns)
    for foreign in published:
        column = Column(
            method=foreign.method,
            options=dict(foreign.adopted.options),
            geometry=dict(foreign.adopted.geometry),
            label=foreign.label,
            weights=foreign.digest,
            beyond=True,
        )
        places = [i for i, other in enumerate(columns) if other.method == foreign.method]
        columns.insert(places[-1] + 1 if places else len(columns), column)
    return config.model_copy(update={"columns": tuple(columns)})


def _check_joints(config: TableConfig, published: Sequence[Foreign]) -> None:
    """Raise BadInput for published weights of another skeleton than a dataset of the table has."""
    from bench.data.clips import DIMS
    from bench.data.skeletons import SKELETONS

    for row in config.rows:
        about = configs.dataset_config(row.dataset)
        joints = len(SKELETONS[about.skeleton].joints)
        for foreign in published:
            foreign.check_skeleton(row.dataset, joints, DIMS[about.space])


def _check_metrics(config: TableConfig) -> None:
    """Raise BadInput unless every dataset of the table has every leading metric of its row.

    Details stand in the rows that have them.
    """
    from bench.metrics import COSTS, metric_info
    from bench.protocols import metrics_of

    for metric in config.details:
        metric_info(metric)
    for row in config.rows:
        space = configs.dataset_config(row.dataset).space
        known = metrics_of(config.protocol_of(row), space)
        for metric in config.metrics_of(row):
            metric_info(metric)
            if metric not in COSTS and metric.partition(":")[0] not in known:
                raise BadInput(
                    f"{row.dataset} is a {space} dataset without {metric}",
                    hint=f"choose other datasets, or --metrics of {', '.join(known)}",
                )
