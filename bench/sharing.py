"""One output folder for several commands at once: every job is computed by one of them.

A job is locked from before it is computed until its results are stored. What another command is
at is left for last, and then taken from it, or computed where it died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from bench.locks import PATIENCE, Locks
from bench.results import Cell, Result, Results
from bench.run import Job

Engine = Callable[[Sequence[Job]], Generator[Result, None, None]]
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
        self._found: list[Result] = []
        self._told = False

    def computed(self, jobs: Sequence[Job], engine: Engine) -> Generator[Result, None, None]:
        """Every result of the jobs: computed by the engine and stored, or taken from others.

        BadInput when a result cannot be stored. Closing the generator closes the engine.
        """
        if jobs:
            with self._locks:
                yield from self._all(jobs, engine)

    def _all(self, jobs: Sequence[Job], engine: Engine) -> Iterator[Result]:
        left = list(jobs)
        told = False
        while left:
            mine, left = self._claimed(left)
            yield from self._taken()
            if mine:
                with closing(engine(mine)) as results:
                    for result in results:
                        self._results.put(result)
                        self._stored(result)
                        yield result
            elif left:
                if not told:
                    cells = sum(len(job.cells) for job in left)
                    self._say(f"another command computes {_counted(cells)}: waiting for it")
                told = True
                time.sleep(PATIENCE)

    def _claimed(self, jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
        """The jobs that nobody else is at, locked, and those that another command has locked.

        Cells that others have stored meanwhile are in neither.
        """
        mine, others = [], []
        for job in jobs:
            # Cells of a job share their weights, and so this name.
            name = job.cells[0].training_key
            if not self._locks.take(name):
                others.append(job)
                continue
            cells = [cell for cell in job.cells if not self._by_others(cell)]
            if cells:
                self._open[name] = {cell.key for cell in cells}
                mine.append(replace(job, cells=tuple(cells)))
            else:
                self._locks.give(name)
        if not self._locks.supported and not self._told:
            self._told = True
            self._say(
                f"{self._results.folder.parent}: this file system has no locks: another command "
                "on the same folder would compute the same cells"
            )
        return mine, others

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
