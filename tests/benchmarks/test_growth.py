"""Prepared data of any size, memory that is seen, slopes, and figures that stay small."""

import time
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import BadInput
from bench.data import store
from benchmarks import figures, growth, opening
from benchmarks.growth import Growth, Series
from benchmarks.memory import Watch, usage
from benchmarks.opening import Cost
from benchmarks.workloads import WORKLOADS

MIB = 2**20


@pytest.mark.parametrize("frames", [1920, 2500])
def test_prepared_data_has_as_many_frames_as_asked_for(tmp_path: Path, frames: int) -> None:
    opening.write(WORKLOADS["pw3d"], frames, tmp_path / "prepared")
    clips = store.load(tmp_path / "prepared").clips["test"]
    assert sum(clip.frames for clip in clips) == frames
    assert clips[0].truth.std(0).min() > 0


def test_opening_and_evaluating_are_measured(tmp_path: Path) -> None:
    opening.write(WORKLOADS["pw3d"], 1500, tmp_path / "prepared")
    opened = opening.opening(tmp_path / "prepared")
    evaluated = opening.evaluation(tmp_path / "prepared", "pw3d", "linear")
    for cost in (opened, evaluated):
        assert 0 < cost.seconds < 60
        assert 0 < cost.private <= cost.resident


def test_memory_that_is_taken_and_given_back_is_seen() -> None:
    _, before = usage()
    with Watch() as watch:
        taken = np.ones(64 * MIB, np.uint8)
        # A busy machine may let the watch look late.
        until = time.monotonic() + 30
        while watch.private - before < 32 * MIB and time.monotonic() < until:
            time.sleep(0.001)
        del taken
    assert watch.private - before > 32 * MIB


def test_memory_is_told_where_the_system_has_no_status(tmp_path: Path) -> None:
    resident, private = usage(tmp_path / "status")
    assert resident == private > 10 * MIB


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_power_is_found_at_the_upper_end(power: float) -> None:
    sizes = (1, 10, 100, 1000)
    values = [5.0, *(3 * size**power for size in sizes[1:])]
    assert growth.slope(sizes, values) == pytest.approx(power)


def found() -> Growth:
    costs = tuple(Cost(size / 10, 200 * MIB + size, 100 * MIB + size) for size in (10, 20, 40))
    names = (("opening", "frames"), ("training step", "joints"), ("training step", "seeds"))
    series = tuple(Series(what, against, (10, 20, 40), costs) for what, against in names)
    return Growth("a command", "0123", "a machine", "", series)


def test_growth_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "growth.json"
    growth.save(found(), path)
    assert growth.stored(path) == found()
    with pytest.raises(BadInput, match="no stored growth"):
        growth.stored(tmp_path / "other.json")


def test_figures_are_small_tell_slopes_and_come_out_equal(tmp_path: Path) -> None:
    paths = figures.draw(found(), tmp_path)
    assert [path.name for path in paths] == ["growth-frames.svg", "growth-training.svg"]
    first = [path.read_bytes() for path in paths]
    assert all(len(content) < 100_000 for content in first)
    assert b"opening: 1.00" in first[0]
    figures.draw(found(), tmp_path)
    assert [path.read_bytes() for path in paths] == first
