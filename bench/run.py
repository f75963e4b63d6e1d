"""Cells computed: dataset opened, method trained, fitted or taken as stored, test split scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.results import Cell, Result

if TYPE_CHECKING:
    from bench.data.clips import Dataset
    from bench.tasks import Setting
    from bench.unfinished import Unfinished

# Told as a cell goes on: its key, the share done (0 to 1), what it is at.
Tell = Callable[[str, float, str], None]

# What a method, which may be anybody's, can raise: it fails its cell and no other one.
_FAILURES = (*FOREIGN_ERRORS, BadInput, MemoryError)


@dataclass(frozen=True)
class Job:
    """Cells that share their weights, with what is needed to compute them but moves no number.

    folder: of the dataset; out: where weights are kept; anew: train although weights are there.
    """

    cells: tuple[Cell, ...]
    folder: Path
    device: str
    out: Path
    plugins: tuple[Path, ...] = ()
    anew: bool = False


def jobs_for(
    cells: Sequence[Cell],
    folders: dict[str, Path],
    device: str,
    out: Path,
    *,
    plugins: tuple[Path, ...] = (),
    anew: bool = False,
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
            anew,
        )
        for group in groups.values()
    ]


def compute(job: Job, tell: Tell) -> tuple[Result, ...]:
    """Compute a job's cells. An error of their method makes failed results, not an exception."""
    import torch

    from bench import registry
    from bench.data import store
    from bench.provenance import provenance

    for plugin in job.plugins:
        registry.load_plugin(plugin)
    began = time.perf_counter()
    # What went wrong without changing a number.
    said: list[str] = []
    dataset = store.load(job.folder)
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
            **provenance(job.device, torch.get_num_threads()),
            "seconds": round(seconds, 2),
            **({"warnings": list(said)} if said else {}),
        }

    def result(cell: Cell, learned: Mapping[str, Any] | None = None, **rest: Any) -> Result:
        # Weights may have been learned elsewhere, and earlier, than they are scored.
        where = here() | ({"training": learned} if learned else {})
        return Result(cell=cell, dataset=about, provenance=where, **rest)

    def failed(cell: Cell, error: BaseException) -> Result:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return result(cell, status="failed", error=text)

    try:
        ready = _ready(job, dataset, tell, here, said.append)
    except _FAILURES as error:
        return tuple(failed(cell, error) for cell in job.cells)
    costs = _cost(job.cells[0], ready.geometry)
    results = []
    for cell in job.cells:
        try:
            scored = _scored(cell, job, dataset, ready, tell) | {"cost": costs}
            results.append(result(cell, ready.learned, status="done", **scored))
        except _FAILURES as error:
            results.append(failed(cell, error))
    return tuple(results)


@dataclass(frozen=True)
class _Ready:
    """A method with its weights, what the results say about them, and where they were learned."""

    method: Any
    geometry: Any
    about: dict[str, Any]
    learned: Mapping[str, Any] | None = None


def _setting(cell: Cell) -> Setting:
    from bench.protocols import protocol
    from bench.tasks import SETTINGS

    return SETTINGS[protocol(cell.protocol).task]


