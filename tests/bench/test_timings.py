"""Times are stored for each machine, compared within a run, and never mixed between machines."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.contracts import BadInput, Window
from bench.machine import Machine
from bench.timing import Measured
from bench.timings import Timing, Timings, baseline, check_one_machine, counterpart

BOX = Machine("Fast 9", 4, "Linux x86_64", {"python": "3.11.7", "torch": "2.13.0"})
OTHER = replace(BOX, cpu="Slow 1")


def timing(
    method: str = "linear", *, rounds: tuple[float, ...] = (0.01, 0.02), **changed
) -> Timing:
    said = {
        "machine": BOX,
        "method": method,
        "label": method,
        "options": {"width": 8},
        "revision": 1,
        "dataset": "h36m-fcn",
        "title": "Human3.6M / FCN",
        "window": Window(10, 10, 17, 3),
        "engine": "eager",
        "precision": "float32",
        "batch": 1,
        "threads": 1,
        "measured": Measured(0.0202, 0.010, 0.030, rounds, 7),
        "run": "one",
        "place": 0,
        "about": {"commit": "abc", "time": "2026-01-01T00:00:00+00:00"},
    }
    return Timing(**{**said, **changed})


def test_numbers_are_of_one_window_and_one_frame() -> None:
    of_four = timing(batch=4)
    assert of_four.per_window == pytest.approx(5.05)
    assert of_four.per_frame == pytest.approx(0.05)
    assert of_four.spread == pytest.approx(5.0)


def test_ratios_are_medians_turn_by_turn_and_per_window() -> None:
    first = timing(rounds=(1.0, 10.0, 1.0))
    # A slow phase of the machine in the second turn hits both.
    second = timing("ridge", rounds=(2.0, 20.0, 5.0), batch=4)
    assert second.times(first) == pytest.approx(2 / 4)
    assert first.times(second) == pytest.approx(4 / 2)
    assert first.times(first) == 1.0
    assert second.times(replace(first, run="two")) is None


def test_baselines_are_of_the_same_run() -> None:
    fast = timing(engine="onnx", place=0)
    base = timing(batch=1, place=1)
    large = timing(batch=256, place=2)
    wide = timing(threads=2, place=3)
    later = timing(run="two", batch=1)
    ridge = timing("ridge", engine="onnx", place=4)
    all_of_it = [fast, base, large, wide, later, ridge]
    assert baseline(wide, all_of_it) is base
    assert baseline(large, all_of_it) is base
    assert baseline(later, all_of_it) is later
    assert baseline(ridge, all_of_it) is ridge
    assert counterpart(ridge, "linear", all_of_it) is fast
    assert counterpart(replace(ridge, batch=2), "linear", all_of_it) is None


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    store = Timings(tmp_path)
    assert store.all() == []
    times = [timing(place=1), timing("mct:paper", place=0), timing(run="a", batch=2)]
    paths = {store.put(each) for each in times}
    assert {path.parent for path in paths} == {tmp_path / "timings"}
    assert len(paths) == 3
    assert all(path.name.startswith(f"{BOX.key}_") for path in paths)
    assert store.all() == [times[2], times[1], times[0]]


def test_the_same_configuration_is_one_file_and_another_is_another(tmp_path: Path) -> None:
    store = Timings(tmp_path)
    path = store.put(timing())
    assert store.put(timing(run="two", busy="busy")) == path
    for changed in (
        {"machine": OTHER},
        {"options": {"width": 16}},
        {"revision": 2},
        {"window": Window(5, 10, 17, 3)},
        {"engine": "onnx"},
        {"precision": "bfloat16"},
        {"batch": 2},
        {"threads": 2},
    ):
        assert store.put(timing(**changed)) != path


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 0}', '{"format": 1}'])
def test_damaged_files_are_refused(tmp_path: Path, content: str) -> None:
    store = Timings(tmp_path)
    path = store.put(timing())
    path.write_text(content)
    with pytest.raises(BadInput, match=r"not a stored time|another format of times") as caught:
        store.all()
    assert str(path) in str(caught.value)


def test_two_machines_are_refused_by_name(tmp_path: Path) -> None:
    store = Timings(tmp_path)
    store.put(timing())
    path = store.put(timing("ridge"))
    check_one_machine(store.all(), store.folder)
    raw = json.loads(path.read_text())
    raw["machine"]["cpu"] = "Slow 1"
    path.write_text(json.dumps(raw))
    with pytest.raises(BadInput) as caught:
        check_one_machine(store.all(), store.folder)
    line = str(caught.value)
    assert BOX.words in line
    assert OTHER.words in line
    assert f"move {OTHER.key}_*.json" in line or f"or {OTHER.key}_*.json" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "changed",
    [{"batch": 0}, {"threads": -1}, {"measured": Measured(0.0, 0.1, 0.2, (0.1,), 1)}, {"run": 3}],
)
def test_times_that_are_none_are_refused(tmp_path: Path, changed) -> None:
    store = Timings(tmp_path)
    store.put(timing(**changed))
    with pytest.raises(BadInput, match="not a stored time"):
        store.all()


def test_runs_with_other_turns_are_not_compared() -> None:
    assert timing(rounds=(1.0,)).times(timing(rounds=(1.0, 2.0))) is None
    assert timing(rounds=()).times(timing(rounds=())) is None
