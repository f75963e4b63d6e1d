"""How time and memory grow: with frames, window length, joints and seeds.

Every point has a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import BadInput
from bench.files import write_whole
from bench.machine import load, this_machine
from bench.provenance import commit
from benchmarks import opening, training
from benchmarks.measuring import apart, seconds_of
from benchmarks.memory import Watch
from benchmarks.opening import Cost
from benchmarks.workloads import Workload, workload

FRAMES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
INTERVALS = (1, 2, 5, 10, 20, 40)
JOINTS = (7, 14, 28, 56, 112)
SEEDS = (1, 2, 4, 8)

_WORKLOAD = "pw3d"
# What is evaluated: the harness itself shall be seen, not a network.
_METHOD = "linear"
_TURNS = 3
_FEW_STEPS = 2

# Points at the upper end that a slope is fitted to.
_FITTED = 3


@dataclass(frozen=True)
class Series:
    """One thing against one size.

    what: is done; against: the size's name; sizes, costs: point by point.
    """

    what: str
    against: str
    sizes: tuple[float, ...]
    costs: tuple[Cost, ...]

    def values(self, of: str) -> tuple[float, ...]:
        """Seconds, or bytes of memory, `resident` or `private`."""
        return tuple(float(getattr(cost, of)) for cost in self.costs)


@dataclass(frozen=True)
class Growth:
    """What one call measured, and where."""

    command: str
    commit: str
    machine: str
    busy: str
    series: tuple[Series, ...]


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line through the last points in logarithms: 1 where both double together."""
    upper = np.log(np.asarray(sizes[-_FITTED:])), np.log(np.asarray(values[-_FITTED:]))
    return float(np.polyfit(*upper, 1)[0])


def measure(command: str, most: int, say: Callable[[str], None]) -> Growth:
    """All series; frames up to `most`."""
    series = [*_frames([frames for frames in FRAMES if frames <= most], say), *_steps(say)]
    busy = load()
    return Growth(
        command, commit(), this_machine().words, "" if busy.idle else busy.words, tuple(series)
    )


def _frames(sizes: Sequence[int], say: Callable[[str], None]) -> Iterator[Series]:
    """Opening and evaluation of prepared data, which is written for each size and deleted."""
    opened, evaluated = [], []
    for frames in sizes:
        say(f"opening and evaluating {frames} frames")
        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared"
            opening.write(workload(_WORKLOAD), frames, prepared)
            opened.append(_middle([apart(opening.opening, 1, prepared) for _ in range(_TURNS)]))
            evaluated.append(apart(opening.evaluation, 1, prepared, _WORKLOAD, _METHOD))
    yield Series("opening", "frames", tuple(sizes), tuple(opened))
    yield Series("evaluation", "frames", tuple(sizes), tuple(evaluated))


def _steps(say: Callable[[str], None]) -> Iterator[Series]:
    """A training step against what makes it larger."""
    case = workload(_WORKLOAD).with_clips(8, 0)
    changes: Mapping[str, Sequence[tuple[float, Workload, int]]] = {
        "frames of a window": [
            (replace(case, intervals=q).window.frames, replace(case, intervals=q), 1)
            for q in INTERVALS
        ],
        "joints": [(joints, replace(case, joints=joints), 1) for joints in JOINTS],
        "seeds": [(seeds, case, seeds) for seeds in SEEDS],
    }
    for against, points in changes.items():
        costs = []
        for size, changed, seeds in points:
            say(f"training steps, {size:g} {against}")
            costs.append(apart(step, 1, changed, seeds))
        yield Series("training step", against, tuple(size for size, *_ in points), tuple(costs))


def step(case: Workload, seeds: int) -> Cost:
    """In a new process: one step of ours for every seed, one after another."""
    dataset = case.build()
    models = [training.ours(case, dataset) for _ in range(seeds)]
    with Watch() as watch:
        for model in models:
            model(_FEW_STEPS)
        turns = [
            seconds_of(lambda: [model(_FEW_STEPS) for model in models]) / _FEW_STEPS
            for _ in range(_TURNS)
        ]
    return Cost(statistics.median(turns), watch.resident, watch.private)


def _middle(costs: Sequence[Cost]) -> Cost:
    """The one with the median time."""
    return sorted(costs, key=lambda cost: cost.seconds)[len(costs) // 2]


def save(found: Growth, path: Path) -> None:
    """Write what was measured; BadInput when it cannot be written."""
    write_whole(
        path, json.dumps(asdict(found), indent=1), what="the growth", hint="choose another --out"
    )


def stored(path: Path) -> Growth:
    """What `save` wrote; BadInput when there is none, or a damaged one."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        series = tuple(
            Series(
                each["what"],
                each["against"],
                tuple(each["sizes"]),
                tuple(Cost(**cost) for cost in each["costs"]),
            )
            for each in raw["series"]
        )
        return Growth(**{**raw, "series": series})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            "no stored growth",
            file=path,
            found=repr(error),
            hint="measure with `python -m benchmarks growth`",
        ) from error
