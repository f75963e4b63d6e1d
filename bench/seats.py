"""Seats, each of which does one task at a time, and the joblib backend that hands them tasks.

A seat is a process of this machine (`bench.processes`) or a worker of a cluster (`bench.cluster`).
What is written here holds for both: tasks that need a GPU are done on seats that have one, and a
seat that dies costs its own task alone, which is then done on another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import Any, Protocol

from joblib.parallel import ParallelBackendBase

from bench.run import Tell

Work = Callable[[Any, Tell], Any]
"""What is done with an item: a function that a process can import, of the item and `tell`."""

ATTEMPTS = 2
"""A task that so many seats died of is not tried again."""

# Seconds that a seat is waited for when all is over.
_LAST_WORDS = 2.0


class Died(Exception):
    """A seat died while it did a task."""


class Gone(Exception):
    """A seat was dead before it began with a task."""


class Lost:
    """Stands for the outcome of a task that seats died of."""


class Left:
    """Stands for the outcome of a task that was not to be begun any more."""


LOST = Lost()
LEFT = Left()


class Seat(Protocol):
    """What does one task at a time."""

    gpu: bool

    def run(self, work: Work, item: Any, tell: Tell) -> Any:
        """The task's outcome, or what it raised.

        Died when that will never be known, Gone when it was not even begun.
        """

    @property
    def usable(self) -> bool:
        """Whether it can do another task after this one, dead or alive."""

    def kill(self) -> None:
        """End whatever it does at once, from any thread."""


@dataclass(frozen=True)
class Task:
    """An item of work, and its need."""

    item: Any
    gpu: bool = False


@dataclass
class _Call:
    work: Work
    task: Task
    done: Callable[[Any], Any]
    future: Future[Any] = field(default_factory=Future)
    deaths: int = 0

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)
        self.done(self.future)


class Seats(ParallelBackendBase):  # type: ignore[misc]
    """A joblib backend: a thread for every seat takes the next task that suits it.

    joblib's own ones will not do: its pool of processes loses all that is in flight when one
    process dies and cannot have seats of two kinds, and with its Dask backend a call that returns
    what is done first waits for ever for a task that workers died of.
    """

    supports_retrieve_callback = True

    def __init__(
        self, seats: Sequence[Seat], tell: Tell, claim: Callable[[Any], Any] = lambda item: item
    ) -> None:
        """seats: those there are from the start; tell: is called by one thread at a time.

        claim: is asked before a seat begins with an item, from any thread: what to do of it, or
        LEFT. The outcome of a call is what was claimed, and what came of it.
        """
        super().__init__(nesting_level=0)
        self._changed = Condition()
        self._waiting: dict[bool, deque[_Call]] = {True: deque(), False: deque()}
        self._stopped = False
        self._error: BaseException | None = None
        self._seats: list[Seat] = []
        self._threads: list[Thread] = []
        self._telling = Lock()
        self._tell = tell
        self._claim = claim
        for seat in seats:
            self.add(seat)

    def add(self, seat: Seat) -> None:
        """One more seat, from now on."""
        thread = Thread(target=self._serve, args=(seat,), daemon=True)
        with self._changed:
            if self._stopped:
                return
            self._seats.append(seat)
            self._threads.append(thread)
        thread.start()

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # noqa: ARG002 - joblib names it
        """Never 1: joblib would then do the work in this process."""
        return max(2, len(self._seats))

    def submit(self, func: Any, callback: Callable[[Any], Any]) -> Future[Any]:
        """Put one task into the queue; func: joblib's batch, which holds just one."""
        ((work, (task,), _),) = func.items
        call = _Call(work, task, callback)
        self._queue(call)
        return call.future

    def retrieve_result_callback(self, out: Future[Any]) -> list[Any]:
        """The batch's one outcome."""
        return [out.result()]

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - joblib's
        """Kill what is in flight."""
        self._stop()

    def terminate(self) -> None:
        """Let the seats go."""
        self._stop()
        for thread in self._threads:
            thread.join(_LAST_WORDS)

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            seats = tuple(self._seats)
        for seat in seats:
            seat.kill()

    def fail(self, error: BaseException) -> None:
        """Make the whole call raise an error, from any thread.

        What waits raises it at once, what is in flight when its seat is dead, and so does whatever
        is asked for later.
        """
        with self._changed:
            self._error = error
            calls = [call for queue in self._waiting.values() for call in queue]
            for queue in self._waiting.values():
                queue.clear()
        for call in calls:
            call.fail(error)

    def _queue(self, call: _Call) -> None:
        with self._changed:
            if self._error is None:
                self._waiting[call.task.gpu].append(call)
                self._changed.notify_all()
                return
        call.fail(self._error)

    def _next(self, seat: Seat) -> _Call | None:
        """The next task for a seat, waited for; None when there will be none."""
        with self._changed:
            while not self._stopped:
                # A GPU's seat does what needs no GPU only when nothing needs one.
                for need in (True, False) if seat.gpu else (False,):
                    if self._waiting[need]:
                        return self._waiting[need].popleft()
                self._changed.wait()
        return None

    def _serve(self, seat: Seat) -> None:
        while seat.usable and (call := self._next(seat)) is not None:
            claimed = call.task.item
            try:
                claimed = self._claim(claimed)
                outcome: Any = LEFT
                if claimed is not LEFT:
                    outcome = seat.run(call.work, claimed, self._told)
                call.future.set_result((claimed, outcome))
            except (Died, Gone) as error:
                call.deaths += isinstance(error, Died)
                if self._stopped:
                    return
                # Where all is over no task is to blame.
                if call.deaths < ATTEMPTS or self._error is not None:
                    # To the end of the queue: it may have died of what ran beside it.
                    self._queue(call)
                    continue
                call.future.set_result((claimed, LOST))
            except BaseException as error:
                call.future.set_exception(error)
            call.done(call.future)

    def _told(self, key: str, share: float, text: str) -> None:
        # Work goes on where its progress cannot be shown, as in a log on a full disk.
        with self._telling, suppress(OSError):
            self._tell(key, share, text)
