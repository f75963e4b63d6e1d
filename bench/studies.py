"""Studies: trials of one method on one dataset in an Optuna storage, by any number of workers.

A trial counts from the moment it begins, unless its process was killed: then another one takes its
place, once. What a trial tries depends on the study's seed, on how many counted before it and on
what those came to, so that one worker makes the same study again, interrupted or not.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, BruteForceSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from bench import registry, spaces
from bench.liveness import is_elsewhere, is_gone, this_process
from bench.metrics import metric_info
from bench.results import Cell
from bench.run import FAILURES, in_one_line
from bench.seeds import seed_for
from bench.storages import WORKER, open_storage, stale
from bench.trying import Ground

# Trials before the sampler learns from what it has seen, and before the pruner ends any.
START_TRIALS, START_PRUNING = 8, 4

EXHAUSTIVE = "every configuration once"
"""What the sampler is called that tries all there is."""

# Seconds in which a trial has said who computes it.
_INTRODUCED = 60

# How often the longest trial a process of another machine may take before it is taken for dead.
_SLOWER = 3

DIED_TWICE = "its process died twice; it may have run out of memory"
"""Why a configuration has failed that two processes died of."""

Direction = Literal["minimize", "maximize"]

_OVER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Plan:
    """What makes trials comparable: studies that differ in any of it are different ones.

    base: the cell that trials change; objectives: metrics, the leading one first; seed: of the
    sampler and of the trials' own training.
    """

    base: Cell
    objectives: tuple[str, ...]
    seed: int = 0

    @cached_property
    def space(self) -> spaces.Space:
        """What is tuned."""
        return spaces.space_of(self.base.method)

    @property
    def name(self) -> str:
        """The study's name in its storage, and of its record."""
        said = [self.base.key, self.objectives, self.seed, self.space.plain]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        objectives = re.sub(r"[^A-Za-z0-9_-]", "", "-".join(self.objectives))
        return f"{self.base.method}_{self.base.dataset}_{objectives}_{digest[:12]}"

    @property
    def directions(self) -> dict[str, Direction]:
        """Which way each objective is better, in Optuna's words."""
        better = {metric: metric_info(metric).better for metric in self.objectives}
        return {m: "minimize" if way == "lower" else "maximize" for m, way in better.items()}

    @property
    def sign(self) -> int:
        """1 where a lower leading objective is better, -1 where a higher one is."""
        return 1 if metric_info(self.objectives[0]).better == "lower" else -1

    @property
    def windows(self) -> int:
        """How many windows a trial is trained on, at most."""
        training = self.base.training
        return int(training["windows"] if training else self.base.limits["fit_windows"])

    @property
    def prunes(self) -> bool:
        """Whether trials are ended early: only those that train, for one objective."""
        return self.base.training is not None and len(self.objectives) == 1


@dataclass(frozen=True)
class Order:
    """What a worker needs to work on a study.

    trials: how many count in all; deadline: `time.time()` after which none begins.
    """

    plan: Plan
    storage: str
    folder: Path
    device: str
    trials: int
    deadline: float = math.inf
    plugins: tuple[Path, ...] = ()


