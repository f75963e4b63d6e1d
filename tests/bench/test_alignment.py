"""Similarity transforms: equal to singular vectors wherever those have one answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import alignment
from bench.alignment import aligned_error, procrustes

seeds = st.integers(0, 2**32 - 1)


def one_by_one(pred, truth):
    """Umeyama's alignment of one frame after the other, by its singular vectors."""
    aligned = np.empty(truth.shape)
    for i, (p, t) in enumerate(zip(pred.astype(float), truth.astype(float), strict=True)):
        x, y = p - p.mean(0), t - t.mean(0)
        u, s, vt = np.linalg.svd(x.T @ y)
        turn = np.ones(len(s))
        turn[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
        size = (x * x).sum()
        scale = (s * turn).sum() / size if size > 0 else 0.0
        aligned[i] = x @ (u * turn) @ vt * scale + t.mean(0)
    return aligned


def close(pred, truth):
    expected = one_by_one(pred, truth)
    np.testing.assert_allclose(procrustes(pred, truth), expected, rtol=0, atol=1e-9)
    error = np.linalg.norm(expected - truth, axis=-1).mean(-1)
    np.testing.assert_allclose(aligned_error(pred, truth), error, rtol=1e-9, atol=1e-12)


@settings(max_examples=40)
@given(
    seeds,
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.floats(0.001, 1),
    st.floats(0.001, 1),
    st.booleans(),
)
def test_as_singular_vectors_have_it(seed, unit, second, third, mirrored):
    # From round bodies to lines, seen right or in a mirror.
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=(20, 9, 3)) * [1, second, second * third]
    noise = generator.normal(size=truth.shape) * generator.uniform(0.001, 1, (20, 1, 1))
    pred = truth * [1, 1, -1 if mirrored else 1] + noise * [1, second, second * third]
    close(unit * pred, unit * truth)


@settings(max_examples=25)
@given(
    seeds, st.sampled_from(["flat", "line", "point"]), st.sampled_from(["pred", "truth", "both"])
)
def test_poses_without_depth(seed, shape, which):
    generator = np.random.default_rng(seed)
    rest = {"flat": [1, 1, 0], "line": [1, 0, 0], "point": [0, 0, 0]}[shape]
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    pred, truth = generator.normal(size=(2, 6, 7, 3))
    if which != "truth":
        pred = pred * rest @ rotation + 1
    if which != "pred":
        truth = truth * rest
    # Where the rotation is open, it is so about a line on which one of the two poses lies: the
    # poses may be turned about it, but no distance changes.
    expected = np.linalg.norm(one_by_one(pred, truth) - truth, axis=-1).mean(-1)
    np.testing.assert_allclose(aligned_error(pred, truth), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dims", [1, 2, 4])
def test_other_dimensions_go_the_same_way(dims):
    close(*np.random.default_rng(0).normal(size=(2, 5, 6, dims)))


def test_hardly_any_body_needs_singular_vectors(monkeypatch):
    generator = np.random.default_rng(1)
    truth = generator.normal(size=(1000, 17, 3)) * [0.15, 0.6, 0.08]
    counts = []
    exact = alignment._by_singular_vectors
    monkeypatch.setattr(
        alignment, "_by_singular_vectors", lambda c: counts.append(c.shape[-1]) or exact(c)
    )
    aligned_error(truth + generator.normal(0, 0.03, truth.shape), truth)
    assert sum(counts) < 50


def test_nan_stays_in_its_frame():
    pred, truth = np.random.default_rng(2).normal(size=(2, 4, 5, 3))
    pred[1, 2, 0] = np.nan
    assert np.isnan(aligned_error(pred, truth)).tolist() == [False, True, False, False]
    assert np.isnan(procrustes(pred, truth)).all((1, 2)).tolist() == [False, True, False, False]