def _ready(
    job: Job,
    dataset: Dataset,
    tell: Tell,
    here: Callable[[], dict[str, Any]],
    warn: Callable[[str], None],
) -> _Ready:
    """The method of a job's cells: weights stored, trained or fitted, as the case may be."""
    import torch

    from bench import registry
    from bench.contracts import Fitted
    from bench.seeds import seed_for
    from bench.unfinished import Unfinished
    from bench.weights import Weights

    cell = job.cells[0]
    geometry = _setting(cell).geometry(dataset, cell.geometry)
    torch.manual_seed(seed_for(cell.dataset, cell.method, cell.seed, "start"))
    method: Any = registry.build(cell.method, cell.options, geometry)
    if isinstance(method, torch.nn.Module):
        method.to(job.device)
    about: dict[str, Any] = {}
    learns = cell.training is not None or cell.weights or isinstance(method, Fitted)
    if not learns:
        return _Ready(method, geometry, about)
    weights = Weights(job.out)
    stored = None if job.anew and not cell.weights else weights.load(cell, warn)
    if stored is not None:
        state, about = stored
        about = {**about, "curve": tuple(about.get("curve", ()))}
        try:
            method.load_state_dict(state)
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                "stored weights do not fit their method",
                file=weights.path(cell),
                found=str(error).partition("\n")[0],
                hint="delete the file, or run with --redo failed",
            ) from error
        if isinstance(method, torch.nn.Module):
            method.eval()
    elif cell.weights:
        raise BadInput(
            "the published weights are not in the output folder",
            expected=cell.weights,
            hint="run with --checkpoints",
        )
    else:
        unfinished = Unfinished(job.out, cell.training_key, job.device)
        about = _learned(job, dataset, method, geometry, tell, unfinished) | {"learned": here()}
        try:
            weights.save(cell, method.state_dict(), about)
        except BadInput as error:
            # What was learned can still be scored, and is lost otherwise.
            warn(f"{error}; the results stand without them")
        else:
            unfinished.drop()
    learned = about.pop("learned", None)
    return _Ready(method, geometry, {**about, "parameters": _size(method)}, learned)


def _cost(cell: Cell, geometry: Any) -> dict[str, float]:
    """What the method of a cell costs, or nothing where that cannot be told."""
    from bench.cost import cost

    try:
        return cost(cell.method, cell.options, geometry).by_metric
    except _FAILURES:
        # A plugin may do what no counter can follow: its errors are still worth having.
        return {}


def _size(method: Any) -> int:
    """How many numbers were learned."""
    learned = method.parameters() if hasattr(method, "parameters") else method.state_dict().values()
    return sum(tensor.numel() for tensor in learned)


def _learned(
    job: Job, dataset: Dataset, method: Any, geometry: Any, tell: Tell, unfinished: Unfinished
) -> dict[str, Any]:
    """Train or fit a method in place; what is to be said about it."""
    from bench import registry
    from bench.config import Training
    from bench.data.clips import Split
    from bench.seeds import seed_for
    from bench.training import train

    cell, device = job.cells[0], job.device
    setting = _setting(cell)
    # A refiner is taught with what it is given later: every frame.
    sight = {"every_frame": True} if registry.sees(cell.method) == "frames" else {}
    if cell.training is None:
        tell(cell.key, 0.0, "fitting")
        most = cell.limits["fit_windows"]
        chosen = method.fit(
            setting.samples(dataset, "train", geometry, device, most=most, **sight),
            setting.samples(dataset, "validation", geometry, device, **sight),
        )
        return {"chosen": dict(chosen)}
    source = setting.samples(dataset, "train", geometry, device, **sight)
    judged = None
    if cell.selection != "last":
        split: Split = "test" if cell.selection == "test" else "validation"
        judged = setting.samples(dataset, split, geometry, device, **sight)
    trained = train(
        method,
        source,
        Training(**cell.training),
        seed=seed_for(cell.dataset, cell.method, cell.seed, "training"),
        evaluations=cell.limits["validations"],
        judge=None
        if judged is None
        else lambda: setting.error(method, judged, cell.limits["validation_windows"]),
        progress=lambda seen, total, loss: tell(
            cell.key, 0.9 * seen / total, f"training, loss {loss:.4g}"
        ),
        keeper=unfinished,
    )
    return {"curve": trained.curve, "chosen": {"windows": float(trained.selected)}}


def _scored(cell: Cell, job: Job, dataset: Dataset, ready: _Ready, tell: Tell) -> dict[str, Any]:
    """The fields of a result that scoring the test split fills."""
    import torch

    from bench.protocols import protocol
    from bench.seeds import seed_for

    used = protocol(cell.protocol)
    # Whatever a method draws while it predicts does not depend on what was done before.
    torch.manual_seed(seed_for(cell.dataset, cell.method, cell.seed, "scoring"))
    scores, scored = _setting(cell).evaluate(
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
