"""Training: windows per second, ours against the straightforward way, with one thread or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.config import Training
from bench.data.clips import Dataset
from bench.data.windows import Windows
from bench.shuffling import Order
from bench.steps import CapturedStep, Step
from bench.training import Run, train, train_together
from benchmarks import floors
from benchmarks.measuring import Request, Row, apart, in_turns, repeats, seconds_of
from benchmarks.straightforward import training as straightforward
from benchmarks.workloads import WORKLOADS, Workload, workload

# Steps before anything is measured: allocators, and whatever is compiled or captured.
_WARM_UP = 2

# Steps of a turn, at least: what a training sets up is small beside them, as in any real one.
_FEWEST = 8

Steps = Callable[[int], object]


def measure(request: Request) -> list[Row]:
    """The three sizes, each side in a process of its own, ours as it is and compiled."""
    return [
        rates(name, request, compiled=compiled) for compiled in (False, True) for name in WORKLOADS
    ]


def rates(
    name: str,
    request: Request,
    arithmetic: floors.Arithmetic = "float32",
    *,
    compiled: bool = False,
    **settings: Any,
) -> Row:
    """Windows per second of one size.

    arithmetic: whose peak is the floor's; compiled, settings: of ours, as in `ours`.
    """
    case = workload(name)
    turns = in_turns(
        {
            side: partial(_measurement, side, name, request, compiled, settings)
            for side in ("ours", "straightforward")
        },
        request.turns,
    )
    peak = apart(floors.peaks, 1, request.device, arithmetic)
    return Row(
        benchmark="training",
        case=f"{case.title}, compiled" if compiled else case.title,
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


def _measurement(
    side: str, name: str, request: Request, compiled: bool, settings: Mapping[str, Any]
) -> Callable[[], float]:
    """What measures the windows per second of a side, in the process of that side."""
    case = workload(name)
    steps = side_of(side, case, request.device, compiled, **settings)
    return _per_second(steps, case.training.batch, request.seconds)


def seeds_at_once(name: str, seeds: int, request: Request) -> Callable[[], float]:
    """What measures the windows per second of each seed of ours, when all are trained at once."""
    case = workload(name)
    source = Windows(case.build(), "train", case.window, request.device)
    methods = [case.method(seed).to(request.device) for seed in range(seeds)]
    said = case.training.model_dump()

    def steps(count: int) -> None:
        length = Training(**{**said, "windows": count * said["batch"]})
        runs = [Run(method, length, seed) for seed, method in enumerate(methods)]
        train_together(runs, source, evaluations=1)

    return _per_second(steps, case.training.batch, request.seconds)


def side_of(
    side: str, case: Workload, device: str = "cpu", compiled: bool = False, **settings: Any
) -> Steps:
    """Ours or the straightforward way, as a function that makes so many steps.

    compiled, settings: of ours, as in `ours`.
    """
    dataset = case.build()
    if side == "ours":
        return ours(case, dataset, device, compiled, **settings)
    return plainly(case, dataset, device)


def ours(
    case: Workload,
    dataset: Dataset,
    device: str = "cpu",
    compiled: bool = False,
    **settings: Any,
) -> Steps:
    """Training of `bench`.

    compiled: with fused operations, by the steps alone, since a training compiles once however
    long it is; settings: further fields of `bench.config.Training`.
    """
    source = Windows(dataset, "train", case.window, device)
    method = case.method().to(device)
    said = {**case.training.model_dump(), **settings}
    if compiled:
        return _compiled(method, source, Training(**{**said, "windows": said["batch"]}))

    def steps(count: int) -> None:
        length = Training(**{**said, "windows": count * said["batch"]})
        train(method, source, length, seed=0, evaluations=1, judge=None, compiled=compiled)

    return steps


def _compiled(method: Any, source: Windows, settings: Training) -> Steps:
    kind = CapturedStep if source.device.type == "cuda" else Step
    step = kind([method.train()], source, [settings], [0], compiled=True)
    order = Order(len(source), 0, source.device)

    def steps(count: int) -> None:
        for _ in range(count):
            step(order.take(settings.batch)[None])
        # A GPU is asked for what it still has to do.
        float(step.losses)

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
