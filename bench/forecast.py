"""What a run would take: cells, steps, hours from measured speeds, and what more workers save.

Nothing is computed for a table and nothing is written. Speeds come from results that lie in the
output folder, of the same kind of device; `calibrated` measures those that are missing.
"""

from __future__ import annotations

import heapq
import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import config as configs
from bench import tuned
from bench.contracts import BadInput
from bench.data import catalogue, store
from bench.data.clips import Dataset
from bench.data.standin import standin
from bench.request import Request, configured, planned_cells, wanted
from bench.results import Cell, Result, Results, from_json
from bench.run import Job, compute, jobs_for
from bench.tasks import setting_of
from bench.weights import Weights

# Steps of a calibration: the difference of the two is timed, so that starting costs nothing.
_STEPS = (4, 24)


@dataclass(frozen=True)
class Ahead:
    """A job that a run would do.

    steps: of training, 0 where nothing is trained; frames: to be scored; gpu: what it needs.
    """

    job: Job
    steps: int
    frames: int

    @property
    def gpu(self) -> bool:
        """Whether it needs a GPU."""
        return self.job.device != "cpu"

    @property
    def kind(self) -> str:
        """Equal for jobs whose speeds are the same on one device."""
        return _kind(self.job.cells[0], gpu=self.gpu)


@dataclass(frozen=True)
class Forecast:
    """One table: its cells, those that are stored, the jobs ahead, and rows that cannot be told."""

    table: str
    cells: int
    stored: int
    ahead: tuple[Ahead, ...]
    datasets: Mapping[str, Dataset]
    unknown: tuple[str, ...] = ()


@dataclass
class Speeds:
    """Measured speeds by kind of job: steps a second, seconds to fit, frames scored a second."""

    steps: dict[str, float] = field(default_factory=dict)
    fit: dict[str, float] = field(default_factory=dict)
    frames: dict[str, float] = field(default_factory=dict)

    def seconds(self, ahead: Ahead) -> float | None:
        """What a job takes; None where its speed was not measured."""
        kind = ahead.kind
        if kind not in self.frames or (ahead.steps and kind not in self.steps):
            return None
        learning = ahead.steps / self.steps[kind] if ahead.steps else self.fit.get(kind, 0.0)
        return learning + ahead.frames / self.frames[kind]


def forecast(request: Request, device: str, seen: set[str]) -> Forecast:
    """What a request would compute; device: that trained cells would need.

    seen: keys of cells that an earlier table computes already; these are added. BadInput as in
    `commands.run_table`.
    """
    config, _ = configured(request)
    roots = catalogue.data_roots(request.data)
    datasets: dict[str, Dataset] = {}
    folders: dict[str, Path] = {}
    unknown: list[str] = []
    for name in dict.fromkeys(row.dataset for row in config.rows):
        try:
            try:
                folders[name] = catalogue.open_folder(
                    name, roots, budget=request.budget, make=False
                )
            except BadInput:
                if catalogue.locate(name, roots).root is not None:
                    raise
                # A dry run leaves no stand-in behind.
                folders[name], datasets[name] = Path(), _in_memory(name)
            else:
                datasets[name] = store.load(folders[name])
        except BadInput as error:
            unknown.append(str(error))
    found = tuned.load(request.tuned) if request.tuned else {}
    planned = planned_cells(request, config, datasets, found)
    cells = {place.cell.key: place.cell for place in planned}
    results = Results(request.out)
    todo = [
        cell
        for key, cell in cells.items()
        if key not in seen and wanted(results.get(cell), request)
    ]
    seen.update(cells)
    jobs = jobs_for(todo, folders, device, request.out, plugins=request.plugins, redo=request.redo)
    ahead = tuple(_ahead(job, datasets[job.cells[0].dataset]) for job in jobs)
    return Forecast(
        request.table, len(cells), len(cells) - len(todo), ahead, datasets, tuple(unknown)
    )


