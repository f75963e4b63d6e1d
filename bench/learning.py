"""Methods made ready for scoring: weights stored, trained or fitted, for several jobs at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench import registry
from bench.config import Training
from bench.contracts import BadInput, Fitted
from bench.data.clips import Dataset, Split
from bench.results import Cell
from bench.run import FAILURES, Job, Tell
from bench.seeds import seed_for
from bench.tasks import samples_of, setting_of
from bench.training import Diverged, Run, Trained, train_together
from bench.unfinished import Unfinished
from bench.weights import Weights

Here = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Ready:
    """A method with its weights, what the results say about them, and where they were learned."""

    method: Any
    geometry: Any
    about: dict[str, Any]
    learned: Mapping[str, Any] | None = None


def methods_ready(
    bundle: Sequence[Job],
    dataset: Dataset,
    tell: Tell,
    here: Here,
    warn: Callable[[str], None],
) -> list[Ready | BaseException]:
    """The method of each job of a bundle, or what it raised.

    here: where things are computed, and the seconds since it was last asked; warn: receives a
    line about what went wrong without changing a number.
    """
    found: list[Ready | BaseException | None] = []
    pupils: list[_Pupil] = []
    for job in bundle:
        try:
            pupil = _Pupil(job, dataset)
            known = pupil.known(warn)
        except FAILURES as error:
            found.append(error)
            continue
        found.append(known)
        if known is None:
            pupils.append(pupil)
    taught = iter(_taught(pupils, dataset, tell, here, warn))
    return [next(taught) if known is None else known for known in found]


def _taught(
    pupils: list[_Pupil],
    dataset: Dataset,
    tell: Tell,
    here: Here,
    warn: Callable[[str], None],
) -> list[Ready | BaseException]:
    """Those that have to learn, when they have; together first, and alone where that fails."""
    if not pupils:
        return []
    try:
        outcomes = _outcomes(pupils, dataset, tell)
    except FAILURES as error:
        if len(pupils) == 1:
            return [error]
        warn(f"{len(pupils)} trainings at once failed, one after another now: {_line(error)}")
    else:
        where = here()
        if pupils[0].job.compiled:
            where["compiled"] = True
        if len(pupils) > 1:
            # They share the time.
            where["trained at once"] = len(pupils)
        return [
            pupil.done(outcome, where, warn)
            for pupil, outcome in zip(pupils, outcomes, strict=True)
        ]
    # What failed together is let go first: it may have been too much for the memory.
    jobs = [pupil.job for pupil in pupils]
    pupils.clear()
    return [
        ready
        for job in jobs
        for ready in _taught([_Pupil(job, dataset)], dataset, tell, here, warn)
    ]


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _outcomes(
    pupils: Sequence[_Pupil], dataset: Dataset, tell: Tell
) -> list[dict[str, Any] | Diverged]:
    """Fit or train methods of one dataset, geometry and length in place; what is said of each."""
    first = pupils[0]
    if first.cell.training is None:
        return [pupil.fitted(dataset, tell) for pupil in pupils]
    cell = first.cell
    source = first.samples(dataset, "train")
    judged = None
    if cell.selection != "last":
        split: Split = "test" if cell.selection == "test" else "validation"
        judged = first.samples(dataset, split)
    done = train_together(
        [pupil.run(judged, tell) for pupil in pupils],
        source,
        evaluations=cell.limits["validations"],
        compiled=first.job.compiled,
    )
    return [
        {"curve": outcome.curve, "chosen": {"windows": float(outcome.selected)}}
        if isinstance(outcome, Trained)
        else outcome
        for outcome in done
    ]


class _Pupil:
    """A method of a job, with the start values of its seed."""

    def __init__(self, job: Job, dataset: Dataset) -> None:
        self.job = job
        self.cell: Cell = job.cells[0]
        cell = self.cell
        self.geometry = setting_of(cell).geometry(dataset, cell.geometry)
        torch.manual_seed(seed_for(cell.dataset, cell.method, cell.seed, "start"))
        self.method: Any = registry.build(cell.method, cell.options, self.geometry)
        if isinstance(self.method, torch.nn.Module):
            self.method.to(job.device)
        self.weights = Weights(job.out)
        self.unfinished = Unfinished(job.out, cell.training_key, job.device, compiled=job.compiled)

    def known(self, warn: Callable[[str], None]) -> Ready | None:
        """Ready where nothing is to be learned, or was learned before; None where it has to be.

        BadInput for weights that are missing, or that do not fit.
        """
        cell = self.cell
        if not (cell.training is not None or cell.weights or isinstance(self.method, Fitted)):
            return Ready(self.method, self.geometry, {})
        again = self.job.redo != "missing" and not cell.weights
        stored = None if again else self.weights.load(cell, warn)
        if stored is None:
            if cell.weights:
                raise BadInput(
                    "the published weights are not in the output folder",
                    expected=cell.weights,
                    hint="run with --checkpoints",
                )
            if self.job.redo == "all":
                self.unfinished.drop()
            return None
        state, about = stored
        try:
            self.method.load_state_dict(state)
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                "stored weights do not fit their method",
                file=self.weights.path(cell),
                found=str(error).partition("\n")[0],
                hint="delete the file, or run with --redo failed",
            ) from error
        if isinstance(self.method, torch.nn.Module):
            self.method.eval()
        return self._ready({**about, "curve": tuple(about.get("curve", ()))})

    def samples(self, dataset: Dataset, split: Split, most: int | None = None) -> Any:
        """What the method learns from, or is selected on."""
        return samples_of(self.cell, dataset, split, self.geometry, self.job.device, most=most)

    def fitted(self, dataset: Dataset, tell: Tell) -> dict[str, Any]:
        """Fit the method in place; what is to be said about it."""
        tell(self.cell.key, 0.0, "fitting")
        chosen = self.method.fit(
            self.samples(dataset, "train", most=self.cell.limits["fit_windows"]),
            self.samples(dataset, "validation"),
        )
        return {"chosen": dict(chosen)}

    def run(self, judged: Any, tell: Tell) -> Run:
        """How it is trained; judged: the samples that select, None when the last weights do."""
        cell, method = self.cell, self.method
        error = setting_of(cell).error
        return Run(
            method,
            Training(**(cell.training or {})),
            seed_for(cell.dataset, cell.method, cell.seed, "training"),
            None
            if judged is None
            else lambda: error(method, judged, cell.limits["validation_windows"]),
            lambda seen, total, loss: tell(
                cell.key, 0.9 * seen / total, f"training, loss {loss:.4g}"
            ),
            self.unfinished,
        )

    def done(
        self,
        outcome: dict[str, Any] | Diverged,
        where: dict[str, Any],
        warn: Callable[[str], None],
    ) -> Ready | Diverged:
        """Keep what was learned, and nothing of what went wrong.

        outcome: see `_outcomes`; where: it was computed.
        """
        if isinstance(outcome, Diverged):
            self.unfinished.drop()
            return outcome
        about = {**outcome, "learned": where}
        try:
            self.weights.save(self.cell, self.method.state_dict(), about)
        except BadInput as error:
            # What was learned can still be scored, and is lost otherwise.
            warn(f"{error}; the results stand without them")
        else:
            self.unfinished.drop()
        return self._ready(about)

    def _ready(self, about: dict[str, Any]) -> Ready:
        about = dict(about)
        learned = about.pop("learned", None)
        return Ready(
            self.method, self.geometry, {**about, "parameters": _size(self.method)}, learned
        )


def _size(method: Any) -> int:
    """How many numbers were learned."""
    learned = method.parameters() if hasattr(method, "parameters") else method.state_dict().values()
    return sum(tensor.numel() for tensor in learned)
