"""What `bench tune` does: studies planned, worked on, finished by finals, recorded, made presets.

The storage is the source: the record, the preset and MLflow's copy are made of it again by the
same command.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from bench import finals, outcomes, processes, registry, spaces, studies, tuned
from bench.commands import device_named
from bench.config import Column, Row, TableConfig, dataset_config
from bench.contracts import BadInput
from bench.data import catalogue, store
from bench.data.clips import Dataset
from bench.files import sweep
from bench.finals import Final
from bench.metrics import COSTS, LEADING, metric_info
from bench.plan import budget_named, check_task, plan
from bench.protocols import metrics_of
from bench.results import Cell, check_writable
from bench.stopping import follow_parent
from bench.storages import answering, masked, open_storage, unanswered, usual
from bench.studies import Order
from bench.tracking import Tracker
from bench.trying import sealed

Say = Callable[[str], None]

_PROTOCOLS = {"recovery": "deciwatch", "prediction": "h36m-average"}

# Seconds between two looks at what workers have done.
_LOOK = 2.0


@dataclass(frozen=True)
class Asked:
    """What a user asked for; the defaults are the command line's.

    methods: none for all that can be tuned; windows: of each trial, None for the budget's;
    clips: of validation that are scored, evenly spread, None for the budget's, which is all but in
    `smoke`;
    timeout: seconds after which no trial of a study begins.
    """

    methods: tuple[str, ...]
    datasets: tuple[str, ...] = ("h36m-fcn",)
    trials: int = 50
    windows: int | None = None
    clips: int | None = None
    budget: str = "quick"
    preset: str | None = None
    objectives: tuple[str, ...] | None = None
    protocol: str | None = None
    interval: int = 10
    finalists: int = 3
    seeds: int = 3
    seed: int = 0
    storage: str | None = None
    workers: int = 1
    timeout: float | None = None
    device: str = "auto"
    data: tuple[Path, ...] = ()
    plugins: tuple[Path, ...] = ()
    out: Path = Path("out")
    track: bool = True


@dataclass(frozen=True)
class Tuning:
    """What a study left: its record, the files written, and what the user must see.

    preset: None where nothing could be measured.
    """

    record: dict[str, Any]
    preset: tuned.Tuned | None
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What came of it; of several objectives the Pareto front."""
        lines = outcomes.summary(self.record)
        if len(self.record["objectives"]) > 1:
            from bench.report import pareto

            lines += [
                f"  {line}" for line in (pareto.caption(self.record), *pareto.lines(self.record))
            ]
        return lines


def tune(asked: Asked, say: Say) -> list[Tuning]:
    """Tune methods on datasets, one study after the other; what is done already is not redone.

    Everything the user may have got wrong is found before anything is computed. say: receives
    lines about what goes on.
    """
    for plugin in asked.plugins:
        registry.load_plugin(plugin)
    check_writable(asked.out)
    for part in ("tuning", "presets"):
        sweep(asked.out / part)
    device = device_named(asked.device)
    budget_named(asked.budget)
    for metric in asked.objectives or ():
        metric_info(metric)
    roots = catalogue.data_roots(asked.data)
    methods = {name: _methods(asked, name, say) for name in asked.datasets}
    storage = asked.storage or usual(asked.out)
    open_storage(storage)
    work = []
    for name in asked.datasets:
        folder = catalogue.open_folder(name, roots, budget=asked.budget, device=device, say=say)
        dataset = sealed(store.load(folder))
        for method in methods[name]:
            base = base_cell(asked, method, dataset)
            study = studies.Plan(base, _objectives(asked, base, dataset), asked.seed)
            work.append((dataset, folder, study))
    with answering(storage):
        return [_tuned(asked, *each, storage, device, say) for each in work]


def listed(methods: Sequence[str], plugins: Sequence[Path] = ()) -> list[str]:
    """The search spaces of methods, or of all of them; why there is none where there is none."""
    for plugin in plugins:
        registry.load_plugin(plugin)
    lines = []
    for method in methods or registry.method_names():
        reason = spaces.nothing_to_tune(method)
        lines.append(f"{method}: nothing to tune, {reason}" if reason else f"{method}:")
        if not reason:
            lines += [f"  {line}" for line in spaces.described(spaces.space_of(method))]
    return lines