@cache
def _in_memory(name: str) -> Dataset:
    return standin(name, configs.dataset_config(name))


def _ahead(job: Job, dataset: Dataset) -> Ahead:
    cell, steps = job.cells[0], 0
    again = job.redo != "missing"
    if cell.training is not None and (again or not Weights(job.out).path(cell).is_file()):
        setting = setting_of(cell)
        total = cell.training["windows"]
        if not total:
            geometry = setting.geometry(dataset, cell.geometry)
            total = cell.training["epochs"] * len(
                setting.samples(dataset, "train", geometry, "cpu")
            )
        steps = math.ceil(total / cell.training["batch"])
    frames = sum(
        sum(clip.frames for clip in dataset.clips["test"][: one.limits.get("test_clips")])
        for one in job.cells
    )
    return Ahead(job, steps, frames)


def measured(out: Path) -> Speeds:
    """Speeds of the results in an output folder; medians where there are several of a kind."""
    found: list[Result] = []
    for file in sorted((out / "results").glob("*.json")):
        try:
            found.append(from_json(file.read_text(encoding="utf-8"), file))
        except (BadInput, OSError, UnicodeDecodeError):
            continue
    return speeds(found)


def speeds(results: Iterable[Result]) -> Speeds:
    """Speeds of results, by the kinds of their cells."""
    steps, fit, frames = (defaultdict(list) for _ in range(3))
    for result in results:
        if result.status != "done" or result.scored is None:
            continue
        said = result.provenance
        kind = _kind(result.cell, gpu=said.get("device", "cpu") != "cpu")
        frames[kind].append(result.scored.frames / max(said["seconds"], 0.01))
        learned = said.get("training", {}).get("seconds")
        if learned and result.cell.training is not None and result.curve:
            # Networks that are trained at once share the time.
            alike = said["training"].get("trained at once", 1)
            seen = alike * result.curve[-1]["windows"] / result.cell.training["batch"]
            steps[kind].append(seen / learned)
        elif learned:
            fit[kind].append(learned)
    return Speeds(*(_medians(measured) for measured in (steps, fit, frames)))


