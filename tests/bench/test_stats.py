"""Spread and paired gains: hand-computed, exact in the cases that must be, and covering."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import stats
from bench.results import ClipScore
from bench.stats import paired_gain, spread


def clips(values, recordings=None, weights=None, metric="mpjpe"):
    recordings = recordings or [f"r{i}" for i in range(len(values))]
    weights = weights or [1.0] * len(values)
    return [
        ClipScore(f"clip{i}", recording, 100, {metric: (value, weight)})
        for i, (value, recording, weight) in enumerate(
            zip(values, recordings, weights, strict=True)
        )
    ]


def test_spread_is_the_sample_standard_deviation():
    mean, sd = spread([1.0, 2.0, 6.0])
    assert mean == pytest.approx(3.0)
    assert sd == pytest.approx(7**0.5)


def test_one_seed_has_no_spread():
    assert spread([4.5]) == (4.5, None)


finite = st.floats(-1e3, 1e3)
a_table = st.lists(st.tuples(finite, st.floats(1, 1e4)), min_size=2, max_size=8)


@settings(deadline=None, max_examples=20)
@given(a_table, finite)
def test_identical_methods_gain_nothing_and_a_shift_gains_itself(table, shift):
    values, weights = [v for v, _ in table], [w for _, w in table]
    reference = clips(values, weights=weights)
    same = paired_gain([reference], [reference], "mpjpe")
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    moved = paired_gain([clips([v + shift for v in values], weights=weights)], [reference], "mpjpe")
    assert [moved.mean, moved.low, moved.high] == pytest.approx([shift] * 3, abs=1e-9)
    assert moved.recordings == len(table)


def test_clips_are_weighted_and_seeds_averaged_first():
    reference = [clips([10.0, 20.0], weights=[3.0, 1.0])]
    seeds = [clips([8.0, 20.0], weights=[3.0, 1.0]), clips([10.0, 16.0], weights=[3.0, 1.0])]
    gain = paired_gain(seeds, reference, "mpjpe")
    assert gain.mean == pytest.approx((3 * -1.0 + 1 * -2.0) / 4)
    # Of two recordings, a quarter of the draws hold only one of them, so those are the ends.
    assert (gain.low, gain.high) == pytest.approx((-2.0, -1.0))


def test_clips_of_one_recording_are_drawn_together():
    values, zeros = [4.0, -4.0, 4.0, -4.0], [0.0] * 4
    pairs = ["a", "a", "b", "b"]
    together = paired_gain([clips(values, pairs)], [clips(zeros, pairs)], "mpjpe")
    assert (together.low, together.high, together.recordings) == (0, 0, 2)
    apart = paired_gain([clips(values)], [clips(zeros)], "mpjpe")
    assert (apart.low, apart.high, apart.recordings) == (-4, 4, 4)


def test_the_draws_depend_on_the_seed_alone():
    generator = np.random.default_rng(1)
    pair = [clips(list(generator.normal(size=12)))], [clips(list(generator.normal(size=12)))]
    assert paired_gain(*pair, "mpjpe") == paired_gain(*pair, "mpjpe")
    assert paired_gain(*pair, "mpjpe", seed=1) != paired_gain(*pair, "mpjpe")


def test_order_of_clips_does_not_matter():
    a, b = (clips(list(np.random.default_rng(i).normal(size=12))) for i in range(2))
    assert paired_gain([a[::-1]], [b], "mpjpe") == paired_gain([a], [b], "mpjpe")


def test_no_gain_without_the_same_clips():
    a = clips([1.0, 2.0, 3.0])
    assert paired_gain([a], [a[:2]], "mpjpe") is None
    assert paired_gain([a, a[:2]], [a], "mpjpe") is None
    assert paired_gain([a], [a], "accel") is None
    assert paired_gain([], [a], "mpjpe") is None
    longer = [replace(a[0], frames=101), *a[1:]]
    assert paired_gain([longer], [a], "mpjpe") is None


def test_no_gain_from_one_recording():
    a = clips([1.0, 2.0], ["same", "same"])
    assert paired_gain([a], [a], "mpjpe") is None


def test_the_interval_covers_the_true_gain(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 1000)
    generator = np.random.default_rng(0)
    true, hits, trials = -0.5, 0, 300
    for _ in range(trials):
        level = generator.normal(50, 10, size=30)
        gains = true + generator.normal(0, 1, size=30)
        gain = paired_gain([clips(list(level + gains))], [clips(list(level))], "mpjpe")
        hits += gain.low <= true <= gain.high
    # Nominal 0.95; the percentile bootstrap of 30 recordings is known to fall a little short.
    assert 0.90 <= hits / trials <= 0.98
