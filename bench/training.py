"""Training: the harness's optimiser, schedule, batches, seeds and selection (spec 1.7, 2.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from bench.config import Training
from bench.contracts import Trainable

_CHECK = 50


class Source(Protocol):
    """Samples that training draws from by number."""

    @property
    def device(self) -> torch.device:
        """Where they lie."""

    def __len__(self) -> int:
        """How many there are."""

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


def train(
    method: Trainable,
    source: Source,
    settings: Training,
    *,
    seed: int,
    evaluations: int,
    judge: Callable[[], float] | None,
    progress: Callable[[int, int, float], None] = lambda _seen, _all, _loss: None,
) -> Trained:
    """Train in place on windows drawn without replacement, epoch after epoch.

    judge: the error that selects; it is asked `evaluations` times, evenly spread, the last time at
    the end, and the weights with the lowest error are kept. Without it the last ones are.
    progress: called with (windows seen, all windows, mean loss since the judge's last turn). Raises
    Diverged when the loss is not finite. The same seed gives the same weights, bit for bit, on one
    CPU thread.
    """
    if not isinstance(method, nn.Module):
        raise TypeError(f"{type(method).__name__} is not a torch.nn.Module")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(
        method.parameters(),
        lr=settings.lr,
        amsgrad=settings.amsgrad,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    total = settings.windows or (settings.epochs or 0) * len(source)
    steps = math.ceil(total / settings.batch)
    # After which steps to look: evenly spread, the last one always.
    looks = {math.ceil(steps * (i + 1) / evaluations) for i in range(evaluations)}
    curve: list[Mapping[str, float]] = []
    best, kept, selected = math.inf, None, total
    losses = torch.zeros((), device=source.device)
    since = seen = 0
    method.train()
    for step, index in enumerate(_draw(len(source), total, settings.batch, generator), 1):
        for group in optimiser.param_groups:
            group["lr"] = _rate(settings, seen, total, len(source))
        loss = method.loss(*source.gather(index.to(source.device)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses += loss.detach()
        seen, since = seen + len(index), since + 1
        if step % _CHECK and step not in looks:
            continue
        # Reading the loss waits for the device, so it is not done at every step.
        mean = float(losses) / since
        if not math.isfinite(mean):
            raise Diverged(
                f"the loss is {mean} after {seen} windows; lower the rate ({settings.lr})"
            )
        progress(seen, total, mean)
        if step not in looks:
            continue
        losses.zero_()
        since = 0
        entry = {"windows": float(seen), "loss": mean}
        if judge is not None:
            method.eval()
            error = entry["selection"] = judge()
            method.train()
            if error < best:
                best, selected = error, seen
                kept = {key: value.clone() for key, value in method.state_dict().items()}
        curve.append(entry)
    if kept is not None:
        method.load_state_dict(kept)
    method.eval()
    return Trained(tuple(curve), selected)


def _draw(count: int, total: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of window numbers, `total` in all: epochs shuffled anew, the last batch shorter.

    A batch may reach into the next epoch, so that all but the last are full.
    """
    left = torch.empty(0, dtype=torch.long)
    while total > 0:
        size = min(batch, total)
        while len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        yield left[:size]
        left, total = left[size:], total - size


def _rate(settings: Training, seen: int, total: int, epoch: int) -> float:
    """The learning rate after `seen` of `total` windows, with so many windows an epoch."""
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * seen / total))
    if settings.schedule == "steps":
        passed = sum(seen >= share * total for share in settings.milestones)
        return settings.lr * float(settings.decay**passed)
    return settings.lr * float(settings.decay ** (seen // epoch))