def _methods(asked: Asked, dataset: str, say: Say) -> tuple[str, ...]:
    """The methods to tune on a dataset; BadInput for one that cannot be."""
    task = dataset_config(dataset).task
    if not asked.methods:
        able = [name for name in registry.method_names() if registry.task(name) == task]
        for name in able:
            if reason := spaces.nothing_to_tune(name):
                say(f"{name} is left out: {reason}")
        return tuple(name for name in able if not spaces.nothing_to_tune(name))
    for name in asked.methods:
        if registry.task(name) != task:
            raise BadInput(f"{dataset} is for {task}", found=f"{name}, which is not")
        spaces.space_of(name)
    return tuple(dict.fromkeys(asked.methods))


def base_cell(asked: Asked, method: str, dataset: Dataset) -> Cell:
    """The cell that trials change: the preset's, of as many windows as every method gets."""
    used = asked.protocol or _PROTOCOLS[dataset_config(dataset.name).task]
    config = TableConfig(
        title="tuning",
        source="",
        metrics=LEADING[dataset.space],
        interval=asked.interval,
        protocol=used,
        reference=method,
        columns=(Column(method=method, preset=asked.preset),),
        rows=(Row(dataset=dataset.name),),
    )
    check_task(config)
    (place,) = plan(config, {dataset.name: dataset}, budget=asked.budget, seeds=1)
    cell = place.cell
    if asked.clips is not None:
        cell = replace(cell, limits={**cell.limits, "test_clips": asked.clips})
    windows = asked.windows or _windows(asked.budget, dataset.standin)
    if windows is None:
        raise BadInput(
            f"the budget {asked.budget} does not say how many windows a trial has",
            hint="give every trial the same with --windows",
        )
    if cell.training is None:
        return replace(cell, limits={**cell.limits, "fit_windows": windows})
    return replace(cell, training={**cell.training, "windows": windows, "epochs": None})


def _windows(budget: str, standin: bool) -> int | None:
    limits = budget_named(budget)
    settings = {**limits.training, **(limits.standin if standin else {})}
    windows: int | None = settings.get("windows")
    return windows


def _objectives(asked: Asked, base: Cell, dataset: Dataset) -> tuple[str, ...]:
    """What is asked for, or the protocol's leading metric; BadInput for what it does not give."""
    known = metrics_of(base.protocol, dataset.space)
    if asked.objectives is None:
        leading = LEADING[dataset.space][0]
        return (leading if leading in known else "mpjpe@400",)
    for metric in asked.objectives:
        if metric not in known and metric not in COSTS:
            raise BadInput(
                f"{dataset.name} has no {metric} under {base.protocol}",
                hint=f"choose of {', '.join((*known, 'macs', 'live', 'parameters'))}",
            )
    if asked.objectives[0] in COSTS:
        raise BadInput("the leading objective is no error", found=asked.objectives[0])
    return tuple(dict.fromkeys(asked.objectives))


def _tuned(
    asked: Asked,
    dataset: Dataset,
    folder: Path,
    plan: studies.Plan,
    storage: str,
    device: str,
    say: Say,
) -> Tuning:
    deadline = math.inf if asked.timeout is None else time.time() + asked.timeout
    order = Order(plan, storage, folder, device, asked.trials, deadline, asked.plugins)
    study = studies.load(order)
    studies.prepare(study, plan)
    earlier = len(studies.finished(study))
    say(f"{plan.name}: {asked.trials} trials, {earlier} from earlier ({masked(storage)})")
    copied = Tracker(asked.out, outcomes.experiment(dataset.name)) if asked.track else None
    with copied or nullcontext() as tracker:
        about = outcomes.as_study(plan, dataset, asked.budget, asked.trials)

        def told(trial: FrozenTrial) -> None:
            say(outcomes.line(trial, study, plan, asked.trials))
            if tracker is not None:
                tracker.trial(about, outcomes.as_trial(trial, plan, device))

        if tracker is not None:
            for trial in studies.finished(study):
                tracker.trial(about, outcomes.as_trial(trial, plan, device))
        _work(order, study, asked.workers, told, say)
        tasks = outcomes.finals(study, plan, asked.finalists, asked.seeds)
        _finals(order, study, tasks, asked.workers, say)
    record = outcomes.record(study, plan, tasks, dataset, asked.trials, device)
    files = [outcomes.save(record, asked.out)]
    preset = outcomes.preset(record, plan, asked.budget)
    if len(plan.objectives) > 1:
        from bench.report import pareto

        files += pareto.draw(record, asked.out / "tuning")
    if preset is not None:
        files.append(tuned.save(asked.out, plan.base.method, dataset.name, preset))
    return Tuning(record, preset, tuple(files), tuple(tracker.warnings if tracker else ()))


