"""Training on a CUDA device: one step, five seeds, reduced precision, the straightforward way."""

from __future__ import annotations

from benchmarks import floors, training
from benchmarks.measuring import Request, Row, Skipped, apart
from benchmarks.workloads import workload

_WORKLOAD = "h36m"


def measure(request: Request) -> list[Row]:
    """Milliseconds of a training step of Human3.6M, ours against the straightforward way."""
    import torch

    if not torch.cuda.is_available():
        raise Skipped("no CUDA device was present")
    device = request.device if request.device.startswith("cuda") else "cuda"
    here = Request(request.turns, request.seconds, device)
    return apart(steps, 1, here)


def steps(request: Request) -> list[Row]:
    """In a process of its own: one row for each arithmetic that training offers."""
    row = training.rates(_WORKLOAD, request)
    case = workload(_WORKLOAD)
    batch = case.training.batch
    peak = floors.peaks(request.device)
    return [
        Row(
            "gpu",
            f"{case.title}, training step",
            "ms/step",
            "lower",
            {
                side: tuple(1000 * batch / rate for rate in turns)
                for side, turns in row.sides.items()
            },
            floor=1000 * batch * floors.training_floor(case, peak),
            about=row.about,
        )
    ]
