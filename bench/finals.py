"""Finals of a study: its best configurations trained again, each by one of the workers.

A worker claims a final before it trains it, so that several commands share them; what a killed
worker had claimed is free again, unless it was the second one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna

from bench import studies
from bench.liveness import is_gone, this_process
from bench.results import Cell
from bench.run import FAILURES, in_one_line
from bench.studies import DIED_TWICE, Order
from bench.trying import Measured

_FINAL, _CLAIM = "final", "claim"

# Seconds after which a claim is looked at again: whoever claimed at the same instant has written.
_SETTLED = 0.05


@dataclass(frozen=True)
class Final:
    """A configuration that is trained again: its label, its cell, and a seed's number."""

    label: str
    cell: Cell
    seed: int

    @property
    def key(self) -> str:
        """Where the study keeps what it came to."""
        return f"{_FINAL}:{self.label}:{self.seed}"

    @property
    def claim(self) -> str:
        """Where the study keeps who trains it, since when, and how many died of it."""
        return f"{_CLAIM}:{self.label}:{self.seed}"


def missing(study: optuna.Study, tasks: Sequence[Final]) -> list[Final]:
    """The finals that are not stored yet."""
    stored = study.user_attrs
    return [task for task in tasks if task.key not in stored]


def is_free(study: optuna.Study, task: Final) -> bool:
    """Whether a final is to be trained, and nobody else is at it."""
    said = study.user_attrs
    if task.key in said:
        return False
    claim = said.get(task.claim)
    return (
        claim is None
        or claim["worker"] in (None, this_process())
        or studies.is_silent(study, claim["worker"], claim["since"])
    )


def compute(
    order: Order, tasks: Sequence[Final], told: Callable[[Final], None] = lambda _task: None
) -> None:
    """Train what is free, each final under a seed of its own; what is stored is not redone."""
    study = studies.load(order)
    ground = None
    for task in tasks:
        if not _claimed(study, task):
            continue
        ground = ground or studies.ground(order)
        try:
            measured = ground.measure(task.cell, f"{order.plan.seed} final {task.seed}")
            said: dict[str, Any] = asdict(measured)
        except FAILURES as error:
            said = {"error": in_one_line(error)}
        except KeyboardInterrupt:
            _give(study, task.claim, died=False)
            raise
        study.set_user_attr(task.key, said)
        told(task)


def settle(study: optuna.Study, *, stopped: bool = False) -> None:
    """Free finals whose process is gone; one that two processes died of has failed.

    stopped: they were ended from outside, which is no final's fault.
    """
    said = study.user_attrs
    for claim, about in said.items():
        kind, _, name = claim.partition(":")
        if kind != _CLAIM or not about["worker"] or f"{_FINAL}:{name}" in said:
            continue
        if is_gone(about["worker"]) and _give(study, claim, died=not stopped) > 1:
            study.set_user_attr(f"{_FINAL}:{name}", {"error": DIED_TWICE})


def outcome(study: optuna.Study, task: Final) -> Measured | None:
    """What a final training came to; None where it failed or was not run."""
    said: Mapping[str, Any] = study.user_attrs.get(task.key, {})
    return None if not said or "error" in said else Measured(**said)


def _claimed(study: optuna.Study, task: Final) -> bool:
    """Claim a final if it is free; False where it is not, or another one claims it just now."""
    if not is_free(study, task):
        return False
    deaths = study.user_attrs.get(task.claim, {}).get("deaths", 0)
    claim = {"worker": this_process(), "since": time.time(), "deaths": deaths}
    study.set_user_attr(task.claim, claim)
    time.sleep(_SETTLED)
    return bool(study.user_attrs[task.claim] == claim)


def _give(study: optuna.Study, claim: str, *, died: bool) -> int:
    """Give a claim back; how many have died of it."""
    about = study.user_attrs[claim]
    deaths: int = about["deaths"] + died
    study.set_user_attr(claim, {**about, "worker": None, "deaths": deaths})
    return deaths
