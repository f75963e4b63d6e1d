"""PCHIP and Akima against scipy curve by curve, worked slopes, and what each promises."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from bench.contracts import Window
from methods.interpolation import Linear, NoOptions
from methods.splines import Akima, Pchip

BOTH = [(Pchip, PchipInterpolator), (Akima, Akima1DInterpolator)]


def curve(cls: type, values: list[float], interval: int = 4) -> torch.Tensor:
    """One pose value through keyframes, (T,)."""
    method = cls(NoOptions(), Window(interval, len(values) - 1, 1, 1))
    return method.recover(torch.tensor(values, dtype=torch.float64)[None, :, None])[0, :, 0]


@pytest.mark.parametrize(("cls", "reference"), BOTH)
def test_a_batch_is_scipy_curve_by_curve(cls: type, reference: type) -> None:
    window = Window(interval=5, intervals=6, joints=2, dims=3)
    keyframes = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(0))
    found = cls(NoOptions(), window).recover(keyframes)
    assert found.dtype == torch.float32
    for clip in range(4):
        for value in range(6):
            one = reference(np.arange(7) * 5.0, keyframes[clip, :, value].double().numpy())
            np.testing.assert_allclose(found[clip, :, value], one(np.arange(31.0)), atol=1e-6)


@pytest.mark.parametrize(("cls", "_"), BOTH)
@settings(max_examples=20)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.integers(1, 6))
def test_keyframes_are_kept(cls: type, _: type, values: list[float], interval: int) -> None:
    found = curve(cls, values, interval)
    torch.testing.assert_close(found[::interval], torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize(("cls", "_"), BOTH)
@pytest.mark.parametrize("keyframes", [2, 3, 4, 9])
def test_a_straight_motion_stays_straight(cls: type, _: type, keyframes: int) -> None:
    found = curve(cls, [0.3 * i - 1 for i in range(keyframes)])
    torch.testing.assert_close(
        found, torch.linspace(-1, 0.3 * keyframes - 1.3, len(found)).double()
    )


@pytest.mark.parametrize(("cls", "_"), BOTH)
def test_two_keyframes_are_joined_by_a_line(cls: type, _: type) -> None:
    window = Window(interval=10, intervals=1, joints=3, dims=2)
    keyframes = torch.randn(2, 2, 6)
    found = cls(NoOptions(), window).recover(keyframes)
    assert torch.equal(found, Linear(NoOptions(), window).recover(keyframes))


@settings(max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=7))
def test_pchip_stays_between_neighbouring_keyframes(values: list[float]) -> None:
    found = curve(Pchip, values)
    for i, (a, b) in enumerate(pairwise(values)):
        part = found[4 * i : 4 * i + 5]
        assert min(a, b) - 1e-9 <= part.min()
        assert part.max() <= max(a, b) + 1e-9


def test_pchip_turns_with_slope_zero_by_hand() -> None:
    # Up by 1, then down by 1, in steps of two frames: slopes 0 in the middle, 1 at both ends.
    # Half-way, a cubic Hermite piece is the mean of its ends plus an eighth of 2 * (1 - 0).
    found = curve(Pchip, [0.0, 1.0, 0.0], 2)
    torch.testing.assert_close(found, torch.tensor([0, 0.75, 1, 0.75, 0]).double())


def test_akima_keeps_a_corner_local_by_hand() -> None:
    # Straight on both sides of a corner: only the corner itself bends, and the slope there is the
    # mean of both sides, so frames further away stay on their lines.
    found = curve(Akima, [0.0, 0, 0, 0, 4, 8, 12], 4)
    assert found[:9].abs().max() < 1e-12
    torch.testing.assert_close(found[16:], torch.arange(4.0, 13).double())
    # The corner's slope is 1/2 per frame: half-way (0 + 0)/2 + 4/8 * (0 - 1/2), and beyond it
    # (0 + 4)/2 + 4/8 * (1/2 - 1).
    torch.testing.assert_close(found[[10, 14]], torch.tensor([-0.25, 1.75]).double())
