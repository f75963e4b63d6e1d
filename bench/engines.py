"""Cells, or any independent calls, spread over the processes of this machine or over a cluster.

Both engines go through one joblib call; they differ in the seats that do the work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from bench import agreement
from bench.results import Result
from bench.run import Job, Tell, bundles, compute_bundle
from bench.seats import LEFT, LOST, Left, Lost, Seats, Task, Work

if TYPE_CHECKING:
    from bench.cluster import Cluster

_Item = TypeVar("_Item")


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int | Cluster,
    tell: Tell,
    claim: Callable[[Job], Job | None] = lambda job: job,
) -> Generator[Result, None, None]:
    """Compute cells and yield results as they are done; a dead worker costs only its own job.

    workers: how many processes on the CPU, beside one for each GPU when a job needs one; or the
    cluster whose workers do it. claim: is asked just before a job is begun, from any thread, and
    again where a worker died of it: what is to be computed of it, None for nothing. A job that
    two workers died of is recorded as failed; jobs that were computed in one go are first done
    again one by one. Closing the generator kills the workers; only the cells in flight are lost.
    BadInput when no worker of the cluster can take part, or its scheduler is gone.
    """
    if not jobs:
        return
    with ExitStack() as block:
        if not isinstance(workers, int):
            # Paths mean the same wherever the worker was started.
            jobs = [_absolute(job) for job in jobs]
            agreed = block.enter_context(agreement.of_jobs(jobs))
            workers = replace(workers, agreed=agreed)
        todo = bundles(jobs)
        while todo:
            found = spread(
                compute_bundle,
                todo,
                workers=workers,
                tell=tell,
                gpu=_needs_gpu,
                claim=lambda bundle: tuple(filter(None, map(claim, bundle))) or LEFT,
            )
            todo = []
            with closing(found):
                for bundle, results in found:
                    if not isinstance(results, Lost):
                        yield from results
                    elif len(bundle) > 1:
                        # Any of them may have been the cause: each is computed alone in the end.
                        todo += [(job,) for job in bundle]
                    else:
                        yield from _lost(bundle[0])


def _lost(job: Job) -> Iterator[Result]:
    died = "the process died; it may have run out of memory"
    return (Result(cell=cell, status="failed", error=died) for cell in job.cells)


def _needs_gpu(bundle: tuple[Job, ...]) -> bool:
    return bundle[0].device != "cpu"


def _absolute(job: Job) -> Job:
    return replace(
        job,
        folder=job.folder.absolute(),
        out=job.out.absolute(),
        plugins=tuple(file.absolute() for file in job.plugins),
    )


def spread(
    work: Work,
    items: Sequence[_Item],
    *,
    workers: int | Cluster,
    tell: Tell = lambda *_: None,
    gpu: Callable[[_Item], bool] = lambda _: False,
    claim: Callable[[_Item], _Item | Left] = lambda item: item,
) -> Generator[tuple[_Item, Any | Lost], None, None]:
    """Call `work(item, tell)` in other processes; (item, outcome) as they are done.

    work: a function that a process can import; gpu: whether an item needs one; claim: is asked
    just before an item is begun, from any thread: what is to be done of it, or LEFT, and then
    nothing comes of it. An outcome is LOST where two processes died of the item; what `work`
    raises ends everything and is raised here. Closing the generator kills the processes.
    """
    from joblib import Parallel, delayed

    if not items:
        return
    tasks = [Task(item, gpu(item)) for item in items]
    parallel = Parallel(
        backend=_seats(workers, tasks, tell, claim),
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="all",
    )
    found = parallel(delayed(work)(task) for task in tasks)
    try:
        for claimed, outcome in found:
            if claimed is not LEFT:
                yield claimed, outcome
    finally:
        with warnings.catch_warnings():
            # It counts what is lost when a run is stopped; the next run says so better.
            warnings.simplefilter("ignore")
            found.close()


def _seats(
    workers: int | Cluster, tasks: Sequence[Task], tell: Tell, claim: Callable[[Any], Any]
) -> Seats:
    if not isinstance(workers, int):
        return workers.seats(tell, claim)
    from bench import processes

    needs = [task.gpu for task in tasks]
    devices = processes.gpus() if any(needs) else ()
    return Seats(processes.seats(workers, needs, devices), tell, claim)


__all__ = ["LOST", "Lost", "run_jobs", "spread"]
