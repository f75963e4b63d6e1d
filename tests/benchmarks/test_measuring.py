"""Turns alternate, ratios are of the same turn, and processes have the threads asked for."""

import os
from functools import partial
from itertools import count
from typing import Any

import pytest
import torch

from benchmarks.measuring import (
    Failed,
    Row,
    Spread,
    alternate,
    apart,
    brief,
    in_turns,
    repeats,
    wait,
)


def test_sides_take_turns_and_swap_who_is_first() -> None:
    clock = count()
    turns = alternate({"a": lambda: next(clock), "b": lambda: next(clock)}, 3)
    assert turns == {"a": (0, 3, 4), "b": (1, 2, 5)}


def test_a_side_that_fails_in_its_turn_leaves_the_others() -> None:
    left = iter((1.0, 0.0))
    sides = {"a": lambda: 3.0, "b": lambda: 1 / next(left), "c": lambda: 4.0}
    errors: dict[str, Exception] = {}
    assert alternate(sides, 3, errors) == {"a": (3.0,) * 3, "c": (4.0,) * 3}
    assert [brief(error) for error in errors.values()] == [
        "ZeroDivisionError: float division by zero"
    ]
    with pytest.raises(StopIteration):
        alternate(sides, 3)


def test_a_ratio_is_of_one_turn_and_its_median_of_all() -> None:
    sides = {"ours": (30.0, 40.0, 90.0), "other": (10.0, 20.0, 30.0)}
    faster = Row("x", "y", "windows/s", "higher", sides)
    assert faster.ratio == Spread(3.0, 2.5, 3.0)
    slower = Row("x", "y", "s", "lower", sides)
    assert slower.ratio is not None
    assert slower.ratio.median == pytest.approx(1 / 3)


def test_a_row_without_another_side_has_no_ratio() -> None:
    row = Row("x", "y", "s", "lower", {"ours": (2.0,)})
    assert row.ratio is None
    assert row.ours == Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize(("better", "floor"), [("higher", 80.0), ("lower", 5.0)])
def test_the_share_of_the_floor_is_one_at_the_floor(better: str, floor: float) -> None:
    row = Row("x", "y", "s", better, {"ours": (20.0, 20.0)}, floor=floor)
    assert row.share == pytest.approx(0.25)
    assert Row("x", "y", "s", better, {"ours": (floor,)}, floor=floor).share == 1


def test_a_turn_is_filled() -> None:
    assert repeats(2.0, 0.5) == 4
    assert repeats(2.0, 5.0) == 1
    assert repeats(2.0, 5.0, fewest=8) == 8


def test_a_process_of_its_own_has_the_threads_asked_for() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    assert apart(torch.get_num_threads, 2) == 2
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize("together", [False, True])
def test_a_side_that_cannot_be_made_leaves_the_others(together: bool) -> None:
    sides: dict[str, Any] = {"one": partial(partial, float, 1), "none": partial(float, "none")}
    errors: dict[str, Exception] = {}
    turns = in_turns(sides, 2, together=together, errors=errors)
    assert turns == {"one": (1.0, 1.0)}
    assert [brief(error) for error in errors.values()] == [
        "ValueError: could not convert string to float: 'none'"
    ]
    with pytest.raises(ValueError, match="none"):
        in_turns(sides, 2, together=together)


def test_a_gpu_is_waited_for_and_a_cpu_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    wait("cpu")
    wait("cuda:1")
    assert waited == ["cuda:1"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
        (Failed("float32: why"), "float32: why"),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, line: str) -> None:
    assert brief(error) == line
