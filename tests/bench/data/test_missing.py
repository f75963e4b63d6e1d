"""Missed detections in keyframes: filled from the same window's keyframes."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.missing import fill_missing

NAN = float("nan")


def test_nothing_missed_is_nothing_done():
    keyframes = torch.randn(2, 3, 4)
    assert fill_missing(keyframes, 2) is keyframes


def test_between_keyframes_and_beyond_them():
    x = [NAN, 1.0, NAN, NAN, 7.0, NAN]
    keyframes = torch.tensor(x)[None, :, None]
    assert fill_missing(keyframes, 1).flatten().tolist() == [1, 1, 3, 5, 7, 7]


def test_a_joint_never_seen_is_put_amid_the_others():
    frame = [[1.0, 10, NAN, NAN, 3, 30], [2, 20, NAN, NAN, NAN, NAN]]
    filled = fill_missing(torch.tensor([frame]), 2)
    # The third joint is held first, so that it counts in the second keyframe's mean.
    assert filled.tolist() == [[[1, 10, 2, 20, 3, 30], [2, 20, 2.5, 25, 3, 30]]]


def test_a_window_never_seen_is_zero_and_leaves_the_others():
    keyframes = torch.stack([torch.full((3, 4), NAN), torch.ones(3, 4)])
    filled = fill_missing(keyframes, 2)
    assert filled[0].eq(0).all()
    assert filled[1].eq(1).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_matches_one_coordinate_at_a_time(seed, share):
    generator = np.random.default_rng(seed)
    keyframes = generator.normal(size=(4, 5, 6)).astype(np.float32)
    keyframes[generator.random(keyframes.shape) < share] = NAN
    filled = fill_missing(torch.from_numpy(keyframes), 3).numpy()
    assert np.isfinite(filled).all()
    for window_, wanted in zip(filled, keyframes, strict=True):
        for column in range(6):
            known = np.flatnonzero(~np.isnan(wanted[:, column]))
            if len(known):
                line = np.interp(np.arange(5), known, wanted[known, column])
                np.testing.assert_allclose(window_[:, column], line, atol=1e-6)
