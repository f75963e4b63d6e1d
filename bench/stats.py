"""Spread over seeds, and gains over a reference with an interval over recordings."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.results import ClipScore

RESAMPLES = 10_000
LEVEL = 0.95

# Resamples drawn at a time: bounds the memory to some 100 MB for thousands of recordings.
_CHUNK = 1000


@dataclass(frozen=True)
class Gain:
    """A method's score minus a reference's, in the metric's unit: negative means lower.

    low, high: the bootstrap interval; recordings: how many independent ones it rests on.
    """

    mean: float
    low: float
    high: float
    recordings: int


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1) over seeds; None in its place for one seed."""
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) if len(values) > 1 else None


def paired_gain(
    scores: Sequence[Iterable[ClipScore]],
    reference: Sequence[Iterable[ClipScore]],
    metric: str,
    *,
    seed: int = 0,
) -> Gain | None:
    """How a method's score differs from a reference's, with a 95 % percentile bootstrap interval.

    scores, reference: for each seed, the clips' scores; seeds are averaged per clip first, so the
    interval tells of other recordings, not of other seeds. Recordings are drawn with replacement,
    all clips of one together, and both methods are scored on the same draw by the weighted mean of
    their clips. The draws depend on `seed` alone. Returns None when the two do not hold the same
    clips, or fewer than 2 recordings.
    """
    ours, theirs = _per_clip(scores, metric), _per_clip(reference, metric)
    if ours is None or theirs is None or ours.keys() != theirs.keys():
        return None
    # Sums over the clips of a recording suffice, since a recording is drawn whole: their columns
    # are weighted score and weight of the method, then of the reference.
    sums: defaultdict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
    for clip in ours:
        (value, weight), (other, other_weight) = ours[clip], theirs[clip]
        sums[clip.recording] += (value * weight, weight, other * other_weight, other_weight)
    if len(sums) < 2:
        return None
    table = np.stack([sums[recording] for recording in sorted(sums)])
    low, high = np.quantile(_resampled(table, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gain(float(_difference(table.sum(0))), float(low), float(high), len(table))


@dataclass(frozen=True)
class _Clip:
    """What must agree for two scores to be of the same thing."""

    name: str
    recording: str
    frames: int


def _per_clip(
    seeds: Sequence[Iterable[ClipScore]], metric: str
) -> dict[_Clip, tuple[float, float]] | None:
    """Every clip's mean score and weight over seeds; None when the seeds hold different clips."""
    runs = [
        {
            _Clip(clip.name, clip.recording, clip.frames): clip.values[metric]
            for clip in clips
            if metric in clip.values
        }
        for clips in seeds
    ]
    if not runs or any(run.keys() != runs[0].keys() for run in runs):
        return None
    return {
        clip: (
            statistics.fmean(run[clip][0] for run in runs),
            statistics.fmean(run[clip][1] for run in runs),
        )
        for clip in runs[0]
    }


def _difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The gain from sums (..., 4) over recordings -> (...)."""
    gain: NDArray[np.float64] = sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]
    return gain


def _resampled(table: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Gains of `RESAMPLES` draws of recordings, from their sums (recordings, 4)."""
    generator = np.random.default_rng(seed)
    gains = []
    for start in range(0, RESAMPLES, _CHUNK):
        size = min(_CHUNK, RESAMPLES - start), len(table)
        drawn = generator.integers(len(table), size=size)
        gains.append(_difference(np.stack([column[drawn].sum(1) for column in table.T], -1)))
    return np.concatenate(gains)


def weighted_means(scores: Iterable[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
    """The weighted mean of every metric over clips that each have (value, weight) of it."""
    totals: dict[str, float] = defaultdict(float)
    weights: dict[str, float] = defaultdict(float)
    for score in scores:
        for name, (value, weight) in score.items():
            totals[name] += value * weight
            weights[name] += weight
    return {name: total / weights[name] for name, total in totals.items()}
