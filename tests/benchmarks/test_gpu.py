"""Training on a GPU: skipped with a reason without one, and told in milliseconds per step."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks import gpu, training
from benchmarks.measuring import Request, Row, Skipped
from benchmarks.workloads import WORKLOADS


def test_it_is_skipped_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Skipped, match="no CUDA device"):
        gpu.measure(Request())


def test_windows_per_second_become_milliseconds_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def rates(*_: Any, **__: Any) -> Row:
        sides = {"ours": (512.0,), "straightforward": (128.0,)}
        return Row("training", "Human3.6M", "windows/s", "higher", sides, floor=1024.0)

    monkeypatch.setattr(training, "rates", rates)
    row = gpu.steps(Request())[0]
    assert row.case.startswith("Human3.6M, training step")
    # 256 windows a step.
    assert row.sides == {"ours": (500.0,), "straightforward": (2000.0,)}
    assert row.ratio is not None
    assert row.ratio.median == 4
    assert row.share == 0.5


def test_seeds_are_trained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(WORKLOADS["pw3d"].with_clips(2, 1), train_frames=80, batch=4)
    monkeypatch.setitem(WORKLOADS, "small", small)
    assert training.seeds_at_once("small", 2, Request(seconds=0.01))() > 0


@pytest.mark.cuda
def test_steps_are_measured() -> None:
    rows = gpu.measure(Request(turns=2, seconds=0.1, device="cuda"))
    assert [row.case.rpartition(", ")[2] for row in rows] == [
        "float32",
        "tf32",
        "bfloat16",
        "five seeds at once",
    ]
    assert all(0 < row.ours.median < 10_000 for row in rows)
