"""Workers of a Dask cluster as seats: found as they come, checked, used one task at a time.

The scheduler runs somewhere (`tcp://...`, or a file that it wrote), or a YAML file says how to
start a cluster. Results come back to this process, which alone writes them; weights are written
by workers, into the output folder, which lies on a shared disk.
"""

from __future__ import annotations

import atexit
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, Literal, cast

from pydantic import Field

from bench import registry
from bench.agreement import Agreement, of_code
from bench.config import Strict, read
from bench.contracts import BadInput
from bench.processes import portable, settle
from bench.run import Tell
from bench.seats import Died, Gone, Seats, Work

Say = Callable[[str], None]

# Seconds between two looks at who is there, and until a scheduler counts as unreachable.
_LOOK = 0.5
_PATIENCE = 15
# Seconds that workers are waited for which took part once, while all that are there refuse.
_GRACE = 60

_GPU = {"GPU": 1}
# What a cluster file may start: a class, and options that it must have to suit a run.
_KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "local": ("distributed", "LocalCluster", {"threads_per_worker": 1, "processes": True}),
    "cuda": ("dask_cuda", "LocalCUDACluster", {"threads_per_worker": 1, "resources": _GPU}),
    "ssh": ("distributed", "SSHCluster", {"worker_options": {"nthreads": 1}}),
    "slurm": ("dask_jobqueue", "SLURMCluster", {"cores": 1, "processes": 1}),
}
# In a worker: the topic of the run that it worked for last.
_served = ""

_COUNTED = {"local": "n_workers", "cuda": "n_workers"}


class ClusterFile(Strict):
    """A YAML file that says how to start a cluster.

    workers: how many; options: of the class that `kind` stands for, by its own names.
    """

    kind: Literal["local", "cuda", "ssh", "slurm"]
    workers: int | None = Field(None, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)


@cache
def connected(scheduler: str) -> Cluster:
    """The cluster of an address, a scheduler's file or a YAML file; one for the whole process.

    BadInput when `bench[dask]` is not installed, a file is not right, or nobody answers.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise BadInput("Dask is not installed", hint="pip install 'bench[dask]'") from error
    started: Any = None
    path = Path(scheduler)
    try:
        where: dict[str, Any]
        if "://" in scheduler:
            where = {"address": scheduler}
        elif not path.is_file():
            raise BadInput(
                "no such scheduler",
                file=scheduler,
                expected="tcp://HOST:PORT, a file that `dask scheduler --scheduler-file` wrote, "
                "or a YAML file that describes a cluster",
            )
        elif path.suffix == ".json":
            where = {"scheduler_file": scheduler}
        else:
            started = _started(read(path, ClusterFile), path)
            where = {"address": started}
        client = distributed.Client(**where, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(
            "the scheduler does not answer", file=scheduler, found=str(error).partition("\n")[0]
        ) from error
    for opened in (started, client):
        if opened is not None:
            atexit.register(opened.close)
    return Cluster(client, scheduler)


def _started(said: ClusterFile, path: Path) -> Any:
    """The cluster of a YAML file."""
    module, name, fixed = _KINDS[said.kind]
    try:
        make = getattr(import_module(module), name)
    except ImportError as error:
        raise BadInput(
            f"a cluster of kind {said.kind} needs {module.replace('_', '-')}",
            file=path,
            hint="install it beside bench",
        ) from error
    counted = _COUNTED.get(said.kind)
    count = {counted: said.workers} if counted and said.workers else {}
    try:
        cluster = make(**{**fixed, **said.options, **count})
        if said.kind == "slurm":
            cluster.scale(said.workers or 1)
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        raise BadInput("the cluster cannot be started", file=path, found=error) from error
    return cluster


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers.

    client: Dask's; name: of its scheduler, for messages; agreed: what its workers have to agree
    on, the code alone when nothing is said; say: receives lines about who takes part.
    """

    client: Any
    name: str
    agreed: Agreement | None = None
    say: Say = print

    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """Who is there, by address; BadInput when the scheduler is gone.

        A lost connection is waited for: Dask's client makes another, or closes when it cannot.
        """
        while not self.closed:
            try:
                found = self.client.sync(self.client.scheduler.identity, n_workers=-1)
                return cast("Mapping[str, Mapping[str, Any]]", found["workers"])
            except (OSError, RuntimeError, AttributeError):
                time.sleep(_LOOK)
        raise self.gone()

    @property
    def closed(self) -> bool:
        """Whether the client has given the scheduler up."""
        return self.client.status not in ("running", "connecting")

    def gone(self) -> BadInput:
        """What is said when the scheduler is not there any more."""
        return BadInput(
            "the scheduler is gone",
            file=self.name,
            hint="what is done is stored; the same command goes on when there is a scheduler",
        )

    def device(self, name: str) -> str:
        """auto, cpu or cuda -> what trained cells need, as torch names it on a worker.

        auto waits for a worker, and takes GPUs when one has a GPU by then.
        """
        if name != "auto":
            return "cuda:0" if name == "cuda" else name
        if not self.workers():
            self.say(f"{self.name}: waiting for a worker")
        while not (there := self.workers()):
            time.sleep(_LOOK)
        return "cuda:0" if any(_has_gpu(about) for about in there.values()) else "cpu"

    def seats(self, tell: Tell, claim: Callable[[Any], Any]) -> Seats:
        """Its workers as seats, those that come later included; tell, claim: as in `Seats`."""
        return _Workers(self, tell, claim)


