"""Floors follow from counts that can be worked out, and peaks from times."""

import pytest

from benchmarks import floors
from benchmarks.floors import Peaks
from benchmarks.workloads import WORKLOADS

PW3D = WORKLOADS["pw3d"]

# Multiply-accumulates of a frame of the 3DPW size, in millions (spec 1.6).
_MACS = 0.0365e6


def test_the_floor_is_that_of_products_where_memory_is_fast() -> None:
    seconds = floors.training_floor(PW3D, Peaks(1e9, 1e30))
    assert seconds == pytest.approx(3 * 2 * _MACS * 51 / 1e9, rel=1e-3)
    assert floors.inference_floor(PW3D, Peaks(1e9, 1.0)) == pytest.approx(seconds / 3)


def test_the_floor_is_that_of_memory_where_arithmetic_is_fast() -> None:
    seconds = floors.training_floor(PW3D, Peaks(1e30, 1e9))
    assert seconds == pytest.approx(2 * floors.training_floor(PW3D, Peaks(1e30, 2e9)))
    # Backward needs at least what every layer norm and every linear map was given.
    kept = 4 * 51 * 4 * (2 * 32 + 4 * 32)
    assert 4 * kept < seconds * 1e9 < 40 * 4 * kept


def test_peaks_are_the_best_of_sizes_and_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "_SIDES", (256, 512))
    monkeypatch.setattr(floors, "_LARGE", 1000)
    seconds = iter([*[2.0, 1.0, 3.0, 2.0, 2.0], *[0.5] * 5, *[1e-6] * 5, *[1e-6] * 5])
    monkeypatch.setattr(floors, "seconds_of", lambda work: (work(), next(seconds))[1])
    # 4 products of side 512 in half a second; three arrays of 4000 bytes in a microsecond.
    assert floors.peaks() == Peaks(4 * 2 * 512**3 / 0.5, pytest.approx(12e9))
