"""What the commands do, without the command line: run a table, check data, prepare data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench import registry, tuned
from bench.config import TableConfig
from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.files import sweep
from bench.request import Request, check_engine, configured, planned_cells, wanted
from bench.results import Cell, Result, Results, check_writable

if TYPE_CHECKING:
    from bench.checkpoints import Foreign
    from bench.cluster import Cluster
    from bench.data.clips import Dataset
    from bench.report.table import Table


class Progress(Protocol):
    """What a run tells as it goes on."""

    def say(self, text: str) -> None:
        """A line about data being made ready."""

    def begin(self, cells: int, earlier: int, names: Mapping[str, str]) -> None:
        """So many cells will be computed, so many are there from earlier; names: by cell key."""

    def tell(self, key: str, share: float, text: str) -> None:
        """A cell is `share` (0 to 1) done and at `text`."""

    def done(self, result: Result) -> None:
        """A cell is finished."""


@dataclass(frozen=True)
class Outcome:
    """What a run left: the table, its files, and lines the user must see."""

    table: Table
    files: tuple[Path, ...]
    warnings: tuple[str, ...]
    failed: int


def device_named(name: str) -> str:
    """auto, cpu or cuda -> the device torch is given; BadInput when it is not there."""
    if name == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    if name == "cuda":
        raise BadInput("no CUDA device is available", hint="use --device cpu")
    return "cpu"


def run_table(request: Request, progress: Progress) -> Outcome:
    """Plan a table, compute what is missing, store, draw.

    Everything the user may have got wrong is found before anything is computed. BadInput when
    it is, and when no cell is left to run.
    """
    ready = _ready(request, progress)
    from bench import plans, report
    from bench.engines import run_jobs
    from bench.report.table import Run
    from bench.run import jobs_for
    from bench.sharing import Share
    from bench.tracking import Tracker

    planned = planned_cells(request, ready.config, ready.datasets, ready.tuned)
    if not planned:
        why = "".join(f"; {said}" for said in ready.missing.values())
        raise BadInput(f"nothing to run: the table has no cell for these methods and data{why}")
    plan = plans.Plan(
        request.table,
        ready.config,
        tuple(planned),
        _every_frame(ready.config),
        ready.missing,
        request.by,
        request.command,
    )
    if request.config is not None:
        _check_builds(plan.cells, ready.datasets)
    results = Results(request.out)
    if request.compute:
        _tidy(request.out)
        _keep(ready.published, plan.cells, request)
        plans.save(plan, request.out)
    began = time.perf_counter()
    # Before what is stored is read: whatever changes from here on was done by others.
    stamps = {cell.key: results.stamp(cell) for cell in plan.cells}
    stored = {cell.key: results.get(cell, progress.say) for cell in plan.cells}
    todo = [cell for cell in plan.cells if wanted(stored[cell.key], request)]
    again = {cell.key for cell in todo}
    kept = [result for key, result in stored.items() if result and key not in again]
    fresh: list[Result] = []
    workers = _workers(request, progress, any_work=bool(todo))
    jobs = jobs_for(
        todo,
        ready.folders,
        ready.device if isinstance(workers, int) else workers.device(request.device),
        request.out,
        plugins=request.plugins,
        redo=request.redo,
        compiled=request.compiled,
    )
    progress.begin(len(todo), len(kept), plan.names)
    tracker = Tracker(request.out, request.table) if request.track else None
    share = Share(results, stamps, progress.say)
    computed = share.computed(jobs, partial(run_jobs, workers=workers, tell=progress.tell))
    # Closing stops the workers at once when anything here is interrupted.
    with tracker or _Untracked() as log, closing(computed):
        for result in kept:
            log.log(result)
        try:
            for result in computed:
                fresh.append(result)
                progress.done(result)
                for line in result.provenance.get("warnings", ()):
                    progress.say(line)
                log.log(result)
        except KeyboardInterrupt as stop:
            stop.add_note(f"{len(fresh)} of {len(todo)} cells are done")
            raise
        run = Run(
            computed=len(fresh) - share.others,
            earlier=len(kept) + share.others,
            seconds=time.perf_counter() - began,
            command=request.command,
            folder=request.out,
        )
        table = plan.drawn([*kept, *fresh], run)
        files = report.write(table, request.out)
        log.table()
    failed = sum(result.status == "failed" for result in (*kept, *fresh))
    return Outcome(table, tuple(files), tuple(log.warnings), failed)


def _tidy(out: Path) -> None:
    """Delete what killed commands left half-written in an output folder."""
    for folder in (out, *(out / name for name in ("plans", "results", "unfinished", "weights"))):
        sweep(folder)


class _Untracked:
    """Stands where MLflow would, and does nothing."""

    warnings: tuple[str, ...] = ()

    def __enter__(self) -> _Untracked:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def log(self, result: Result) -> None:
        """Nothing."""

    def table(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _Ready:
    """A table as asked for, with all that its run needs.

    datasets, folders: by name, those that are there; missing: why the others are not.
    """

    config: TableConfig
    datasets: dict[str, Dataset]
    folders: dict[str, Path]
    missing: dict[str, str]
    device: str
    published: list[Foreign]
    tuned: tuned.Found


def _ready(request: Request, progress: Progress) -> _Ready:
    """The table as asked for, its datasets opened, the device and the published weights.

    Everything that can be refused. A dataset of the table that is not there is not refused,
    unless it was asked for by name: its row says what is missing.
    """
    from bench.data import catalogue, store
    from bench.report.actions import check_actions

    config, published = configured(request)
    found = tuned.load(request.tuned) if request.tuned else {}
    check_engine(request)
    check_writable(request.out)
    # On a cluster it is the workers that need the device.
    device = device_named("auto" if request.engine == "dask" else request.device)
    if request.precision == "tf32" and request.engine != "dask" and device == "cpu":
        raise BadInput("tf32 is arithmetic of a GPU", hint="use bfloat16, or --device cuda")
    roots = catalogue.data_roots(request.data)
    folders: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for name in dict.fromkeys(row.dataset for row in config.rows):
        try:
            catalogue.locate(name, roots)
        except catalogue.NoData as error:
            if request.datasets is not None:
                raise
            missing[name] = str(error)
            continue
        folders[name] = catalogue.open_folder(
            name,
            roots,
            budget=request.budget,
            device=device,
            make=request.compute,
            say=progress.say,
        )
    datasets = {name: store.load(folder) for name, folder in folders.items()}
    if request.by:
        for name, dataset in datasets.items():
            check_actions(name, (clip.recording for clip in dataset.clips["test"]))
    if found:
        known = {name: dataset.fingerprint for name, dataset in datasets.items()}
        config = tuned.noted(config, found, known)
    return _Ready(config, datasets, folders, missing, device, published, found)


def _every_frame(config: TableConfig) -> tuple[str, ...]:
    """The methods of a table that see the estimator at every frame."""
    methods = dict.fromkeys(column.method for column in config.columns if column.method)
    return tuple(method for method in methods if registry.sees(method) == "frames")


def _check_builds(cells: Sequence[Cell], datasets: Mapping[str, Dataset]) -> None:
    """Raise BadInput for options that a method cannot be built with, which no file vouches for."""
    from bench.tasks import setting_of

    for cell in cells:
        geometry = setting_of(cell).geometry
        if cell.seed:
            continue
        try:
            registry.build(
                cell.method, cell.options, geometry(datasets[cell.dataset], cell.geometry)
            )
        except FOREIGN_ERRORS as error:
            raise BadInput(
                f"{cell.method} cannot be built with these options on {cell.dataset}",
                found=f"{type(error).__name__}: {error}",
            ) from error


def _keep(published: Sequence[Foreign], cells: Sequence[Cell], request: Request) -> None:
    """Put published weights where trained ones are kept."""
    from bench.weights import Weights

    weights = Weights(request.out)
    by_digest = {foreign.digest: foreign.adopted.state for foreign in published}
    for cell in cells:
        if cell.weights and weights.load(cell) is None:
            weights.save(cell, by_digest[cell.weights], {})


def _workers(request: Request, progress: Progress, *, any_work: bool) -> int | Cluster:
    """How many processes of this machine do the work, or the cluster that does it."""
    if request.engine == "dask" and any_work:
        from bench.cluster import connected

        return replace(connected(request.scheduler or ""), say=progress.say)
    if request.workers is not None:
        return request.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def dry_run(
    requests: Sequence[Request], *, calibrate: bool, say: Callable[[str], None]
) -> list[str]:
    """What requests would compute and how long that would take, in lines; nothing is written.

    Trained cells are taken to need what `device` says, whether or not it is on this machine.
    calibrate: measure on this machine what no stored result tells; say: receives progress.
    """
    from bench import forecast

    seen: set[str] = set()
    told = []
    for request in requests:
        asked = "cuda:0" if request.device == "cuda" and not calibrate else ""
        device = asked or device_named(request.device)
        told.append(forecast.forecast(request, device, seen))
    known = forecast.measured(requests[0].out)
    if calibrate:
        known = forecast.calibrated(known, told, say)
    counts = {1, 2, 4, 8, 16, 32, requests[0].workers or 1}
    return forecast.lines(told, known, sorted(counts))
