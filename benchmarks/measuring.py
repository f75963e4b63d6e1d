"""Measurements in turns, in processes of their own, and what is kept of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any, Literal, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Numeric libraries read these when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Request:
    """How much is measured, and where.

    turns: that each side has; seconds: of each turn, at least; device: of the benchmark `gpu`; all
    others are of the CPU.
    """

    turns: int = 5
    seconds: float = 1.0
    device: str = "cuda"


@dataclass(frozen=True)
class Row:
    """One comparison.

    benchmark, case: its names; unit, better: of every number here; sides: the values of all turns,
    ours first, what it is compared with last (none in a row that has a limit alone); floor: what
    the hardware would allow; about: further numbers and words; device: that it was measured on.
    """

    benchmark: str
    case: str
    unit: str
    better: Literal["higher", "lower"]
    sides: Mapping[str, tuple[float, ...]]
    floor: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def ours(self) -> Spread:
        """Of our side."""
        return Spread.of(next(iter(self.sides.values())))

    @property
    def ratio(self) -> Spread | None:
        """How many times better ours is, turn by turn; None without a second side."""
        ours, *_, other = (
            (*self.sides.values(), None) if len(self.sides) < 2 else self.sides.values()
        )
        if other is None:
            return None
        pairs = zip(ours or (), other, strict=True)
        return Spread.of([a / b if self.better == "higher" else b / a for a, b in pairs])

    @property
    def share(self) -> float | None:
        """Which share of what the hardware would allow is reached; None where it is not known."""
        if self.floor is None:
            return None
        median = self.ours.median
        return median / self.floor if self.better == "higher" else self.floor / median


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float] | tuple[float, ...]) -> Spread:
        """Of at least one value."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


class Skipped(Exception):
    """A benchmark that cannot be run here; its words say why."""


class Failed(Exception):
    """A measurement that went wrong in a way that has words of its own."""


def brief(error: Exception) -> str:
    """What went wrong, in one line."""
    line = str(error).partition("\n")[0]
    name = "" if isinstance(error, Failed) else type(error).__name__
    return ": ".join(filter(None, (name, line)))


def alternate(
    sides: Mapping[str, Callable[[], float]],
    turns: int,
    errors: dict[str, Exception] | None = None,
) -> dict[str, tuple[float, ...]]:
    """What each side measured, turn by turn.

    Sides follow one another within a turn, so that a slow phase of the machine hits all of them,
    and in the opposite order in every other turn, so that none is always the warmer one. errors:
    receives what a side raised, which then has no turns; without it the first error is raised.
    """
    values: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for name in list(values)[:: -1 if turn % 2 else 1]:
            try:
                values[name].append(sides[name]())
            except Exception as error:
                if errors is None:
                    raise
                errors[name] = error
                del values[name]
    return {name: tuple(found) for name, found in values.items()}


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def wait(device: str) -> None:
    """Until a GPU has done all that it was asked for; a CPU has."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def repeats(seconds: float, once: float, fewest: int = 1) -> int:
    """How often to do what takes so long once, to fill so many seconds."""
    return max(fewest, round(seconds / once))


def apart(work: Callable[_P, _R], threads: int = 1, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """What a function of a module returns in a new process with so many threads.

    Threads and peak memory are a matter of a process; so are compilers' and allocators' caches.
    """
    with pool(1, threads) as executor:
        return executor.submit(work, *args, **kwargs).result()


@contextmanager
def pool(workers: int, threads: int, *, settled: bool = False) -> Iterator[ProcessPoolExecutor]:
    """New processes with so many threads each; settled: as those that compute cells."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    try:
        with ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_start, initargs=(threads, settled)
        ) as executor:
            yield executor
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def in_turns(
    sides: Mapping[str, Callable[[], Callable[[], float]]],
    turns: int,
    *,
    together: bool = False,
    errors: dict[str, Exception] | None = None,
) -> dict[str, tuple[float, ...]]:
    """What each side measured, turn by turn, each in a process of its own with one thread.

    sides: by name, what makes the measurement of a turn there, a function of a module or a partial
    of one; the first is ours, in a process like those that compute cells. together: make all of
    them at once, where nothing is measured meanwhile. errors: receives what a side raised, which
    then has no turns; without it the first error is raised.
    """
    with ExitStack() as processes:
        asked: dict[str, Callable[[], float]] = {}
        made: dict[str, Future[None]] = {}
        for name, make in sides.items():
            process = processes.enter_context(pool(1, 1, settled=not asked))
            asked[name] = partial(_turn_in, process)
            made[name] = process.submit(_made, make)
            if not together:
                # Waits; what it raised is heard below.
                made[name].exception()
        # Everything is made before the first turn.
        for name, future in made.items():
            error = future.exception()
            if isinstance(error, Exception) and errors is not None:
                errors[name] = error
                del asked[name]
            elif error is not None:
                raise error
        return alternate(asked, turns, errors)


def _turn_in(process: ProcessPoolExecutor) -> float:
    return process.submit(_turn).result()


# In a process of a side: what it measures.
_measurement: list[Callable[[], float]] = []


def _made(make: Callable[[], Callable[[], float]]) -> None:
    _measurement[:] = [make()]


def _turn() -> float:
    return _measurement[0]()


def _start(threads: int, settled: bool) -> None:
    import torch

    from bench.processes import settle

    if settled:
        settle()
    torch.set_num_threads(threads)
