"""One configuration trained on train and measured on validation: the work of a trial.

The test split is out of reach here: whoever asks for it is given validation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench import registry
from bench.config import Training
from bench.cost import cost
from bench.data import store
from bench.data.clips import Clip, Dataset, Split
from bench.protocols import protocol
from bench.results import Cell
from bench.seeds import seed_for
from bench.tasks import samples_of, setting_of
from bench.training import train

# Told at each look: windows seen so far, and the selection error there.
Look = Callable[[int, float], None]


@dataclass(frozen=True)
class Measured:
    """What a configuration came to.

    metrics: of the protocol on the validation clips, and what it costs, by metric; windows: how
    many were trained on; seconds: all of it, scoring included.
    """

    metrics: Mapping[str, float]
    windows: int
    seconds: float


def sealed(dataset: Dataset) -> Dataset:
    """The dataset with validation in place of its test split."""
    validation = dataset.clips["validation"]
    clips: dict[Split, tuple[Clip, ...]] = {
        "train": dataset.clips["train"],
        "validation": validation,
        "test": validation,
    }
    return replace(dataset, clips=clips)


class Ground:
    """What all trials of a study stand on: data opened once, samples gathered once.

    base: the cell that trials change options and training of; nothing else of it is changed.
    """

    def __init__(self, base: Cell, folder: Path, device: str) -> None:
        self._base, self._device = base, device
        self._dataset = sealed(store.load(folder))
        self._setting = setting_of(base)
        self.geometry = self._setting.geometry(self._dataset, base.geometry)
        most = base.limits["fit_windows"] if base.training is None else None
        self._train = samples_of(base, self._dataset, "train", self.geometry, device, most=most)
        self._validation = samples_of(base, self._dataset, "validation", self.geometry, device)

    def measure(
        self, cell: Cell, seed: object, look: Look = lambda _seen, _error: None
    ) -> Measured:
        """Train or fit, then score the validation clips.

        seed: anything with a name; what is drawn from it shares nothing with the seeds of tables.
        look: may raise to end a trial early. Raises what a method or its training raises.
        """
        began = time.perf_counter()
        axes = (cell.dataset, cell.method, "tuning", seed)
        torch.manual_seed(seed_for(*axes, "start"))
        method: Any = registry.build(cell.method, cell.options, self.geometry)
        if isinstance(method, torch.nn.Module):
            method.to(self._device)
        if cell.training is None:
            method.fit(self._train, self._validation)
            windows = min(len(self._train), cell.limits["fit_windows"])
        else:
            windows = self._trained(method, cell, seed_for(*axes, "training"), look)
        torch.manual_seed(seed_for(*axes, "scoring"))
        scores, _ = self._setting.evaluate(
            method,
            self._dataset,
            "validation",
            used := protocol(cell.protocol),
            self.geometry,
            device=self._device,
            most=cell.limits["test_clips"],
        )
        metrics = used.summarise([score.values for score in scores])
        costs = cost(cell.method, cell.options, self.geometry).by_metric
        seconds = time.perf_counter() - began
        return Measured({**metrics, **costs}, windows, round(seconds, 2))

    def _trained(self, method: Any, cell: Cell, seed: int, look: Look) -> int:
        """Train in place; the number of windows seen."""
        settings = Training(**(cell.training or {}))
        most = cell.limits["validation_windows"]
        seen = 0

        def progress(windows: int, _all: int, _loss: float) -> None:
            nonlocal seen
            seen = windows

        def judge() -> float:
            error = self._setting.error(method, self._validation, most)
            look(seen, error)
            return error

        train(
            method,
            self._train,
            settings,
            seed=seed,
            evaluations=cell.limits["validations"],
            judge=judge,
            progress=progress,
        )
        return seen
