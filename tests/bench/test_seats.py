"""Who gets which task, and what becomes of a task whose seat dies: with seats made here."""

from threading import Barrier, Event
from types import SimpleNamespace

import pytest
from joblib import Parallel, delayed

from bench.seats import ATTEMPTS, LEFT, LOST, Died, Gone, Seats, Task


class Fake:
    """A seat that notes what it did; `deaths` times it dies of the item named `bad`."""

    def __init__(self, name, gpu=False, deaths=None, wait=None):
        self.name, self.gpu, self.done = name, gpu, []
        self.deaths = [] if deaths is None else deaths
        self.wait, self.usable = wait, True

    def run(self, work, item, tell):
        if self.wait is not None:
            self.wait.wait(20)
        self.done.append(item)
        if item == "bad" and self.deaths:
            self.deaths.pop()
            raise Died
        tell(item, 1.0, "done")
        return work(item, tell)

    def kill(self):
        self.usable = False


def doubled(item, tell):
    return 2 * item


def outcomes(seats, tasks, tell=lambda *_: None, work=doubled):
    parallel = Parallel(
        backend=Seats(seats, tell),
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="all",
    )
    return parallel(delayed(work)(task) for task in tasks)


def test_one_seat_does_everything_in_order():
    seat, told = Fake("a"), []
    tasks = [Task(item) for item in "xyz"]
    found = list(outcomes([seat], tasks, lambda *said: told.append(said)))
    assert found == [("x", "xx"), ("y", "yy"), ("z", "zz")]
    assert seat.done == ["x", "y", "z"]
    assert told == [(item, 1.0, "done") for item in "xyz"]


def test_what_needs_a_gpu_is_done_on_one_and_the_rest_beside_it():
    # Nobody starts before all seats are there, so that each has something to do.
    everyone = Barrier(3)
    gpus = [Fake(name, True, wait=_Once(everyone)) for name in ("g0", "g1")]
    cpu = Fake("c", wait=_Once(everyone))
    needs = [False, False, True, True, True]
    tasks = [Task(str(number), need) for number, need in enumerate(needs)]
    found = dict(outcomes([*gpus, cpu], tasks))
    assert found == {str(number): str(number) * 2 for number in range(5)}
    assert {"2", "3", "4"} <= {item for seat in gpus for item in seat.done}
    # Both took what needs them first, although the other tasks are first in the list.
    assert {seat.done[0] for seat in gpus} <= {"2", "3", "4"}
    assert set(cpu.done) <= {"0", "1"}


class _Once:
    """Waits at a barrier the first time alone."""

    def __init__(self, barrier):
        self.barrier, self.left = barrier, True

    def wait(self, seconds):
        if self.left:
            self.left = False
            self.barrier.wait(seconds)


def test_a_gpu_does_what_needs_none_when_there_is_nothing_else():
    seat = Fake("g", True)
    assert dict(outcomes([seat], [Task("a"), Task("b", True)])) == {"a": "aa", "b": "bb"}


@pytest.mark.parametrize(("deaths", "outcome"), [(1, "badbad"), (2, LOST)])
def test_a_task_is_tried_twice_and_no_other_one_is_lost(deaths, outcome):
    seat = Fake("a", deaths=[None] * deaths)
    found = dict(outcomes([seat], [Task("bad"), Task("x"), Task("y")]))
    assert found == {"bad": outcome, "x": "xx", "y": "yy"}
    # The second time comes last: it may have died of what ran beside it.
    assert seat.done == ["bad", "x", "y", "bad"]


def test_a_seat_that_is_gone_leaves_its_task_to_another():
    gone, other, free = Fake("gone"), Fake("other"), Event()

    def dies(work, item, tell):
        gone.usable = False
        gone.done.append(item)
        free.set()
        raise Died

    gone.run, other.wait = dies, free
    tasks = [Task(item) for item in "012"]
    assert dict(outcomes([gone, other], tasks)) == {"0": "00", "1": "11", "2": "22"}
    assert len(gone.done) == 1
    assert len(other.done) == 3


def test_what_is_not_claimed_is_left_and_what_is_may_be_less():
    claims = {"x": "x", "y": LEFT, "both": "one"}
    parallel = Parallel(
        backend=Seats([seat := Fake("a")], lambda *_: None, claims.__getitem__),
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="all",
    )
    found = list(parallel(delayed(doubled)(Task(item)) for item in claims))
    assert found == [("x", "xx"), (LEFT, LEFT), ("one", "oneone")]
    assert seat.done == ["x", "one"]


def test_what_work_raises_ends_the_run():
    def fails(item, tell):
        raise ValueError(item)

    with pytest.raises(ValueError, match="x"):
        list(outcomes([Fake("a")], [Task("x"), Task("y")], work=fails))


@pytest.mark.filterwarnings("ignore:.*tasks")
def test_seats_are_killed_when_a_run_is_closed():
    seats = [Fake("a"), Fake("b")]
    found = outcomes(seats, [Task("x")] * 50)
    next(found)
    found.close()
    assert not any(seat.usable for seat in seats)


class _Leaving(Fake):
    """A seat that raises one error, then none."""

    def __init__(self, error):
        super().__init__("leaving")
        self.error = error

    def run(self, work, item, tell):
        self.usable = False
        raise self.error


def test_a_seat_that_was_dead_before_it_began_is_no_attempt():
    died = [_Leaving(Died()) for _ in range(ATTEMPTS - 1)]
    gone = [_Leaving(Gone()) for _ in range(3)]
    backend = Seats([*died, *gone], lambda *_: None)
    parallel = Parallel(
        backend=backend, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
    )
    found = parallel(delayed(doubled)(task) for task in [Task("x")])
    while any(seat.usable for seat in (*died, *gone)):
        pass
    backend.add(Fake("last"))
    assert list(found) == [("x", "xx")]


def test_what_fails_as_a_whole_fails_in_flight_waiting_and_later(monkeypatch):
    # No task is to blame, not even one that is not tried again.
    monkeypatch.setattr("bench.seats.ATTEMPTS", 1)
    began, over = Event(), Event()
    seat = Fake("a")

    def dies(work, item, tell):
        began.set()
        over.wait(20)
        raise Died

    seat.run = dies
    backend, found = Seats([seat], lambda *_: None), []
    futures = [submitted(backend, item, found.append) for item in ("in flight", "waiting")]
    began.wait(20)
    backend.fail(error := ValueError("all is over"))
    assert found == [futures[1]]
    over.set()
    assert futures[0].exception(20) is error
    futures.append(submitted(backend, "later", found.append))
    assert [future.exception(0) for future in futures] == [error] * 3
    backend.terminate()


def submitted(backend, item, callback):
    """One task, as joblib hands it over."""
    return backend.submit(SimpleNamespace(items=[delayed(doubled)(Task(item))]), callback)
