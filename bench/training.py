"""Training: the harness's optimiser, schedule, batches, seeds and selection (spec 1.7, 2.2).

How one step is taken, and that of several runs at once, is in `bench.steps`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.config import Training
from bench.contracts import Samples, Trainable
from bench.shuffling import Order
from bench.steps import CapturedStep, Step, stackable
from bench.unfinished import Keeper, Snapshot, fits, restore, snapshot

_CHECK = 50

# A training that may take long is kept at least so often, and at the end of every epoch that is
# so many times as long as keeping it takes.
_KEEP_SECONDS = 60.0
_KEEP_SHARE = 20


class Source(Samples, Protocol):
    """Samples that training draws from by number."""

    @property
    def device(self) -> torch.device:
        """Where they lie."""

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Sample numbers (B,) -> what is given and what is wanted."""


class Diverged(RuntimeError):
    """The loss is not finite any more."""


@dataclass(frozen=True)
class Trained:
    """What training left: the curve (windows seen, mean loss, selection error) and what was kept.

    selected: the number of windows seen by the weights that were kept.
    """

    curve: tuple[Mapping[str, float], ...]
    selected: int


def _unheard(_seen: int, _all: int, _loss: float) -> None:
    """Nobody asks how far a training is."""


@dataclass(frozen=True)
class Run:
    """One training: a method, how it is optimised, and who is asked and told about it.

    judge, progress: as in `train`; keeper: where it is kept while it goes on.
    """

    method: Trainable
    settings: Training
    seed: int
    judge: Callable[[], float] | None = None
    progress: Callable[[int, int, float], None] = _unheard
    keeper: Keeper | None = None


def train(
    method: Trainable,
    source: Source,
    settings: Training,
    *,
    seed: int,
    evaluations: int,
    judge: Callable[[], float] | None,
    progress: Callable[[int, int, float], None] = _unheard,
    keeper: Keeper | None = None,
    compiled: bool = False,
) -> Trained:
    """Train in place on windows drawn without replacement, epoch after epoch.

    judge: the error that selects; it is asked `evaluations` times, evenly spread, the last time at
    the end, and the weights with the lowest error are kept. Without it the last ones are.
    progress: called with (windows seen, all windows, mean loss since the judge's last turn).
    keeper: an interrupted training goes on from what it kept last, to the same weights; compiled:
    fuse the loss's operations. Raises Diverged when the loss is not finite. The same seed gives
    the same weights, bit for bit, on one CPU thread.
    """
    run = Run(method, settings, seed, judge, progress, keeper)
    [done] = train_together([run], source, evaluations=evaluations, compiled=compiled)
    if isinstance(done, Diverged):
        raise done
    return done


def train_together(
    runs: Sequence[Run], source: Source, *, evaluations: int, compiled: bool = False
) -> list[Trained | Diverged]:
    """Train several runs on the same samples at once, each as `train` would, within rounding.

    Their batch and length must be the same. Where their networks cannot be stacked
    (`bench.steps.stackable`), or were kept at different places, they are trained one after another.
    """
    for run in runs:
        _module(run).train()
    kept = [_kept(run) for run in runs]
    if len(runs) > 1:
        places = {found.about["seen"] if found else 0 for found in kept}
        precision = runs[0].settings.precision
        if len(places) > 1 or not stackable(list(map(_module, runs)), source, precision):
            return [
                done
                for run in runs
                for done in train_together(
                    [run], source, evaluations=evaluations, compiled=compiled
                )
            ]
    return _Course(runs, source, evaluations, compiled).finished(kept)


