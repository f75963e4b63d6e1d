"""Seats of this machine: single-threaded processes, each on a core or on a GPU of its own.

One thread makes a cell's numbers independent of how many run beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock
from typing import Any

from bench.contracts import BadInput
from bench.machine import keep_memory
from bench.run import Tell
from bench.seats import Died, Work
from bench.stopping import follow_parent

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_WARNINGS = "PYTHONWARNINGS"
_starting = Lock()


class ProcessSeat:
    """A process that is started when there is something to do, and again when it died.

    gpu: the one GPU it sees, as CUDA_VISIBLE_DEVICES names it; None for a seat on the CPU.
    """

    def __init__(self, gpu: str | None = None) -> None:
        self.gpu = gpu is not None
        self._visible = gpu
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._ended = False

    @property
    def usable(self) -> bool:
        """Until it is killed: a dead process is replaced."""
        return not self._ended

    def run(self, work: Work, item: Any, tell: Tell) -> Any:
        """The outcome of `work` on an item, done in the process."""
        message = self._heard((work, item))
        while message[0] == "told":
            tell(*message[1])
            message = self._heard()
        outcome, value = message
        if outcome == "raised":
            raise value
        return value

    def _heard(self, said: Any = None) -> Any:
        """What the process says next, after something was said to it; Died when it never will."""
        try:
            pipe = self._pipe or self._started()
            if said is not None:
                pipe.send(said)
            return pipe.recv()
        except (EOFError, OSError) as error:
            self._end()
            raise Died from error

    def kill(self) -> None:
        """End the process; there will be no other one."""
        with _starting:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def _started(self) -> Connection:
        context = get_context("spawn")
        with _starting:
            if self._ended:
                raise EOFError
            # Read by the numeric libraries when they are loaded; without effect in this process.
            os.environ.setdefault("OMP_NUM_THREADS", "1")
            _hush_tracker()
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self._visible))
            self._process.start()
        # The process alone holds its end, so that its death is the end of the pipe.
        theirs.close()
        return self._pipe

    def _end(self) -> None:
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.join()


def _hush_tracker() -> None:
    """Start the process that clears away what killed processes leave, which need not say so.

    Processes are killed when all is done, and some libraries have a semaphore then.
    """
    before = os.environ.get(_WARNINGS)
    os.environ[_WARNINGS] = ",".join(filter(None, [before, "ignore:resource_tracker"]))
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ[_WARNINGS]
        if before is not None:
            os.environ[_WARNINGS] = before


def gpus() -> tuple[str, ...]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return tuple(named[:count] or map(str, range(count)))


def seats(workers: int, tasks: Sequence[bool], devices: Sequence[str]) -> list[ProcessSeat]:
    """One seat for each GPU and so many on the CPU, but no more than there are tasks for.

    tasks: for each, whether it needs a GPU; devices: the GPUs there are, at least one of which
    is taken to be there when a task needs one.
    """
    on_gpu = sum(tasks)
    found = tuple(devices) or ("0",)
    return [ProcessSeat(name) for name in found[:on_gpu]] + [
        ProcessSeat() for _ in range(min(workers, len(tasks) - on_gpu))
    ]


def _serve(pipe: Connection, visible: str | None) -> None:
    """What a process does: one item after another, until the pipe ends."""
    follow_parent()
    settle(visible)
    while True:
        try:
            work, item = pipe.recv()
        except EOFError:
            return
        try:
            outcome = "done", work(item, lambda *said: pipe.send(("told", said)))
        except Exception as error:
            outcome = "raised", portable(error)
        pipe.send(outcome)


def settle(visible: str | None = None) -> None:
    """What a process that computes begins with: one thread, its GPU, and memory that it keeps.

    visible: the one GPU it sees, as CUDA_VISIBLE_DEVICES names it.
    """
    if visible is not None:
        os.environ[_VISIBLE] = visible
    import torch

    torch.set_num_threads(1)
    # Convolutions of a GPU are in float32 unless a training says otherwise, as its products are.
    torch.backends.cudnn.allow_tf32 = False
    keep_memory()


def portable(error: Exception) -> Exception:
    """An error that can be sent to another process: itself, or its name and words."""
    known = isinstance(error, BadInput) or type(error).__module__ == "builtins"
    if known and all(isinstance(said, str | int | float | None) for said in error.args):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
