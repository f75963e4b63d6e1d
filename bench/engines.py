"""Cells spread over this machine: one single-threaded process per core, or the GPU.

One thread per cell makes a cell's numbers independent of how many run beside it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.queues import Queue
from threading import Thread
from typing import Any

from bench.results import Result
from bench.run import Job, Tell, compute

_Message = tuple[str, float, str]

# Seconds that the last words of workers are waited for.
_LAST_WORDS = 2.0

_queue: Queue[_Message | None] | None = None


def run_jobs(jobs: Sequence[Job], *, workers: int, tell: Tell) -> Generator[Result, None, None]:
    """Compute cells and yield results as they are done; a dead worker fails only its own job.

    workers: processes on the CPU; cells on a GPU run one after another in this process. Closing
    the generator kills the workers; only the cells in flight are lost.
    """
    here = [job for job in jobs if job.device != "cpu"]
    for job in here:
        yield from compute(job, tell)
    rest = [job for job in jobs if job.device == "cpu"]
    lost: list[Job] = []
    if rest:
        yield from _spread(rest, min(workers, len(rest)), tell, lost)
    # A dead worker takes the whole pool with it: find out whose fault it was, one by one.
    for job in lost:
        again: list[Job] = []
        yield from _spread([job], 1, tell, again)
        if again:
            died = "the process died; it may have run out of memory"
            yield from (Result(cell=cell, status="failed", error=died) for cell in job.cells)


def _spread(jobs: Sequence[Job], workers: int, tell: Tell, lost: list[Job]) -> Iterator[Result]:
    """Results of jobs in a pool of processes; jobs whose process died are added to `lost`."""
    context = get_context("spawn")
    queue: Queue[_Message | None] = context.Queue()
    listener = Thread(target=_listen, args=(queue, tell), daemon=True)
    listener.start()
    # Read by the numeric libraries when a worker loads them; without effect in this process.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(queue,))
    try:
        futures: dict[Future[tuple[Result, ...]], Job] = {
            pool.submit(_work, job): job for job in jobs
        }
        for future in as_completed(futures):
            try:
                yield from future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
    except BaseException:
        # Ctrl-C: what is in flight is lost, what is done is stored already.
        for process in list(getattr(pool, "_processes", {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # A process that died while it told something keeps the queue locked for ever.
        queue.cancel_join_thread()
        queue.put(None)
        listener.join(_LAST_WORDS)


def _listen(queue: Queue[_Message | None], tell: Tell) -> None:
    while (message := queue.get()) is not None:
        tell(*message)


def _start(queue: Any) -> None:
    global _queue
    _queue = queue
    # Ctrl-C reaches every process of a terminal; the parent alone decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone: a killed parent can tell nobody."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(job: Job) -> tuple[Result, ...]:
    queue = _queue
    if queue is None:
        raise RuntimeError("a worker was used before it was started")
    return compute(job, lambda key, share, text: queue.put((key, share, text)))
