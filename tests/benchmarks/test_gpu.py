"""Training on a GPU: skipped without one, by captured steps alone, and row by row.

The flow is run on the CPU too: in one process, with a step that says that it was captured.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from bench import steps as bench_steps
from bench.steps import Step
from benchmarks import gpu
from benchmarks.floors import Peaks, training_floor
from benchmarks.measuring import Failed, Request, Row, Skipped, alternate
from benchmarks.workloads import WORKLOADS

SMALL = replace(WORKLOADS["pw3d"].with_clips(2, 1), train_frames=80, batch=4)
PEAKS = Peaks(1e12, 1e30)
ARITHMETIC = ["float32", "tf32", "bfloat16"]
CASES = [*ARITHMETIC, *(f"{name}, compiled" for name in ARITHMETIC), "five seeds at once"]


class Emulated(Step):
    """A step on the CPU in place of a captured one, from as many steps on; all of them are kept."""

    made: ClassVar[list[Emulated]]
    why_not: ClassVar[str]

    def __init__(self, *given: Any, **settings: Any) -> None:
        said = settings.pop("compiled")
        super().__init__(*given, **settings)
        self.compiled = said
        self.taken: list[torch.Tensor] = []
        self.made.append(self)

    @property
    def captured(self) -> bool:
        return len(self.taken) > bench_steps._BEFORE_CAPTURE and not self.why_not

    def __call__(self, index: torch.Tensor) -> None:
        self.taken.append(index.clone())
        super().__call__(index)


def here(
    sides: Mapping[str, Any], turns: int, together: bool, errors: dict[str, Exception]
) -> dict[str, tuple[float, ...]]:
    """In turns, in this process; what is asked for could be sent to another one."""
    made = {}
    for name, make in sides.items():
        try:
            made[name] = pickle.loads(pickle.dumps(make))()
        except RuntimeError as error:
            errors[name] = error
    return alternate(made, turns, errors)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> type[Emulated]:
    """A CUDA device by name; what would be on it is on the CPU, and short."""
    monkeypatch.setattr(Emulated, "made", [], raising=False)
    monkeypatch.setattr(Emulated, "why_not", "", raising=False)
    monkeypatch.setattr(gpu, "_WARM_UP", bench_steps._BEFORE_CAPTURE + 1)
    monkeypatch.setattr(gpu, "_FEWEST", 3)
    monkeypatch.setitem(WORKLOADS, "h36m", SMALL)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(gpu, "check", lambda _: None)
    monkeypatch.setattr(gpu, "settle", lambda: None)
    monkeypatch.setattr(gpu, "CapturedStep", Emulated)
    monkeypatch.setattr(gpu, "apart", lambda *_: dict.fromkeys(ARITHMETIC, PEAKS))
    monkeypatch.setattr(gpu, "in_turns", here)
    return Emulated


REQUEST = Request(turns=2, seconds=0.001, device="cpu")


def endings(rows: list[Row]) -> list[str]:
    said = [row.case.partition(", ")[2] for row in rows]
    return [case.removeprefix("training step, ") for case in said]


def test_it_is_skipped_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Skipped, match="no CUDA device"):
        list(gpu.measure(Request()))
    with pytest.raises(Skipped, match="cpu is not"):
        list(gpu.measure(Request(device="cpu")))


def test_every_arithmetic_is_measured_and_seeds_at_once(emulated: type[Emulated]) -> None:
    rows = list(gpu.measure(REQUEST))
    assert endings(rows) == CASES
    assert [list(row.sides) for row in rows] == [["ours", "straightforward"]] * 6 + [
        ["ours", "one seed"]
    ]
    for row in rows:
        assert [len(turns) for turns in row.sides.values()] == [2, 2]
        assert all(0 < value < 60_000 for turns in row.sides.values() for value in turns)
    # One straightforward side is what all of ours are compared with.
    assert len({row.sides["straightforward"] for row in rows[:-1]}) == 1
    assert rows[-1].sides["one seed"] == rows[0].sides["ours"]
    # Four windows a step, in milliseconds.
    assert rows[0].floor == pytest.approx(4000 * training_floor(SMALL, PEAKS))
    made = [(s.settings[0].precision, s.compiled, len(s.methods)) for s in emulated.made]
    assert made == [
        *((name, False, 1) for name in ARITHMETIC),
        *((name, True, 1) for name in ARITHMETIC),
        ("float32", False, 5),
    ]


def test_all_turns_are_of_one_step_that_was_warm_before(emulated: type[Emulated]) -> None:
    turn = gpu._measurement("ours", REQUEST, seeds=2)
    [step] = emulated.made
    assert step.captured
    turn()
    warm = len(step.taken)
    turn()
    turn()
    assert emulated.made == [step]
    assert len(step.taken) - warm == 2 * 3
    # Every seed sees samples in an order of its own, each once an epoch.
    first, second = torch.stack(step.taken).transpose(0, 1).flatten(1)
    assert not torch.equal(first, second)
    assert len(first) < len(step.source)
    assert all(len(order.unique()) == len(order) for order in (first, second))


def test_enough_steps_are_taken_before_a_capture_is_expected() -> None:
    assert gpu._WARM_UP > bench_steps._BEFORE_CAPTURE


def test_a_turn_ends_when_the_device_has_done_all(
    emulated: type[Emulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []
    monkeypatch.setattr(gpu, "wait", waited.append)
    for side in ("ours", "straightforward"):
        turn = gpu._measurement(side, REQUEST)
        turn()
        before = len(waited)
        turn()
        assert waited[before:] == ["cpu"]


def test_one_that_fails_does_not_take_the_others_with_it(
    emulated: type[Emulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = gpu.captured

    def without_bfloat16(*given: Any, **settings: Any) -> Any:
        if settings == {"precision": "bfloat16"}:
            raise RuntimeError("no such kernel\nand more")
        return captured(*given, **settings)

    monkeypatch.setattr(gpu, "captured", without_bfloat16)
    rows: list[Row] = []
    with pytest.raises(Failed, match=r"^bfloat16: RuntimeError: no such kernel; bfloat16, "):
        rows.extend(gpu.measure(REQUEST))
    assert endings(rows) == [name for name in CASES if "bfloat16" not in name]


def test_rows_need_no_floor_and_no_other_side(
    emulated: type[Emulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu, "apart", breaks)
    monkeypatch.setattr(gpu, "plainly", lambda *_: breaks)
    rows: list[Row] = []
    with pytest.raises(Failed, match=r"^straightforward: .*: out of memory; peaks: "):
        rows.extend(gpu.measure(REQUEST))
    assert endings(rows) == CASES
    assert all(row.floor is None for row in rows)
    assert [list(row.sides) for row in rows[:-1]] == [["ours"]] * 6


def test_a_step_that_is_not_captured_is_not_measured(
    emulated: type[Emulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulated, "why_not", "it waits for the device")
    with pytest.raises(Failed, match="not captured: it waits for the device"):
        gpu._measurement("ours", REQUEST)


def test_seeds_that_cannot_be_stacked_are_not_measured(
    emulated: type[Emulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "stackable", lambda *_: False)
    with pytest.raises(Failed, match="2 seeds of 3DPW"):
        gpu._measurement("ours", REQUEST, seeds=2)


@pytest.mark.slow
@pytest.mark.cuda
def test_steps_are_measured() -> None:
    rows = list(gpu.measure(Request(turns=2, seconds=0.1, device="cuda")))
    assert endings(rows) == CASES
    assert all(0 < row.ours.median < 10_000 for row in rows)
    assert all(row.device == "cuda" for row in rows)


@pytest.mark.cuda
def test_every_step_of_a_turn_is_launched_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = gpu.side_of("ours", replace(SMALL, batch=64), "cuda", seeds=2)
    launched: list[object] = []
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: launched.append(graph))
    steps(20)
    assert len(launched) == 20