def _has_gpu(about: Mapping[str, Any]) -> bool:
    """Whether a worker was started with `--resources GPU=1`."""
    return bool(about.get("resources", {}).get("GPU", 0) >= 1)


# A worker between two starts: its address, and a folder that no other one has ever had. One that
# is started again may have the same address, but other code.
_Place = tuple[str, str]


class _Workers(Seats):
    """Seats that come and go with the workers of a cluster."""

    def __init__(self, cluster: Cluster, tell: Tell, claim: Callable[[Any], Any]) -> None:
        super().__init__((), tell, claim)
        self.cluster = cluster
        self.agreed = cluster.agreed or of_code()
        self.topic = f"bench-{secrets.token_hex(8)}"
        self.alive: frozenset[_Place] = frozenset()
        self._refused: dict[_Place, str] = {}
        # When it was last possible that there is, or will be, a worker that takes part.
        self._hopeful = time.monotonic()

    def start_call(self) -> None:
        """Look for workers from now on, and listen to them."""
        if not self.cluster.workers():
            self.cluster.say(f"{self.cluster.name}: waiting for a worker")
        self.cluster.client.subscribe_topic(self.topic, lambda event: self._told(*event[1]))
        Thread(target=self._watch, daemon=True).start()

    def stop_call(self) -> None:
        """Listen no longer."""
        with _unless_closed():
            self.cluster.client.unsubscribe_topic(self.topic)

    def fail(self, error: BaseException) -> None:
        """Make the whole call raise an error; no worker counts as alive any more."""
        super().fail(error)
        self.alive = frozenset()

    def _watch(self) -> None:
        try:
            while not self._stopped:
                self._look()
                time.sleep(_LOOK)
        except Exception as error:
            # Whatever it is: without anybody who looks, the call would never end.
            self.fail(error)

    def _look(self) -> None:
        """See who came and who left; BadInput when there is nobody to hope for."""
        found = self.cluster.workers()
        there = {(name, about["local_directory"]): about for name, about in found.items()}
        before, self.alive = self.alive, frozenset(there)
        for place in self.alive - before:
            Thread(target=self._admit, args=(place, there[place]), daemon=True).start()
        now = time.monotonic()
        if not self.alive or not self.alive <= self._refused.keys():
            self._hopeful = now
        elif not self._seats or now - self._hopeful > _GRACE:
            why = "; ".join(sorted({self._refused[place] for place in self.alive}))
            raise BadInput("no worker can take part", file=self.cluster.name, found=why)

    def _admit(self, place: _Place, about: Mapping[str, Any]) -> None:
        """Make a seat of a worker, unless it refuses."""
        seat = _WorkerSeat(self, place, _has_gpu(about))
        if about["nthreads"] != 1:
            problem = f"it runs {about['nthreads']} threads; start it with --nthreads 1"
        else:
            try:
                problem = seat.run(_problem, self.agreed, self._told)
            except (Died, Gone):
                if seat.usable:
                    # The connection alone was lost.
                    self._admit(place, about)
                return
            except Exception as error:
                # What was sent to it cannot even be read there.
                problem = f"its bench is another one or missing ({type(error).__name__}: {error})"
        if problem is None:
            self.add(seat)
        else:
            self.cluster.say(f"worker {place[0]} refuses: {problem}")
            self._refused[place] = problem