def _medians(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {kind: statistics.median(several) for kind, several in values.items()}


def _kind(cell: Cell, *, gpu: bool) -> str:
    batch = cell.training["batch"] if cell.training else None
    what = [cell.method, cell.options, cell.geometry, batch, gpu]
    return json.dumps(what, sort_keys=True)


def calibrated(known: Speeds, forecasts: Sequence[Forecast], say: Callable[[str], None]) -> Speeds:
    """The speeds with those that were missing, measured on this machine by a few steps each.

    What selection on validation takes is not in them. A method that fails stays unmeasured.
    """
    merged = Speeds(dict(known.steps), dict(known.fit), dict(known.frames))
    for told in forecasts:
        for ahead in told.ahead:
            if merged.seconds(ahead) is not None:
                continue
            cell = ahead.job.cells[0]
            say(f"timing {cell.method} on {cell.dataset}")
            dataset = told.datasets[cell.dataset]
            _add(merged, ahead.kind, _tried(ahead.job, dataset))
    return merged


def _add(merged: Speeds, kind: str, results: Sequence[Result]) -> None:
    if any(result.status != "done" or result.scored is None for result in results):
        return
    last = results[-1]
    merged.frames[kind] = speeds([last]).frames[kind]
    seconds = [result.provenance.get("training", {}).get("seconds", 0.0) for result in results]
    if last.cell.training is None:
        merged.fit[kind] = seconds[-1]
    else:
        # Seconds are stored with two decimals.
        merged.steps[kind] = (_STEPS[1] - _STEPS[0]) / max(seconds[1] - seconds[0], 0.01)


def _tried(job: Job, dataset: Dataset) -> list[Result]:
    """Short forms of a job, in a folder that is gone afterwards."""
    with TemporaryDirectory() as folder:
        data = job.folder
        if data == Path():
            data = Path(folder) / "data"
            store.save(dataset, data)
        results: list[Result] = []
        for steps in _STEPS:
            cell = job.cells[0]
            limits: dict[str, Any] = {**cell.limits, "test_clips": 1}
            training = cell.training
            if training is not None:
                training = {**training, "epochs": None, "windows": steps * training["batch"]}
                limits |= {"validations": 1, "validation_windows": 64}
            short = replace(cell, limits=limits, training=training)
            tried = replace(job, cells=(short,), folder=data, out=Path(folder) / "out")
            results += compute(tried, lambda *_: None)
        return results


def makespan(tasks: Sequence[tuple[float, bool]], cpus: int, gpus: int) -> float:
    """Seconds until all is done when each free seat takes the first task in the list that suits it.

    tasks: (seconds, whether it needs a GPU) in their order; seats with a GPU take what needs none
    when nothing else is left. ValueError when a task has no seat.
    """
    waiting = {need: [s for s, gpu in reversed(tasks) if gpu is need] for need in (True, False)}
    if (waiting[True] and not gpus) or (tasks and not cpus + gpus):
        raise ValueError("no seat for a task")
    free = [(0.0, number, number < gpus) for number in range(gpus + cpus)]
    end = 0.0
    while free and (waiting[True] or waiting[False]):
        now, number, gpu = heapq.heappop(free)
        need = gpu and bool(waiting[True])
        if waiting[need]:
            until = now + waiting[need].pop()
            end = max(end, until)
            heapq.heappush(free, (until, number, gpu))
    return end


def lines(forecasts: Sequence[Forecast], known: Speeds, workers: Sequence[int]) -> list[str]:
    """The forecast in words: tables, methods, hours, and the speed-up over numbers of workers."""
    told: list[str] = []
    for one in forecasts:
        told.append(
            f"{one.table}: {one.cells} cells, {one.stored} stored, or in a table above, "
            f"{one.cells - one.stored} to run in {len(one.ahead)} jobs"
        )
        told += [f"  {problem}" for problem in one.unknown]
        counted = Counter(map(partial(_row, known), one.ahead))
        told += [f"  {count} x {row}" for row, count in counted.items()]
    every = [(known.seconds(ahead), ahead.gpu) for one in forecasts for ahead in one.ahead]
    tasks = [(seconds, gpu) for seconds, gpu in every if seconds is not None]
    if len(tasks) < len(every):
        told.append(
            f"{len(every) - len(tasks)} of {len(every)} jobs were never measured on such a device "
            "and are left out below; --calibrate times them"
        )
    if not tasks:
        return told
    on_gpu = sum(seconds for seconds, gpu in tasks if gpu)
    on_cpu = sum(seconds for seconds, gpu in tasks if not gpu)
    told.append(f"in all: {on_gpu / 3600:.2f} GPU hours, {on_cpu / 3600:.2f} CPU core hours")
    for count in workers:
        # With a GPU each, where one is needed.
        span = makespan(tasks, 0, count) if on_gpu else makespan(tasks, count, 0)
        gain = (on_gpu + on_cpu) / span if span else 1.0
        what = "1 worker" if count == 1 else f"{count} workers"
        told.append(f"  {what}: {span / 3600:.2f} h, speed-up {gain:.1f}")
    return told


def _row(known: Speeds, ahead: Ahead) -> str:
    cell = ahead.job.cells[0]
    name = f"{cell.dataset} {cell.method} on the {'GPU' if ahead.gpu else 'CPU'}"
    seconds = known.seconds(ahead)
    took = "not measured" if seconds is None else f"{seconds:.1f} s"
    if not ahead.steps:
        return f"{name}: {took}"
    pace = f" at {known.steps[ahead.kind]:.1f} a second" if ahead.kind in known.steps else ""
    return f"{name}: {ahead.steps} steps{pace}, {took}"