def _work(
    order: Order,
    study: optuna.Study,
    workers: int,
    told: Callable[[FrozenTrial], None],
    say: Say,
) -> None:
    """Compute the trials that are missing, in this process or in several; all are over then."""
    known = {trial.number for trial in studies.finished(study)}

    def look(_done: FrozenTrial | None = None) -> None:
        for trial in studies.finished(study):
            if trial.number not in known:
                known.add(trial.number)
                told(trial)

    def lacks() -> bool:
        look()
        return studies.lacks(study, order)

    def compute() -> None:
        if workers == 1:
            studies.work(order, look)
        else:
            seats = _seats(order, workers)
            _apart(
                lacks,
                lambda _number: (studies.work, (order,)),
                seats,
                look,
                studies.settle,
                study,
            )

    _shared(lacks, compute, lambda: studies.awaited(study), studies.settle, "trial", study, say)


def _seats(order: Order, workers: int) -> list[str | None]:
    """The GPU that each worker sees, as many on each as on any other; None on the CPU."""
    devices = processes.gpus() if order.device != "cpu" else ()
    return [devices[number % len(devices)] if devices else None for number in range(workers)]


def _finals(
    order: Order, study: optuna.Study, tasks: Sequence[Final], workers: int, say: Say
) -> None:
    """Train the finals that are missing, in this process or in several; all are stored then."""
    unsaid = finals.missing(study, tasks)

    def look(_done: Final | None = None) -> None:
        left = finals.missing(study, unsaid)
        for task in unsaid:
            if task not in left:
                say(outcomes.final_line(task, study))
        unsaid[:] = left

    def lacks() -> bool:
        look()
        return any(finals.is_free(study, task) for task in unsaid)

    def compute() -> None:
        if workers == 1:
            finals.compute(order, tasks, look)
        else:
            seats = _seats(order, workers)
            _apart(
                lacks,
                lambda number: (finals.compute, (order, tuple(tasks[number::workers]))),
                seats,
                look,
                finals.settle,
                study,
            )

    _shared(lacks, compute, lambda: len(unsaid), finals.settle, "final", study, say)


def _shared(
    lacks: Callable[[], bool],
    compute: Callable[[], None],
    others: Callable[[], int],
    settle: Callable[..., object],
    word: str,
    study: optuna.Study,
    say: Say,
) -> None:
    """Compute what is free, and wait for what other commands are at; theirs is free if they die.

    others: how many they are at; settle: finds the dead; word: for one of what is computed.
    """
    waits = False
    while True:
        settle(study)
        if lacks():
            compute()
        elif number := others():
            if not waits:
                what = f"1 {word}" if number == 1 else f"{number} {word}s"
                most = f"at most {studies.patience(study):.0f} s for one of another machine"
                say(f"another command computes {what}: waiting for it, {most}")
            waits = True
            time.sleep(_LOOK)
        else:
            return


def _apart(
    missing: Callable[[], bool],
    share: Callable[[int], tuple[Callable[..., None], tuple[Any, ...]]],
    seats: Sequence[str | None],
    look: Callable[[], None],
    settle: Callable[..., object],
    study: optuna.Study,
) -> None:
    """A process for each seat until nothing is missing; those that were killed are replaced.

    seats: the GPU that the process sees, None on the CPU; settle: lets others do what the dead had
    begun. BadInput when workers ended without anything more done.
    """
    context = get_context("spawn")
    # Read by the numeric libraries when a worker loads them; without effect in this process.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    while missing():
        before, stopped = studies.progress(study), True
        running = [
            context.Process(target=_alone, args=(seat, *share(number)), daemon=True)
            for number, seat in enumerate(seats)
        ]
        try:
            for process in running:
                process.start()
            while any(process.is_alive() for process in running):
                running[0].join(_LOOK)
                if not running[0].is_alive():
                    time.sleep(_LOOK / 10)
                look()
            stopped = False
        finally:
            for process in running:
                process.kill()
            for process in running:
                process.join()
            settle(study, stopped=stopped)
        look()
        if studies.progress(study) == before and missing():
            raise BadInput(
                "the workers ended without doing anything",
                found=f"exit codes {sorted({process.exitcode for process in running}, key=str)}",
                hint="try one: -j 1",
            )


def _alone(visible: str | None, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """The work of a process: it ends with its parent, which alone hears Ctrl-C."""
    follow_parent()
    processes.settle(visible)
    try:
        target(*arguments)
    except Exception as error:
        if unanswered(error) is None:
            raise
        # The command finds out itself, and says so in one line.
        sys.exit(BadInput.exit_code)
