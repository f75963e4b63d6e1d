"""Cells computed: dataset opened, method trained, fitted or taken as stored, test split scored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.results import Cell, Redo, Result

if TYPE_CHECKING:
    from bench.data.clips import Dataset
    from bench.learning import Ready

# Told as a cell goes on: its key, the share done (0 to 1), what it is at.
Tell = Callable[[str, float, str], None]

# What a method, which may be anybody's, can raise: it fails its cell and no other one.
FAILURES = (*FOREIGN_ERRORS, BadInput, MemoryError)

# So many networks are trained at once at most: memory grows with them.
_AT_ONCE = 8

# What may differ between networks that are trained at once: how each is optimised, who asked, and
# how it is scored.
_OPTIMISER = ("lr", "amsgrad", "weight_decay", "schedule", "decay", "milestones")
_SCORED = ("protocol", "preset", "training")


def in_one_line(error: BaseException) -> str:
    """An error's name and words, as results and studies keep them."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@dataclass(frozen=True)
class Job:
    """Cells that share their weights, with what is needed to compute them but moves no number.

    folder: of the dataset; out: where weights are kept; redo: what is there already does not count,
    the weights of `failed` cells, and of `all` an interrupted training too; compiled: fuse the
    operations of a training step.
    """

    cells: tuple[Cell, ...]
    folder: Path
    device: str
    out: Path
    plugins: tuple[Path, ...] = ()
    redo: Redo = "missing"
    compiled: bool = False


def jobs_for(
    cells: Sequence[Cell],
    folders: dict[str, Path],
    device: str,
    out: Path,
    *,
    plugins: tuple[Path, ...] = (),
    redo: Redo = "missing",
    compiled: bool = False,
) -> list[Job]:
    """Cells grouped by the weights that they share, the costly ones first.

    Trained cells come first, so that no core waits for the longest one at the end. They alone
    need the device; what is fitted or has nothing to learn is done on the CPU.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.training is None):
        groups.setdefault(cell.training_key, []).append(cell)
    return [
        Job(
            tuple(group),
            folders[group[0].dataset],
            device if group[0].training is not None or group[0].weights else "cpu",
            out,
            plugins,
            redo,
            compiled,
        )
        for group in groups.values()
    ]


def bundles(jobs: Sequence[Job]) -> list[tuple[Job, ...]]:
    """Jobs as they are computed in one go: on a GPU, networks that can be trained at once together.

    Those are seeds, and variants of what does not change a network's form: its optimiser. On a CPU
    every job is alone: one core has nothing to gain.
    """
    together: dict[object, list[Job]] = {}
    for place, job in enumerate(jobs):
        cell = job.cells[0]
        name: object = place
        if cell.training is not None and job.device != "cpu":
            varied = {*_OPTIMISER, "seed", *_SCORED}
            said = {k: v for k, v in asdict(cell).items() if k not in varied}
            said["training"] = {k: v for k, v in cell.training.items() if k not in _OPTIMISER}
            name = json.dumps(said, sort_keys=True, default=str)
        together.setdefault(name, []).append(job)
    return [
        tuple(group[first : first + _AT_ONCE])
        for group in together.values()
        for first in range(0, len(group), _AT_ONCE)
    ]


def compute(job: Job, tell: Tell) -> tuple[Result, ...]:
    """Compute a job's cells, as `compute_bundle` does."""
    return compute_bundle((job,), tell)


def compute_bundle(bundle: Sequence[Job], tell: Tell) -> tuple[Result, ...]:
    """Compute the cells of jobs with one dataset, whose networks are trained at once.

    An error of a method makes failed results, not an exception.
    """
    import torch

    from bench import registry
    from bench.data import store
    from bench.learning import methods_ready
    from bench.provenance import provenance

    first = bundle[0]
    for plugin in first.plugins:
        registry.load_plugin(plugin)
    began = time.perf_counter()
    # What went wrong without changing a number.
    said: list[str] = []
    dataset = store.load(first.folder)
    about = {
        "title": dataset.title,
        "origin": dataset.origin,
        "standin": dataset.standin,
        "notes": list(dataset.notes),
        "space": dataset.space,
        "fps": dataset.fps,
    }

    def here() -> dict[str, Any]:
        """Where the numbers come from, and the seconds since it was last asked."""
        nonlocal began
        seconds, began = time.perf_counter() - began, time.perf_counter()
        return {
            **provenance(first.device, torch.get_num_threads()),
            "seconds": round(seconds, 2),
            **({"warnings": list(said)} if said else {}),
        }

    def result(cell: Cell, learned: Mapping[str, Any] | None = None, **rest: Any) -> Result:
        # Weights may have been learned elsewhere, and earlier, than they are scored.
        where = here() | ({"training": learned} if learned else {})
        return Result(cell=cell, dataset=about, provenance=where, **rest)

    def failed(cell: Cell, error: BaseException) -> Result:
        return result(cell, status="failed", error=in_one_line(error))

    results = []
    ready = methods_ready(bundle, dataset, tell, here, said.append)
    for job, method in zip(bundle, ready, strict=True):
        if isinstance(method, BaseException):
            results += [failed(cell, method) for cell in job.cells]
            continue
        costs = _cost(job.cells[0], method.geometry)
        for cell in job.cells:
            try:
                scored = _scored(cell, job, dataset, method, tell) | {"cost": costs}
                results.append(result(cell, method.learned, status="done", **scored))
            except FAILURES as error:
                results.append(failed(cell, error))
    return tuple(results)


def _cost(cell: Cell, geometry: Any) -> dict[str, float]:
    """What the method of a cell costs, or nothing where that cannot be told."""
    from bench.cost import cost

    try:
        return cost(cell.method, cell.options, geometry).by_metric
    except FAILURES:
        # A plugin may do what no counter can follow: its errors are still worth having.
        return {}


def _scored(cell: Cell, job: Job, dataset: Dataset, ready: Ready, tell: Tell) -> dict[str, Any]:
    """The fields of a result that scoring the test split fills."""
    import torch

    from bench.protocols import protocol
    from bench.seeds import seed_for
    from bench.tasks import setting_of

    used = protocol(cell.protocol)
    # Whatever a method draws while it predicts does not depend on what was done before.
    torch.manual_seed(seed_for(cell.dataset, cell.method, cell.seed, "scoring"))
    scores, scored = setting_of(cell).evaluate(
        ready.method,
        dataset,
        "test",
        used,
        ready.geometry,
        device=job.device,
        most=cell.limits.get("test_clips"),
        progress=lambda done, total: tell(cell.key, 0.9 + 0.1 * done / total, "scoring"),
    )
    metrics = used.summarise([score.values for score in scores])
    return {**ready.about, "metrics": metrics, "clips": scores, "scored": scored}