class _WorkerSeat:
    """One worker of a cluster, until it dies."""

    def __init__(self, owner: _Workers, place: _Place, gpu: bool) -> None:
        self.gpu = gpu
        self._owner, self._place = owner, place
        self._future: Any = None
        self._ended = False

    @property
    def usable(self) -> bool:
        """As long as the worker is there: another one at its address is another seat."""
        return not self._ended and self._place in self._owner.alive

    def run(self, work: Work, item: Any, _tell: Tell) -> Any:
        """The outcome of `work` on an item, done on the worker; it tells by the owner's topic."""
        # A power cut ends several workers at once. A task that one of them died of must not count
        # as tried on the next that nobody has missed yet.
        try:
            self._outcome(_here, None)
        except Died as error:
            raise Gone from error
        return self._outcome(work, item)

    def _outcome(self, work: Work, item: Any) -> Any:
        from distributed import CancelledError, KilledWorker

        cluster = self._owner.cluster
        address, folder = self._place
        try:
            self._future = cluster.client.submit(
                _serve,
                work,
                item,
                self._owner.topic,
                folder,
                key=f"bench-{secrets.token_hex(8)}",
                workers=[address],
                allow_other_workers=False,
                pure=False,
            )
            while True:
                try:
                    outcome, value = self._future.result(timeout=_LOOK)
                    break
                except TimeoutError:
                    if not self.usable:
                        raise Died from None
        except (KilledWorker, OSError) as error:
            raise Died from error
        except CancelledError as error:
            # No worker died: the connection was lost, or nobody wants the outcome any more.
            raise Gone from error
        except Exception as error:
            if not cluster.closed:
                raise
            self._owner.fail(cluster.gone())
            raise Gone from error
        finally:
            self._drop()
        if outcome == "elsewhere":
            raise Died
        if outcome == "raised":
            raise value
        return value

    def _drop(self) -> None:
        if self._future is not None:
            with _unless_closed():
                self._future.cancel()

    def kill(self) -> None:
        """Let the worker drop what it does, the next time that it tells how it goes on."""
        self._ended = True
        self._drop()


def _unless_closed() -> AbstractContextManager[None]:
    """Around what is told to a scheduler: nothing, when the client has given it up."""
    from distributed.client import ClosedClientError

    return suppress(ClosedClientError)


class _Unwanted(BaseException):
    """Whoever asked for a task does not want it any more; no method may catch this."""


def _here(_item: None, _tell: Tell) -> None:
    """Nothing: that it comes back is all that is asked for."""


def _problem(agreed: Agreement, _tell: Tell) -> str | None:
    return agreed.problem()


def _serve(work: Work, item: Any, topic: str, folder: str) -> tuple[str, Any]:
    """What a worker does with one item; folder: that of the worker which was asked."""
    from distributed import get_worker

    worker = get_worker()
    if worker.local_directory != folder:
        # It has died, and Dask hands its tasks to whoever is at its address now.
        return "elsewhere", None
    global _served
    if topic != _served:
        # A worker outlives runs, and another one's plugins may have the same names.
        registry.forget_plugins()
        _served = topic
    key = worker.get_current_task()

    def tell(*said: Any) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise _Unwanted
        worker.log_event(topic, said)

    settle()
    try:
        return "done", work(item, tell)
    except Exception as error:
        return "raised", portable(error)