def load(order: Order) -> optuna.Study:
    """The study of an order, made when it is not there."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Sampling of conditional spaces, and names of objectives, have been so for years.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    plan = order.plan
    return optuna.create_study(
        storage=open_storage(order.storage),
        study_name=plan.name,
        directions=list(plan.directions.values()),
        sampler=_Numbered(plan, order.trials),
        pruner=pruner(plan),
        load_if_exists=True,
    )


def prepare(study: optuna.Study, plan: Plan) -> None:
    """Say what the study is about; for one process, before the others."""
    if "fingerprint" not in study.user_attrs:  # the last to be written
        study.set_metric_names(list(plan.objectives))
        for name, value in (
            ("method", plan.base.method),
            ("dataset", plan.base.dataset),
            ("fingerprint", plan.base.fingerprint),
        ):
            study.set_user_attr(name, value)


def pruner(plan: Plan) -> BasePruner:
    """What ends a trial early: it is worse than the median of complete ones at the same look."""
    if not plan.prunes:
        return NopPruner()
    return MedianPruner(n_startup_trials=START_PRUNING, n_warmup_steps=0)


def said_of(plan: Plan, trials: int) -> dict[str, str]:
    """Sampler and pruner in words."""
    few = plan.space.points
    sampler = (
        EXHAUSTIVE
        if few is not None and few <= trials
        else f"TPE, multivariate, after {START_TRIALS} random trials; the preset first"
    )
    pruned = (
        f"ended at a look at validation where the error is above the median of complete trials, "
        f"once there are {START_PRUNING}"
        if plan.prunes
        else "none: " + ("several objectives" if plan.base.training else "nothing is trained")
    )
    return {"sampler": sampler, "pruner": pruned}


class _Numbered(BaseSampler):
    """A sampler made anew for each trial, its seed from the trial's place among those that count.

    One that goes on drawing from where it was would try something else after a restart. The first
    that counts is the preset; put into a queue, it would be gone with the process that took it.
    """

    def __init__(self, plan: Plan, trials: int) -> None:
        self._plan = plan
        points = plan.space.points
        self._exhausts = points is not None and points <= trials
        self._preset = spaces.start(plan.space, spaces.flat(plan.base)) or {}
        self._given: Mapping[str, Any] = {}
        self._now: BaseSampler = self._made(0)

    def _made(self, place: int) -> BaseSampler:
        seed = seed_for(self._plan.name, self._plan.seed, "sampler", place) % 2**32
        if self._exhausts:
            return _Exhaustive(seed=seed)
        return TPESampler(n_startup_trials=START_TRIALS, multivariate=True, group=True, seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        place = _place(study, trial.number)
        self._given = {} if place else self._preset
        self._now = self._made(place)
        self._now.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {} if self._given else self._now.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {} if self._given else self._now.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        if name in self._given:
            return self._given[name]
        return self._now.sample_independent(study, trial, name, distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._now.after_trial(study, trial, state, values)


class _Exhaustive(BruteForceSampler):
    """Tries again what only trials tried that do not count."""

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(_seen(study), trial, name, distribution)

    def after_trial(self, *_told: Any) -> None:
        """Nothing: Optuna would end the study here, and how many trials there are is known."""


def _seen(study: optuna.Study) -> Any:
    """A study as far as Optuna's exhaustive sampler looks at one, of the trials that count."""
    storage = SimpleNamespace(get_all_trials=lambda *_, **__: counted(study))
    return SimpleNamespace(_storage=storage, _study_id=None)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count, by number: those at work, and those that ended by themselves."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and "error" in trial.user_attrs)
    ]


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count and are over."""
    return [trial for trial in counted(study) if trial.state in _OVER]


def lost(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were left by killed workers, and do not count."""
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [trial for trial in failed if not trial.user_attrs.keys() & {"error", "surplus"}]


def progress(study: optuna.Study) -> int:
    """A number that grows with whatever is done: trials, those lost included, and finals."""
    begun = [trial for trial in lost(study) if trial.params]
    return len(finished(study)) + len(begun) + len(study.user_attrs)


def settle(study: optuna.Study, *, stopped: bool = False) -> int:
    """Fail trials whose process is gone, so that others take their place; how many there were.

    One whose configuration another process died of counts as failed: the next would die of it too.
    stopped: the processes were ended from outside, which is no trial's fault.
    """
    silent = stale(study)
    died = [trial.params for trial in lost(study) if "stopped" not in trial.user_attrs]
    gone = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        if worker is None:  # one that a user put into the queue
            dead = datetime.now() - _began(trial) > timedelta(seconds=_INTRODUCED)
        else:
            dead = is_gone(worker) or trial._trial_id in silent
        if not dead:
            continue
        with suppress(UpdateFinishedTrialError):  # another command settles it just now
            if stopped:
                _note(study, trial, "stopped", True)
            elif trial.params and trial.params in died:
                _note(study, trial, "error", DIED_TWICE)
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        died.append(trial.params)
        gone += 1
    return gone


