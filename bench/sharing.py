"""One output folder for several commands at once: every job is computed by one of them.

A job is locked from when it is begun until its results are stored, so that commands share a table.
What another command is at is left for last, and then taken from it, or computed where it died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from threading import Lock
from typing import Protocol

from bench.locks import PATIENCE, Locks
from bench.results import Cell, Result, Results
from bench.run import Job

Claim = Callable[[Job], Job | None]


class Engine(Protocol):
    """`bench.engines.run_jobs` but for where it computes."""

    def __call__(self, jobs: Sequence[Job], *, claim: Claim) -> Generator[Result, None, None]:
        """Every result of the jobs, as far as they can be claimed."""


Stamp = tuple[int, ...] | None


class Share:
    """The jobs of one command, and which of their cells others have computed meanwhile.

    stamps: of the results when the jobs were planned, by the cell's key; say: receives a line when
    there is something to wait for, or nothing to lock with. `others` counts the results that were
    taken from others.
    """

    def __init__(
        self, results: Results, stamps: Mapping[str, Stamp], say: Callable[[str], None]
    ) -> None:
        self.others = 0
        self._results = results
        self._locks = Locks(
            results.folder.parent, what="the output folder", hint="choose another with --out"
        )
        self._stamps = stamps
        self._say = say
        # Cells of locked jobs that are not stored yet, by the job's name.
        self._open: dict[str, set[str]] = {}
        # Jobs that others were at when they were asked for last, by their names.
        self._busy: dict[str, Job] = {}
        self._found: list[Result] = []
        self._told = self._waits = False
        # Jobs are claimed by the threads of an engine.
        self._claiming = Lock()

    def computed(self, jobs: Sequence[Job], engine: Engine) -> Generator[Result, None, None]:
        """Every result of the jobs: computed by the engine and stored, or taken from others.

        BadInput when a result cannot be stored. Closing the generator closes the engine.
        """
        if jobs:
            with self._locks:
                yield from self._all(jobs, engine)

    def _all(self, jobs: Sequence[Job], engine: Engine) -> Iterator[Result]:
        todo = list(jobs)
        while todo:
            with closing(engine(todo, claim=self._claim)) as results:
                for result in results:
                    self._results.put(result)
                    self._stored(result)
                    yield result
                    yield from self._taken()
            todo = yield from self._given_back()

    def _given_back(self) -> Generator[Result, None, list[Job]]:
        """Wait until others are done with a job, or died of it; what is left to be computed."""
        yield from self._taken()
        while self._busy:
            busy, self._busy = self._busy, {}
            free = [job for job in busy.values() if self._claim(job)]
            yield from self._taken()
            if free:
                left, self._busy = [*free, *self._busy.values()], {}
                return left
            if self._busy:
                self._wait()
        return []

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            cells = sum(len(job.cells) for job in self._busy.values())
            self._say(f"another command computes {_counted(cells)}: waiting for it")
        time.sleep(PATIENCE)

    def _claim(self, job: Job) -> Job | None:
        """Lock a job; what nobody has stored of it, None if that is nothing or others are at it.

        A job that is locked here may be claimed again.
        """
        # Cells of a job share their weights, and so this name.
        name = job.cells[0].training_key
        with self._claiming:
            if name in self._open:
                mine = self._open[name]
                return replace(job, cells=tuple(c for c in job.cells if c.key in mine))
            taken = self._locks.take(name)
            if not self._locks.supported and not self._told:
                self._told = True
                self._say(
                    f"{self._results.folder.parent}: this file system has no locks: another "
                    "command on the same folder would compute the same cells"
                )
            if not taken:
                self._busy[name] = job
                return None
            self._busy.pop(name, None)
            cells = tuple(cell for cell in job.cells if not self._by_others(cell))
            if not cells:
                self._locks.give(name)
                return None
            self._open[name] = {cell.key for cell in cells}
            return replace(job, cells=cells)

    def _by_others(self, cell: Cell) -> bool:
        """Whether another command has stored a cell since it was planned."""
        if self._results.stamp(cell) == self._stamps[cell.key]:
            return False
        result = self._results.get(cell, self._say)
        if result is not None:
            self._found.append(result)
        return result is not None

    def _stored(self, result: Result) -> None:
        """Unlock a job when all of its results are stored."""
        name = result.cell.training_key
        missing = self._open[name]
        missing.discard(result.cell.key)
        if not missing:
            del self._open[name]
            self._locks.give(name)

    def _taken(self) -> Iterator[Result]:
        while self._found:
            self.others += 1
            yield self._found.pop()


def _counted(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"
