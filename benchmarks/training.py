"""Training: windows per second, ours against the straightforward way, with one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from bench.config import Training
from bench.data.clips import Dataset
from bench.data.windows import Windows
from bench.shuffling import Order
from bench.steps import Step
from bench.training import train
from benchmarks import floors
from benchmarks.measuring import Request, Row, apart, in_turns, repeats, seconds_of
from benchmarks.straightforward import training as straightforward
from benchmarks.workloads import WORKLOADS, Workload, workload

# Steps before anything is measured: allocators, and whatever is compiled.
_WARM_UP = 2

# Steps of a turn, at least: what a training sets up is small beside them, as in any real one.
_FEWEST = 8

Steps = Callable[[int], object]


def measure(request: Request) -> Iterator[Row]:
    """The three sizes, each side in a process of its own, ours as it is and compiled."""
    for compiled in (False, True):
        for name in WORKLOADS:
            yield rates(name, request, compiled)


def rates(name: str, request: Request, compiled: bool) -> Row:
    """Windows per second of one size; compiled: of ours, as in `ours`."""
    case = workload(name)
    turns = in_turns(
        {
            side: partial(_measurement, side, name, request, compiled)
            for side in ("ours", "straightforward")
        },
        request.turns,
    )
    peak = apart(floors.peaks, 1)
    return Row(
        benchmark="training",
        case=f"{case.title}, compiled" if compiled else case.title,
        unit="windows/s",
        better="higher",
        sides=turns,
        floor=1 / floors.training_floor(case, peak),
        about={"batch": case.training.batch, **peak.about},
    )


def _measurement(side: str, name: str, request: Request, compiled: bool) -> Callable[[], float]:
    """In the process of a side: a turn, as many steps as fill the seconds; windows per second."""
    case = workload(name)
    steps = side_of(side, case, compiled)
    steps(_WARM_UP)
    count = repeats(request.seconds, seconds_of(lambda: steps(1)), fewest=_FEWEST)
    return lambda: count * case.training.batch / seconds_of(lambda: steps(count))


def side_of(side: str, case: Workload, compiled: bool = False) -> Steps:
    """Ours or the straightforward way, as a function that makes so many steps.

    compiled: of ours, as in `ours`.
    """
    dataset = case.build()
    return ours(case, dataset, compiled) if side == "ours" else plainly(case, dataset)


def ours(case: Workload, dataset: Dataset, compiled: bool = False) -> Steps:
    """Training of `bench`.

    compiled: with fused operations, by the steps alone, since a training compiles once however
    long it is.
    """
    source = Windows(dataset, "train", case.window)
    method = case.method()
    said = case.training.model_dump()
    if compiled:
        settings = Training(**{**said, "windows": said["batch"]})
        return alone(Step([method.train()], source, [settings], [0], compiled=True), source)

    def steps(count: int) -> None:
        length = Training(**{**said, "windows": count * said["batch"]})
        train(method, source, length, seed=0, evaluations=1, judge=None)

    return steps


def alone(step: Step, source: Windows) -> Steps:
    """Steps without a training around them, on samples in an order drawn as there.

    step: of one seed or of several at once, from seed 0 on.
    """
    batch = step.settings[0].batch
    orders = [Order(len(source), seed, source.device) for seed in range(len(step.methods))]

    def steps(count: int) -> None:
        for _ in range(count):
            step(torch.stack([order.take(batch) for order in orders]))

    return steps


def plainly(case: Workload, dataset: Dataset, device: str = "cpu") -> Steps:
    """The straightforward training."""
    items = straightforward.WindowDataset(
        dataset.clips["train"], dataset.skeleton.root, case.window.frames
    )
    said = case.training
    training = straightforward.Training(
        case.plain(), items, batch=said.batch, lr=said.lr, device=device
    )

    def steps(count: int) -> None:
        for _ in range(count):
            training.step()

    return steps
