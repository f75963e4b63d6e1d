"""Jobs shared with another command on the same folder: computed here, or taken from there."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import sharing
from bench.results import Cell, Result, Results
from bench.run import Job
from bench.sharing import Claim, Share

CELL = Cell(
    dataset="d", fingerprint="f", method="m", preset="p", revision=1, options={}, training=None,
    geometry={}, protocol="deciwatch", budget="smoke", limits={}, selection="last", seed=0,
)  # fmt: skip


def job(out: Path, *cells: Cell) -> Job:
    return Job(cells, out, "cpu", out)


class Engine:
    """Computes a value for each cell, and remembers which."""

    def __init__(self) -> None:
        self.seen: list[Cell] = []

    def __call__(self, jobs: Sequence[Job], *, claim: Claim) -> Iterator[Result]:
        for one in filter(None, map(claim, jobs)):
            for cell in one.cells:
                self.seen.append(cell)
                yield Result(cell, "done", metrics={"mpjpe": 1.0})


def share(results: Results, cells: Sequence[Cell], said: list[str] | None = None) -> Share:
    stamps = {cell.key: results.stamp(cell) for cell in cells}
    return Share(results, stamps, (said if said is not None else []).append)


def test_what_another_command_stored_since_the_plan_is_taken(tmp_path: Path) -> None:
    results, engine = Results(tmp_path), Engine()
    cells = [CELL, replace(CELL, protocol="full"), replace(CELL, seed=1)]
    mine = share(results, cells)
    theirs = Result(cells[0], "done", metrics={"mpjpe": 2.0})
    results.put(theirs)
    found = list(mine.computed([job(tmp_path, *cells[:2]), job(tmp_path, cells[2])], engine))
    assert engine.seen == cells[1:]
    assert theirs in found
    assert len(found) == 3
    assert mine.others == 1


def test_what_was_there_before_the_plan_and_is_asked_for_is_computed(tmp_path: Path) -> None:
    results, engine = Results(tmp_path), Engine()
    results.put(Result(CELL, "done", metrics={"mpjpe": 2.0}))
    mine = share(results, [CELL])
    (found,) = mine.computed([job(tmp_path, CELL)], engine)
    assert found.metrics == {"mpjpe": 1.0}
    assert results.get(CELL) == found
    assert mine.others == 0


def test_a_job_that_another_command_is_at_is_waited_for(tmp_path: Path, monkeypatch) -> None:
    results, engine, said = Results(tmp_path), Engine(), []
    cells = [CELL, replace(CELL, seed=1)]
    mine = share(results, cells, said)
    busy = {cells[0].training_key}
    monkeypatch.setattr(sharing.Locks, "take", lambda _, name: name not in busy)
    looks = []

    def later(_: float) -> None:
        looks.append(list(engine.seen))
        if len(looks) == 3:
            results.put(Result(CELL, "failed", error="theirs"))
            busy.clear()

    monkeypatch.setattr(sharing.time, "sleep", later)
    found = list(mine.computed([job(tmp_path, cell) for cell in cells], engine))
    # One's own come first.
    assert looks == [[cells[1]]] * 3
    assert [result.error for result in found] == [None, "theirs"]
    assert said == ["another command computes 1 cell: waiting for it"]


def test_a_job_is_locked_from_when_it_is_begun(tmp_path: Path, monkeypatch) -> None:
    held: set[str] = set()
    monkeypatch.setattr(sharing.Locks, "take", lambda _, name: held.add(name) or True)
    monkeypatch.setattr(sharing.Locks, "give", lambda _, name: held.discard(name))
    cells = [replace(CELL, seed=seed) for seed in range(3)]
    looks = []

    class Looking(Engine):
        def __call__(self, jobs: Sequence[Job], *, claim: Claim) -> Iterator[Result]:
            for result in super().__call__(jobs, claim=claim):
                looks.append(set(held))
                yield result

    jobs = [job(tmp_path, cell) for cell in cells]
    assert len(list(share(Results(tmp_path), cells).computed(jobs, Looking()))) == 3
    # Others may be at the rest meanwhile.
    assert looks == [{cell.training_key} for cell in cells]
    assert held == set()


def test_a_job_may_be_claimed_again(tmp_path: Path) -> None:
    results = Results(tmp_path)
    cells = [CELL, replace(CELL, protocol="full")]
    mine = share(results, cells)
    results.put(Result(cells[0], "done", metrics={"mpjpe": 2.0}))

    class Dying(Engine):
        def __call__(self, jobs: Sequence[Job], *, claim: Claim) -> Iterator[Result]:
            # As where the first worker died of it.
            first = [claim(one) for one in jobs]
            assert first == [claim(one) for one in jobs]
            return super().__call__(jobs, claim=claim)

    engine = Dying()
    found = list(mine.computed([job(tmp_path, *cells)], engine))
    assert engine.seen == cells[1:]
    assert sorted(result.metrics["mpjpe"] for result in found) == [1.0, 2.0]
    assert mine.others == 1


def test_a_job_that_is_asked_for_twice_while_others_are_at_it_is_computed_once(
    tmp_path: Path, monkeypatch
) -> None:
    results = Results(tmp_path)
    cells = [CELL, replace(CELL, seed=1)]
    mine = share(results, cells)
    busy = {CELL.training_key}
    monkeypatch.setattr(sharing.Locks, "take", lambda _, name: name not in busy)
    monkeypatch.setattr(sharing.time, "sleep", lambda _: busy.clear())

    class Again(Engine):
        def __call__(self, jobs: Sequence[Job], *, claim: Claim) -> Iterator[Result]:
            # As of jobs that are begun together, of which a worker died.
            for one in jobs:
                claim(one)
            return super().__call__(jobs, claim=claim)

    engine = Again()
    found = list(mine.computed([job(tmp_path, cell) for cell in cells], engine))
    assert engine.seen == [cells[1], cells[0]]
    assert len(found) == 2


def test_a_job_of_a_command_that_died_is_computed_here(tmp_path: Path, monkeypatch) -> None:
    results, engine = Results(tmp_path), Engine()
    mine = share(results, [CELL])
    busy = {CELL.training_key}
    monkeypatch.setattr(sharing.Locks, "take", lambda _, name: name not in busy)
    monkeypatch.setattr(sharing.time, "sleep", lambda _: busy.clear())
    assert len(list(mine.computed([job(tmp_path, CELL)], engine))) == 1
    assert engine.seen == [CELL]


def test_where_nothing_can_be_locked_it_is_said_once(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("bench.locks.fcntl.lockf", refuse)
    said: list[str] = []
    mine = share(Results(tmp_path), [CELL], said)
    assert len(list(mine.computed([job(tmp_path, CELL)], Engine()))) == 1
    assert said == [
        f"{tmp_path}: this file system has no locks: another command on the same folder would "
        "compute the same cells"
    ]


def test_without_jobs_nothing_is_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert list(share(Results(out), []).computed([], Engine())) == []
    assert not out.exists()


def test_a_closed_share_closes_its_engine(tmp_path: Path) -> None:
    closed = []

    def engine(jobs: Sequence[Job], *, claim: Claim) -> Iterator[Result]:
        try:
            for one in filter(None, map(claim, jobs)):
                yield Result(one.cells[0], "done")
        finally:
            closed.append(True)

    cells = [CELL, replace(CELL, seed=1)]
    found = share(Results(tmp_path), cells).computed([job(tmp_path, c) for c in cells], engine)
    next(found)
    found.close()
    assert closed == [True]
    with pytest.raises(StopIteration):
        next(found)
