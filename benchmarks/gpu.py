"""Training on a CUDA device: one step in every arithmetic, against the straightforward way."""

from __future__ import annotations

from typing import Any

from benchmarks import floors, training
from benchmarks.measuring import Request, Row, Skipped, apart
from benchmarks.workloads import workload

_WORKLOAD = "h36m"

# By arithmetic, what training is asked for (fields of `bench.config.Training`).
_ARITHMETIC: dict[floors.Arithmetic, dict[str, Any]] = {"float32": {}}


def measure(request: Request) -> list[Row]:
    """Milliseconds of a training step of Human3.6M, ours against the straightforward way."""
    import torch

    if not torch.cuda.is_available():
        raise Skipped("no CUDA device was present")
    device = request.device if request.device.startswith("cuda") else "cuda"
    here = Request(request.turns, request.seconds, device)
    return apart(steps, 1, here)


def steps(request: Request) -> list[Row]:
    """In a process of its own: a row for each arithmetic, against the same straightforward way."""
    case = workload(_WORKLOAD)
    rows = []
    for arithmetic, settings in _ARITHMETIC.items():
        row = training.rates(_WORKLOAD, request, arithmetic, **settings)
        # Windows per second -> milliseconds per step.
        scale = 1000 * case.training.batch
        sides = {side: tuple(scale / rate for rate in turns) for side, turns in row.sides.items()}
        name = f"{case.title}, training step, {arithmetic}"
        floor = None if row.floor is None else scale / row.floor
        rows.append(Row("gpu", name, "ms/step", "lower", sides, floor, row.about))
    return rows
