"""An output folder with results, weights, a table and trials, made without computing anything."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.results import Cell, Result, Results
from bench.trials import Study, Trial
from bench.weights import Weights


@pytest.fixture(scope="session")
def result() -> Callable[..., Result]:
    """A result of a method, with what is to be different."""

    def made(method: str = "linear", **changes: Any) -> Result:
        cell = Cell(
            dataset="h36m-fcn",
            fingerprint="f00d",
            method=method,
            preset="default",
            revision=2,
            options={"layers": 3, "norm": None},
            training={"lr": 1e-3, "epochs": 5},
            geometry={"interval": 10, "intervals": 9},
            protocol="deciwatch",
            budget="quick",
            limits={"test_clips": 4},
            selection="validation",
            seed=1,
        )
        told = Result(
            cell,
            "done",
            metrics={"mpjpe": 52.8, "pck@0.05": math.nan},
            parameters=7,
            chosen={"penalty": 0.1},
            curve=tuple(
                {"windows": 100.0 * step, "loss": 1 / step, "selection": 60.0}
                for step in range(1, 6)
            ),
            dataset={"standin": True},
            provenance={
                "commit": "c0ffee-dirty",
                "hardware": {"cpu": "Z80"},
                "time": "2026-01-01T00:00:00+00:00",
                "seconds": 90.0,
            },
        )
        return replace(told, **changes)

    return made


@pytest.fixture(scope="session")
def keep(result: Callable[..., Result]) -> Callable[..., Result]:
    """Store a result, and weights of it, in a folder."""

    def kept(folder: Path, method: str = "linear", *, learned: bool = False, **changes: Any) -> Any:
        made = result(method, **changes)
        Results(folder).put(made)
        if learned:
            Weights(folder).save(made.cell, {"weight": torch.arange(6.0).reshape(2, 3)}, {})
        return made

    return kept


@pytest.fixture(scope="session")
def study() -> Study:
    return Study(
        name="ridge-h36m",
        experiment="tune-recovery",
        method="ridge",
        dataset="h36m-fcn",
        fingerprint="f00d",
        protocol="deciwatch",
        objectives={"mpjpe": "minimize"},
        about={"sampler": "TPE"},
    )


@pytest.fixture(scope="session")
def trials() -> list[Trial]:
    curve = ({"epoch": 1.0, "mpjpe": 61.0}, {"epoch": 2.0, "mpjpe": 60.0})
    return [
        Trial(0, "complete", {"depth": 2}, {"mpjpe": 60.0}, curve, seed=5),
        Trial(1, "pruned", {"depth": 3}, curve=curve[:1]),
        Trial(2, "failed", {"depth": 4}, error="boom"),
        Trial(3, "complete", {"depth": 5}, {"mpjpe": 58.5}, curve),
    ]
