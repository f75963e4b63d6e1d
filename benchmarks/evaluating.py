"""Evaluation: frames per second, ours against the straightforward way, with one thread."""

from __future__ import annotations

from collections.abc import Callable

from bench.contracts import BadInput
from bench.data.clips import Dataset
from bench.evaluation import evaluate
from bench.protocols import Protocol, protocol
from benchmarks import floors
from benchmarks.measuring import Request, Row, alternate, apart, repeats, seconds_of
from benchmarks.straightforward.evaluation import evaluate as evaluate_plainly
from benchmarks.workloads import WORKLOADS, Workload, workload


def measure(request: Request) -> list[Row]:
    """The three sizes, each in a process of its own."""
    return [row for name in WORKLOADS for row in apart(rates, 1, name, request)]


def rates(name: str, request: Request) -> list[Row]:
    """Frames per second of one size, in this process.

    The straightforward way scores the detections themselves in every evaluation, as the published
    one does; ours does so once for a dataset. A second row leaves that out of the comparison.
    """
    case = workload(name)
    dataset = case.build()
    frames = sum(clip.frames for clip in dataset.clips["test"])
    turns = alternate(
        {
            side: _per_second(work, frames, request.seconds)
            for side, work in both(case, dataset).items()
        },
        request.turns,
    )
    floor = case.window.interval / floors.inference_floor(case, floors.peaks())
    names = list(turns)
    about = {"frames": frames, "clips": len(dataset.clips["test"])}
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


def both(case: Workload, dataset: Dataset) -> dict[str, Callable[[], object]]:
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