def _note(study: optuna.Study, trial: FrozenTrial, name: str, value: object) -> None:
    """Set an attribute of a trial that another process began."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def awaited(study: optuna.Study) -> int:
    """How many trials are at work in other processes, as far as these are known to live."""
    return sum(
        (worker := trial.user_attrs.get(WORKER)) != this_process()
        and not (worker and is_silent(study, worker, _began(trial).timestamp()))
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    )


def patience(study: optuna.Study) -> float:
    """Seconds for which a process of another machine, which cannot be seen, is waited for."""
    seconds = (trial.user_attrs.get("seconds", 0.0) for trial in finished(study))
    return max(_INTRODUCED, _SLOWER * max(seconds, default=0.0))


def is_silent(study: optuna.Study, worker: str, since: float) -> bool:
    """Whether a process of another machine takes so long that it is taken for dead."""
    return is_elsewhere(worker) and time.time() - since > patience(study)


def _began(trial: FrozenTrial) -> datetime:
    return trial.datetime_start or datetime.fromtimestamp(0)


def lacks(study: optuna.Study, order: Order) -> bool:
    """Whether another trial is to begin."""
    points = order.plan.space.points
    wanted = order.trials if points is None else min(order.trials, points)
    return len(counted(study)) < wanted and time.time() < order.deadline


def work(order: Order, told: Callable[[FrozenTrial], None] = lambda _trial: None) -> None:
    """Compute trials until as many count as were asked for, or the time is over.

    told: called with each trial when it is over.
    """
    study = load(order)
    if not lacks(study, order):
        return
    standing = ground(order)
    while lacks(study, order):
        try:
            study.optimize(
                lambda trial: _objective(trial, order, standing),
                n_trials=1,
                catch=FAILURES,
                callbacks=[lambda _study, trial: told(trial)],
            )
        except AssertionError as error:
            # Optuna's, where it could not write how a trial ended; a method's are in `catch`.
            raise error.__context__ or error from None


def ground(order: Order) -> Ground:
    """What the trials and finals of an order stand on; for a process that computes."""
    from bench.processes import settle

    settle()
    for plugin in order.plugins:
        registry.load_plugin(plugin)
    return Ground(order.plan.base, order.folder, order.device)


@dataclass
class _Seen:
    """How far a trial has come."""

    windows: int = 0
    began: float = field(default_factory=time.perf_counter)


def _objective(trial: Trial, order: Order, ground: Ground) -> tuple[float, ...]:
    plan, seen, failure = order.plan, _Seen(), ""
    if trial.user_attrs.get(WORKER) != this_process():  # it comes from the queue
        trial.set_user_attr(WORKER, this_process())
    # Several workers may each have begun the last one.
    if _place(trial.study, trial.number) >= order.trials:
        trial.set_user_attr("surplus", True)
        raise RuntimeError("as many trials as were asked for have begun")

    def look(windows: int, error: float) -> None:
        seen.windows = windows
        if plan.prunes:
            trial.report(error, windows)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        values = spaces.drawn(plan.space, spaces.flat(plan.base), trial)
        cell = spaces.applied(plan.base, values)
        measured = ground.measure(cell, plan.seed, look)
        seen.windows = measured.windows
        reached = tuple(measured.metrics.get(metric, math.nan) for metric in plan.objectives)
        if not all(map(math.isfinite, reached)):
            raise ArithmeticError(f"{' and '.join(plan.objectives)} came to {reached}")
        trial.set_user_attr("metrics", dict(measured.metrics))
    except FAILURES as error:
        failure = in_one_line(error)
        raise
    except KeyboardInterrupt:
        trial.set_user_attr("stopped", True)
        raise
    finally:
        trial.set_user_attr("windows", seen.windows)
        trial.set_user_attr("seconds", round(time.perf_counter() - seen.began, 2))
        if failure:  # last: from here on the trial counts, even when it is killed
            trial.set_user_attr("error", failure)
    return reached


def _place(study: optuna.Study, number: int) -> int:
    """How many trials count that began before the one of this number."""
    return sum(trial.number < number for trial in counted(study))
