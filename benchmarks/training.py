"""Training: windows per second, ours against the straightforward way, with one thread or a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.config import Training
from bench.data.clips import Dataset
from bench.data.windows import Windows
from bench.training import train
from benchmarks import floors
from benchmarks.measuring import Request, Row, alternate, apart, repeats, seconds_of
from benchmarks.straightforward import training as straightforward
from benchmarks.workloads import WORKLOADS, Workload, workload

# Steps before anything is measured: allocators, and whatever is compiled or captured.
_WARM_UP = 2

# Steps of a turn, at least: what a training sets up is small beside them, as in any real one.
_FEWEST = 8

Steps = Callable[[int], object]


def measure(request: Request) -> list[Row]:
    """The three sizes, each in a process of its own."""
    return [apart(rates, 1, name, request) for name in WORKLOADS]


def rates(name: str, request: Request) -> Row:
    """Windows per second of one size, in this process."""
    case = workload(name)
    sides = {
        side: _per_second(steps, case.training.batch, request.seconds)
        for side, steps in both(case, request.device).items()
    }
    turns = alternate(sides, request.turns)
    peak = floors.peaks(request.device)
    return Row(
        benchmark="training",
        case=case.title,
        unit="windows/s",
        better="higher",
        sides=turns,
        floor=1 / floors.training_floor(case, peak),
        about={
            "batch": case.training.batch,
            "GFLOP/s": peak.flops / 1e9,
            "GB/s": peak.bandwidth / 1e9,
        },
    )


def both(case: Workload, device: str = "cpu") -> dict[str, Steps]:
    """Ours and the straightforward way, each as a function that makes so many steps."""
    dataset = case.build()
    return {
        "ours": ours(case, dataset, device),
        "straightforward": plainly(case, dataset, device),
    }


def ours(case: Workload, dataset: Dataset, device: str = "cpu", **settings: Any) -> Steps:
    """Training of `bench`. settings: further fields of `bench.config.Training`."""
    source = Windows(dataset, "train", case.window, device)
    method = case.method().to(device)
    said = {**case.training.model_dump(), **settings}

    def steps(count: int) -> None:
        length = Training(**{**said, "windows": count * said["batch"]})
        train(method, source, length, seed=0, evaluations=1, judge=None)

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


def _per_second(steps: Steps, batch: int, seconds: float) -> Callable[[], float]:
    """A turn: as many steps as fill the seconds; windows per second."""
    steps(_WARM_UP)
    count = repeats(seconds, seconds_of(lambda: steps(1)), fewest=_FEWEST)
    return lambda: count * batch / seconds_of(lambda: steps(count))
