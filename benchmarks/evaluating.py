"""Evaluation: frames per second, ours against the straightforward way, with one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.contracts import BadInput
from bench.data.clips import Dataset
from bench.evaluation import evaluate
from bench.protocols import Protocol, protocol
from benchmarks import floors
from benchmarks.measuring import Request, Row, apart, in_turns, repeats, seconds_of
from benchmarks.straightforward.evaluation import evaluate as evaluate_plainly
from benchmarks.workloads import WORKLOADS, Workload, workload


def measure(request: Request) -> list[Row]:
    """The three sizes, each side in a process of its own."""
    return [row for name in WORKLOADS for row in rates(name, request)]


def rates(name: str, request: Request) -> list[Row]:
    """Frames per second of one size.

    The straightforward way scores the detections themselves in every evaluation, as the published
    one does; ours does so once for a dataset. A second row leaves that out of the comparison.
    """
    case = workload(name)
    names = list(sides(case, case.build()))
    turns = in_turns(
        {side: partial(_measurement, side, name, request) for side in names}, request.turns
    )
    floor = case.window.interval / floors.inference_floor(case, apart(floors.peaks, 1))
    clips = case.build().clips["test"]
    about = {"frames": sum(clip.frames for clip in clips), "clips": len(clips)}
    return [
        Row(
            "evaluation",
            label,
            "frames/s",
            "higher",
            {side: turns[side] for side in (names[0], other)},
            floor=floor,
            about=about,
        )
        for label, other in (
            (case.title, names[1]),
            (f"{case.title}, detections not scored", names[2]),
        )
    ]


def _measurement(side: str, name: str, request: Request) -> Callable[[], float]:
    """What measures the frames per second of a side, in the process of that side."""
    case = workload(name)
    dataset = case.build()
    frames = sum(clip.frames for clip in dataset.clips["test"])
    return _per_second(sides(case, dataset)[side], frames, request.seconds)


def sides(case: Workload, dataset: Dataset) -> dict[str, Callable[[], object]]:
    """One evaluation of the test split: ours, the straightforward way, and less than that."""
    used = protocol("deciwatch")
    if not isinstance(used, Protocol):
        raise BadInput("a protocol for recovery is needed", found=used.name)
    method, plain = case.method().eval(), case.plain().eval()

    def ours() -> dict[str, float]:
        scores, _ = evaluate(method, dataset, "test", used, case.window)
        return used.summarise(score.values for score in scores)

    return {
        "ours": ours,
        "straightforward": lambda: evaluate_plainly(plain, dataset, case.window),
        "straightforward, model alone": lambda: evaluate_plainly(
            plain, dataset, case.window, detections=False
        ),
    }


def _per_second(work: Callable[[], object], frames: int, seconds: float) -> Callable[[], float]:
    work()
    count = repeats(seconds, seconds_of(work))

    def turn() -> float:
        return count * frames / seconds_of(lambda: [work() for _ in range(count)])

    return turn
