"""Five seeds on two cores: two processes of one thread against one process of two."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from bench.machine import physical_cores
from benchmarks.measuring import Request, Row, Skipped, alternate, pool, repeats, seconds_of
from benchmarks.training import side_of
from benchmarks.workloads import workload

SEEDS = 5
_CORES = 2
_WORKLOAD = "pw3d"

# A process makes its data and models once; a run of a benchmark asks for many trainings.
_ready: dict[str, Any] = {}


def measure(request: Request) -> list[Row]:
    """Seconds until all seeds have made so many steps; start-up of processes is left out."""
    return [_compared(request, compiled) for compiled in (False, True)]


def _compared(request: Request, compiled: bool) -> Row:
    if physical_cores() < _CORES:
        raise Skipped(f"it needs {_CORES} cores")
    with pool(_CORES, 1, settled=True) as ours, pool(1, _CORES) as plain:
        once = plain.submit(_train, "straightforward", False, 2).result() / 2
        steps = repeats(request.seconds, once, fewest=4)
        sides: dict[str, Callable[[], float]] = {
            "ours": lambda: _all(ours, "ours", compiled, steps),
            "straightforward": lambda: _all(plain, "straightforward", False, steps),
        }
        for work in sides.values():
            # Every process has made everything before the first turn.
            work()
        turns = alternate(sides, request.turns)
    case = workload(_WORKLOAD)
    about = {"seeds": SEEDS, "steps of each": steps, "cores": _CORES}
    title = f"{case.title}, {SEEDS} seeds, 2 cores" + (", compiled" if compiled else "")
    return Row("seeds", title, "s", "lower", turns, about=about)


def _all(executor: Executor, side: str, compiled: bool, steps: int) -> float:
    def work() -> None:
        list(executor.map(_train, *([said] * SEEDS for said in (side, compiled, steps))))

    return seconds_of(work)


def _train(side: str, compiled: bool, steps: int) -> float:
    """In a worker of a side: so many steps; the seconds that they took."""
    if side not in _ready:
        _ready[side] = side_of(side, workload(_WORKLOAD), compiled)
    return seconds_of(lambda: _ready[side](steps))
