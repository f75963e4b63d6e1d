"""Training on a CUDA device: one step in every arithmetic, against the straightforward way.

A training on a GPU takes thousands of steps, and captures the step in its first ones. So what is
measured is the step as it is for all the rest: made once, captured, and taken many times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from bench.config import Training
from bench.data.clips import Dataset
from bench.data.windows import Windows
from bench.processes import settle
from bench.steps import CapturedStep, stackable
from benchmarks import floors
from benchmarks.measuring import (
    Failed,
    Request,
    Row,
    Skipped,
    apart,
    brief,
    in_turns,
    repeats,
    seconds_of,
    wait,
)
from benchmarks.seeds import SEEDS
from benchmarks.training import Steps, alone, plainly
from benchmarks.workloads import Workload, workload

_WORKLOAD = "h36m"

# Steps before a step is captured for certain, and as many again to see how long one takes.
_WARM_UP = 10

# Steps of a turn, at least.
_FEWEST = 8

# By arithmetic, what training is asked for (fields of `bench.config.Training`).
_ARITHMETIC: dict[floors.Arithmetic, dict[str, Any]] = {
    "float32": {},
    "tf32": {"precision": "tf32"},
    "bfloat16": {"precision": "bfloat16"},
}


def measure(request: Request) -> Iterator[Row]:
    """Milliseconds of a training step of Human3.6M, row by row.

    One that fails does not take the others with it; Failed names all of them at the end.
    """
    check(request.device)
    parts: dict[str, Callable[[], Row]] = {
        arithmetic: partial(one_seed, arithmetic, request) for arithmetic in _ARITHMETIC
    }
    parts["five seeds at once"] = partial(at_once, request)
    errors: dict[str, Exception] = {}
    for name, part in parts.items():
        try:
            row = part()
        except Exception as error:
            errors[name] = error
        else:
            yield row
    if errors:
        said = "; ".join(f"{name}: {brief(error)}" for name, error in errors.items())
        raise Failed(said) from next(iter(errors.values()))


def check(device: str) -> None:
    """Skipped, with the reason, where this is no device of CUDA."""
    if not device.startswith("cuda"):
        raise Skipped(f"{device} is not a CUDA device")
    if not torch.cuda.is_available():
        raise Skipped("no CUDA device was present")


def one_seed(arithmetic: floors.Arithmetic, request: Request) -> Row:
    """A step in an arithmetic, against the straightforward way in float32."""
    case = workload(_WORKLOAD)
    settings = _ARITHMETIC[arithmetic]
    sides = {
        "ours": partial(_measurement, "ours", request, 1, settings),
        "straightforward": partial(_measurement, "straightforward", request),
    }
    turns = in_turns(sides, request.turns)
    peak = apart(floors.peaks, 1, request.device, arithmetic)
    batch = case.training.batch
    return Row(
        "gpu",
        f"{case.title}, training step, {arithmetic}",
        "ms/step",
        "lower",
        turns,
        floor=1000 * batch * floors.training_floor(case, peak),
        about={"batch": batch, **peak.about},
        device=request.device,
    )


def at_once(request: Request) -> Row:
    """A step of several seeds trained at once, against that of one, measured alike."""
    case = workload(_WORKLOAD)
    sides = {
        name: partial(_measurement, "ours", request, seeds)
        for name, seeds in (("ours", SEEDS), ("one seed", 1))
    }
    return Row(
        "gpu",
        f"{case.title}, five seeds at once",
        "ms/step",
        "lower",
        in_turns(sides, request.turns),
        about={"batch": case.training.batch, "seeds": SEEDS},
        device=request.device,
    )


def side_of(
    side: str, case: Workload, device: str, seeds: int = 1, settings: dict[str, Any] | None = None
) -> Steps:
    """Ours or the straightforward way, as a function that makes so many steps and waits for them.

    seeds, settings: of ours, as in `captured`.
    """
    # Streams and graphs are those of the current device.
    torch.cuda.set_device(torch.device(device).index or 0)
    dataset = case.build()
    work = (
        captured(case, dataset, device, seeds, **settings or {})
        if side == "ours"
        else plainly(case, dataset, device)
    )

    def steps(count: int) -> None:
        work(count)
        wait(device)

    return steps


def captured(
    case: Workload, dataset: Dataset, device: str, seeds: int = 1, **settings: Any
) -> Steps:
    """Steps of `bench`, captured by now; Failed says why they are not.

    seeds: trained at once; settings: further fields of `bench.config.Training`.
    """
    source = Windows(dataset, "train", case.window, device)
    methods = [case.method(seed).to(device).train() for seed in range(seeds)]
    said = {**case.training.model_dump(), **settings}
    length = Training(**{**said, "windows": said["batch"]})
    if seeds > 1 and not stackable(methods, source, length.precision):
        raise Failed(f"{seeds} seeds of {case.title} are not trained at once")
    step = CapturedStep(methods, source, [length] * seeds, list(range(seeds)))
    steps = alone(step, source)
    steps(_WARM_UP)
    if not step.captured:
        raise Failed(f"the step was not captured: {step.why_not or 'it was not tried'}")
    return steps


def _measurement(
    side: str, request: Request, seeds: int = 1, settings: dict[str, Any] | None = None
) -> Callable[[], float]:
    """In the process of a side: a turn, as many steps as fill the seconds; milliseconds of one."""
    if side == "ours":
        # Also where it is the other side that is ours.
        settle()
    steps = side_of(side, workload(_WORKLOAD), request.device, seeds, settings)
    steps(_WARM_UP)
    once = seconds_of(lambda: steps(_WARM_UP)) / _WARM_UP
    count = repeats(request.seconds, once, fewest=_FEWEST)
    return lambda: 1000 * seconds_of(lambda: steps(count)) / count
