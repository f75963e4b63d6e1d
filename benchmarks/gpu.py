"""Training on a CUDA device: one step in every arithmetic, against the straightforward way."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks import floors, training
from benchmarks.measuring import Request, Row, Skipped, in_turns
from benchmarks.seeds import SEEDS
from benchmarks.workloads import workload

_WORKLOAD = "h36m"

# By arithmetic, what training is asked for (fields of `bench.config.Training`).
_ARITHMETIC: dict[floors.Arithmetic, dict[str, Any]] = {
    "float32": {},
    "tf32": {"precision": "tf32"},
    "bfloat16": {"precision": "bfloat16"},
}


def measure(request: Request) -> list[Row]:
    """Milliseconds of a training step of Human3.6M, ours against the straightforward way."""
    import torch

    if not torch.cuda.is_available():
        raise Skipped("no CUDA device was present")
    device = request.device if request.device.startswith("cuda") else "cuda"
    here = Request(request.turns, request.seconds, device)
    return [*steps(here), at_once(here)]


def at_once(request: Request) -> Row:
    """Milliseconds of a step of several seeds trained at once, in a process of its own."""
    case = workload(_WORKLOAD)
    make = partial(training.seeds_at_once, _WORKLOAD, SEEDS, request)
    turns = in_turns({"ours": make}, request.turns)
    scale = 1000 * case.training.batch
    sides = {side: tuple(scale / rate for rate in rates) for side, rates in turns.items()}
    return Row("gpu", f"{case.title}, five seeds at once", "ms/step", "lower", sides)


def steps(request: Request) -> list[Row]:
    """A row for each arithmetic, against the same straightforward way."""
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
