"""One cell computed: dataset opened, method trained or fitted, test split scored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts import FOREIGN_ERRORS, BadInput
from bench.results import Cell, Result

if TYPE_CHECKING:
    from bench.data.clips import Dataset

# Told as a cell goes on: its key, the share done (0 to 1), what it is at.
Tell = Callable[[str, float, str], None]

# What a method, which may be anybody's, can raise: it fails its cell and no other one.
_FAILURES = (*FOREIGN_ERRORS, BadInput, MemoryError)


@dataclass(frozen=True)
class Job:
    """A cell with what is needed to compute it and does not change its numbers."""

    cell: Cell
    folder: Path
    device: str
    plugins: tuple[Path, ...] = ()


def compute(job: Job, tell: Tell) -> Result:
    """Compute one cell. An error of its method becomes a failed result, not an exception."""
    import torch

    from bench import registry
    from bench.data import store
    from bench.provenance import provenance

    for plugin in job.plugins:
        registry.load_plugin(plugin)
    cell = job.cell
    began = time.perf_counter()
    dataset = store.load(job.folder)
    about = {
        "title": dataset.title,
        "origin": dataset.origin,
        "standin": dataset.standin,
        "notes": list(dataset.notes),
        "space": dataset.space,
        "fps": dataset.fps,
    }

    def result(**rest: Any) -> Result:
        said = provenance(job.device, torch.get_num_threads())
        said["seconds"] = round(time.perf_counter() - began, 2)
        return Result(cell=cell, dataset=about, provenance=said, **rest)

    try:
        done = _measured(job, dataset, tell)
    except _FAILURES as error:
        return result(status="failed", error=" ".join(f"{type(error).__name__}: {error}".split()))
    return result(status="done", **done)


def _measured(job: Job, dataset: Dataset, tell: Tell) -> dict[str, Any]:
    """The fields of a result that its computation fills."""
    import torch

    from bench import registry
    from bench.config import Training
    from bench.contracts import Fitted, Trainable
    from bench.data.clips import Split
    from bench.data.windows import Windows, window_of
    from bench.evaluation import evaluate, window_error
    from bench.protocols import protocol
    from bench.seeds import seed_for
    from bench.training import train

    cell, device = job.cell, job.device
    window = window_of(dataset, cell.interval, cell.intervals)
    axes = (cell.dataset, cell.method, cell.seed)
    torch.manual_seed(seed_for(*axes, "start"))
    method = registry.build(cell.method, cell.options, window)
    fields: dict[str, Any] = {}
    if isinstance(method, Trainable) and cell.training is not None:
        if isinstance(method, torch.nn.Module):
            method.to(device)
        source = Windows(dataset, "train", window, device)
        judged = None
        if cell.selection != "last":
            split: Split = "test" if cell.selection == "test" else "validation"
            judged = Windows(dataset, split, window, device)
        trained = train(
            method,
            source,
            Training(**cell.training),
            seed=seed_for(*axes, "training"),
            evaluations=cell.limits["validations"],
            judge=None
            if judged is None
            else lambda: window_error(method, judged, cell.limits["validation_windows"]),
            progress=lambda seen, total, loss: tell(
                cell.key, 0.9 * seen / total, f"training, loss {loss:.4g}"
            ),
        )
        fields["curve"] = trained.curve
        fields["chosen"] = {"windows": float(trained.selected)}
        fields["parameters"] = sum(p.numel() for p in method.parameters())
    elif isinstance(method, Fitted):
        tell(cell.key, 0.0, "fitting")
        fields["chosen"] = dict(
            method.fit(
                Windows(dataset, "train", window, device, most=cell.limits["fit_windows"]),
                Windows(dataset, "validation", window, device),
            )
        )
        fields["parameters"] = sum(t.numel() for t in method.state_dict().values())
    used = protocol(cell.protocol)
    scores, scored = evaluate(
        method,
        dataset,
        "test",
        used,
        window,
        device=device,
        most=cell.limits.get("test_clips"),
        progress=lambda done, total: tell(cell.key, 0.9 + 0.1 * done / total, "scoring"),
    )
    metrics = used.summarise([score.values for score in scores])
    return {**fields, "metrics": metrics, "clips": scores, "scored": scored}
