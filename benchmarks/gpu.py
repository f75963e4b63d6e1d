"""Training on a CUDA device: one step in every arithmetic, against the straightforward way.

A training on a GPU takes thousands of steps, and captures the step in its first ones. So what is
measured is the step as it is for all the rest: made once, captured, and taken many times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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

_PLAIN = "straightforward"
_AT_ONCE = "five seeds at once"


def measure(request: Request) -> Iterator[Row]:
    """Milliseconds of a training step of Human3.6M, row by row.

    All sides take turns with one another. One that fails does not take the others with it; Failed
    names all of them at the end.
    """
    check(request.device)
    case = workload(_WORKLOAD)
    batch = case.training.batch
    ours = {
        f"{arithmetic}, compiled" if compiled else arithmetic: (arithmetic, compiled)
        for compiled in (False, True)
        for arithmetic in _ARITHMETIC
    }
    sides: dict[str, Callable[[], Callable[[], float]]] = {
        name: partial(_measurement, "ours", request, 1, _ARITHMETIC[arithmetic], compiled)
        for name, (arithmetic, compiled) in ours.items()
    }
    sides[_AT_ONCE] = partial(_measurement, "ours", request, SEEDS)
    sides[_PLAIN] = partial(_measurement, _PLAIN, request)
    errors: dict[str, Exception] = {}
    turns = in_turns(sides, request.turns, together=True, errors=errors)
    try:
        peaks = apart(_peaks, 1, request.device)
    except Exception as error:
        errors["peaks"], peaks = error, {}

    def row(name: str, what: str, against: Mapping[str, str], **rest: Any) -> Row:
        found = {title: turns[side] for title, side in against.items() if side in turns}
        return Row(
            "gpu",
            f"{case.title}, {what}",
            "ms/step",
            "lower",
            {"ours": turns[name], **found},
            **rest,
        )

    for name, (arithmetic, _) in ours.items():
        if name not in turns:
            continue
        peak = peaks.get(arithmetic)
        yield row(
            name,
            f"training step, {name}",
            {_PLAIN: _PLAIN},
            floor=batch * 1000 * floors.training_floor(case, peak) if peak else None,
            about={"batch": batch, **(peak.about if peak else {})},
            device=request.device,
        )
    if _AT_ONCE in turns:
        yield row(
            _AT_ONCE,
            _AT_ONCE,
            {"one seed": "float32"},
            about={"batch": batch, "seeds": SEEDS},
            device=request.device,
        )
    if errors:
        said = "; ".join(f"{name}: {brief(error)}" for name, error in errors.items())
        raise Failed(said) from next(iter(errors.values()))


def _peaks(device: str) -> dict[floors.Arithmetic, floors.Peaks]:
    return {arithmetic: floors.peaks(device, arithmetic) for arithmetic in _ARITHMETIC}


def check(device: str) -> None:
    """Skipped, with the reason, where this is no device of CUDA."""
    if not device.startswith("cuda"):
        raise Skipped(f"{device} is not a CUDA device")
    if not torch.cuda.is_available():
        raise Skipped("no CUDA device was present")


def side_of(
    side: str,
    case: Workload,
    device: str,
    seeds: int = 1,
    settings: dict[str, Any] | None = None,
    compiled: bool = False,
) -> Steps:
    """Ours or the straightforward way, as a function that makes so many steps and waits for them.

    seeds, settings, compiled: of ours, as in `captured`.
    """
    # Streams and graphs are those of the current device.
    torch.cuda.set_device(torch.device(device).index or 0)
    dataset = case.build()
    work = (
        captured(case, dataset, device, seeds, compiled, **settings or {})
        if side == "ours"
        else plainly(case, dataset, device)
    )

    def steps(count: int) -> None:
        work(count)
        wait(device)

    return steps


def captured(
    case: Workload,
    dataset: Dataset,
    device: str,
    seeds: int = 1,
    compiled: bool = False,
    **settings: Any,
) -> Steps:
    """Steps of `bench`, captured by now; Failed says why they are not.

    seeds: trained at once; compiled: with fused operations; settings: further fields of
    `bench.config.Training`.
    """
    source = Windows(dataset, "train", case.window, device)
    methods = [case.method(seed).to(device).train() for seed in range(seeds)]
    said = {**case.training.model_dump(), **settings}
    length = Training(**{**said, "windows": said["batch"]})
    if seeds > 1 and not stackable(methods, source, length.precision):
        raise Failed(f"{seeds} seeds of {case.title} are not trained at once")
    step = CapturedStep(methods, source, [length] * seeds, list(range(seeds)), compiled=compiled)
    steps = alone(step, source)
    steps(_WARM_UP)
    if not step.captured:
        raise Failed(f"the step was not captured: {step.why_not or 'it was not tried'}")
    return steps


def _measurement(
    side: str,
    request: Request,
    seeds: int = 1,
    settings: dict[str, Any] | None = None,
    compiled: bool = False,
) -> Callable[[], float]:
    """In the process of a side: a turn, as many steps as fill the seconds; milliseconds of one.

    Nothing is measured here: other sides are made at the same time.
    """
    if side == "ours":
        settle()
    steps = side_of(side, workload(_WORKLOAD), request.device, seeds, settings, compiled)
    few = _WARM_UP if side == "ours" else 1
    count = 0

    def turn() -> float:
        nonlocal count
        if not count:
            steps(few)
            count = repeats(request.seconds, seconds_of(lambda: steps(few)) / few, fewest=_FEWEST)
        return 1000 * seconds_of(lambda: steps(count)) / count

    return turn