class _Course:
    """What a training, or several at once, is at."""

    def __init__(
        self, runs: Sequence[Run], source: Source, evaluations: int, compiled: bool
    ) -> None:
        self.runs, self.source = runs, source
        settings = runs[0].settings
        self.batch = settings.batch
        self.total = settings.windows or (settings.epochs or 0) * len(source)
        steps = math.ceil(self.total / self.batch)
        # After which steps to look: evenly spread, the last one always.
        self.looks = {math.ceil(steps * (i + 1) / evaluations) for i in range(evaluations)}
        kind = CapturedStep if source.device.type == "cuda" else Step
        torch.manual_seed(runs[0].seed)
        self.step = kind(
            list(map(_module, runs)),
            source,
            [run.settings for run in runs],
            [run.seed for run in runs],
            compiled=compiled,
        )
        self.states = [_State(run, len(source), source.device, self.total) for run in runs]
        self.seen = self.since = self.number = 0
        self.watch = _Watch(self.step.losses)
        self.saved, self.saving = time.monotonic(), 0.0

    def finished(self, kept: Sequence[Snapshot | None]) -> list[Trained | Diverged]:
        """Train to the end, from what was kept or from the start."""
        for place, found in enumerate(kept):
            if found is not None:
                self._go_on(place, found)
        while self.seen < self.total:
            self._step()
            if self.number in self.looks:
                self._look(self.watch.now())
            elif self.number % _CHECK == 0:
                self._hear(self.watch.lately())
            if all(state.diverged for state in self.states):
                break
            self._keep()
        return [state.done() for state in self.states]

    def _step(self) -> None:
        size = min(self.batch, self.total - self.seen)
        index = torch.stack([state.order.take(size) for state in self.states])
        for place, run in enumerate(self.runs):
            self.step.rate(place, _rate(run.settings, self.seen, self.total, len(self.source)))
        self.step(index)
        self.seen, self.since, self.number = self.seen + size, self.since + 1, self.number + 1
        self.watch.number = self.since

    def _hear(self, means: Sequence[float]) -> None:
        """Tell how it goes, and end what does not go well."""
        for state, mean in zip(self.states, means, strict=False):
            if state.diverged:
                continue
            if math.isfinite(mean):
                state.run.progress(self.seen, self.total, mean)
                continue
            state.diverged = Diverged(
                f"the loss is {mean} after {self.seen} windows; "
                f"lower the rate ({state.run.settings.lr})"
            )

    def _look(self, means: Sequence[float]) -> None:
        self._hear(means)
        self.step.losses.zero_()
        self.watch.forget()
        self.since = 0
        for state, mean in zip(self.states, means, strict=True):
            if not state.diverged:
                state.look(self.seen, mean)

    def _keep(self) -> None:
        """Keep what can go on from here, at the end of an epoch and now and then."""
        epoch = len(self.source)
        began = time.monotonic()
        since = began - self.saved
        ends = self.seen // epoch > (self.seen - self.batch) // epoch
        due = since > _KEEP_SECONDS or (ends and since >= _KEEP_SHARE * self.saving)
        if self.seen >= self.total or not due:
            return
        for place, state in enumerate(self.states):
            if state.run.keeper and not state.diverged:
                state.run.keeper.save(self._snapshot(place))
        self.saved = time.monotonic()
        self.saving = self.saved - began

    def _snapshot(self, place: int) -> Snapshot:
        state, step = self.states[place], self.step
        noise = step.noise.generators[place] if step.noise else None
        return snapshot(
            _module(state.run),
            step.optimisers[place],
            about={
                "seen": self.seen,
                "since": self.since,
                "number": self.number,
                "taken": state.order.taken,
                "best": state.best,
                "selected": state.selected,
                "curve": state.curve,
            },
            extra={
                "loss": step.losses[place],
                "tail": state.order.tail,
                "order": state.order.before,
                "torch": torch.get_rng_state(),
                **({"noise": noise.get_state()} if noise else {}),
                **{f"kept.{name}": value for name, value in (state.kept or {}).items()},
            },
        )

    def _go_on(self, place: int, kept: Snapshot) -> None:
        state, step, about = self.states[place], self.step, kept.about
        restore(kept, _module(state.run), step.optimisers[place])
        self.seen, self.since, self.number = about["seen"], about["since"], about["number"]
        state.best, state.selected = about["best"], about["selected"]
        state.curve = list(about["curve"])
        extra = kept.extra
        state.order.restore(extra["order"], extra["tail"], about["taken"])
        step.losses[place] = extra["loss"].to(step.losses)
        torch.set_rng_state(extra["torch"])
        if step.noise:
            step.noise.generators[place].set_state(extra["noise"])
        device = self.source.device
        held = {
            name.removeprefix("kept."): value.to(device)
            for name, value in extra.items()
            if name.startswith("kept.")
        }
        state.kept = held or None
        self.watch.number = self.since


class _State:
    """One run: the order of its samples, its curve, and the best weights so far."""

    def __init__(self, run: Run, count: int, device: torch.device, total: int) -> None:
        self.run = run
        self.order = Order(count, run.seed, device)
        self.best, self.selected = math.inf, total
        self.kept: dict[str, Tensor] | None = None
        self.curve: list[Mapping[str, float]] = []
        self.diverged: Diverged | None = None

    def look(self, seen: int, loss: float) -> None:
        """Ask the judge, keep what is best."""
        entry = {"windows": float(seen), "loss": loss}
        if self.run.judge is not None:
            method = _module(self.run)
            method.eval()
            error = entry["selection"] = self.run.judge()
            method.train()
            if error < self.best:
                self.best, self.selected = error, seen
                self.kept = {key: value.clone() for key, value in method.state_dict().items()}
        self.curve.append(entry)

    def done(self) -> Trained | Diverged:
        """With the best weights in place."""
        if self.diverged:
            return self.diverged
        method = _module(self.run)
        if self.kept is not None:
            method.load_state_dict(self.kept)
        method.eval()
        return Trained(tuple(self.curve), self.selected)


class _Watch:
    """Mean losses, read without waiting for a GPU except where they are wanted at once.

    number: of the steps that the sums are of.
    """

    def __init__(self, losses: Tensor) -> None:
        self.losses, self.number = losses, 0
        self._sent: tuple[Tensor, int, Any] | None = None

    def now(self) -> list[float]:
        """The (R,) mean losses."""
        return [total / self.number for total in self.losses.tolist()]

    def lately(self) -> list[float]:
        """The mean losses, on a GPU as they were when they were last asked for; none at first."""
        if not self.losses.is_cuda:
            return self.now()
        sent = self._sent
        here = torch.empty(self.losses.shape, pin_memory=True)
        here.copy_(self.losses, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        self._sent = here, self.number, arrived
        if sent is None:
            return []
        # Sent many steps ago, so that nothing is waited for.
        sent[2].synchronize()
        return [total / sent[1] for total in sent[0].tolist()]

    def forget(self) -> None:
        """The sums begin anew."""
        self.number, self._sent = 0, None


def _kept(run: Run) -> Snapshot | None:
    """What was kept of a run, if there is anything that fits it."""
    found = run.keeper.load() if run.keeper else None
    return found if found and fits(found, _module(run)) else None


def _module(run: Run) -> nn.Module:
    if not isinstance(run.method, nn.Module):
        raise TypeError(f"{type(run.method).__name__} is not a torch.nn.Module")
    return run.method


def _rate(settings: Training, seen: int, total: int, epoch: int) -> float:
    """The learning rate after `seen` of `total` windows, with so many windows an epoch."""
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * seen / total))
    if settings.schedule == "steps":
        passed = sum(seen >= share * total for share in settings.milestones)
        return settings.lr * float(settings.decay**passed)
    return settings.lr * float(settings.decay ** (seen // epoch))
