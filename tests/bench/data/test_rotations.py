"""Rotations against hand-made matrices and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from bench.contracts import BadInput
from bench.data.rotations import (
    angle_between,
    axis_angle_to_matrix,
    axis_angle_to_sixd,
    matrix_to_sixd,
    sixd_to_matrix,
)

vectors = arrays(np.float64, (4, 3), elements=st.floats(-6, 6))


def test_a_quarter_turn_about_z_by_hand():
    turn = np.array([0, 0, np.pi / 2])
    np.testing.assert_allclose(
        axis_angle_to_matrix(turn), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-7
    )
    np.testing.assert_allclose(axis_angle_to_sixd(turn), [0, -1, 1, 0, 0, 0], atol=1e-7)
    assert axis_angle_to_sixd(turn).dtype == np.float32


def test_no_rotation_and_a_missing_one():
    np.testing.assert_array_equal(axis_angle_to_sixd(np.zeros(3)), [1, 0, 0, 1, 0, 0])
    assert np.isnan(axis_angle_to_sixd(np.full(3, np.nan))).all()


def test_the_six_numbers_are_the_columns_row_by_row():
    matrix = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(matrix_to_sixd(matrix), [0, 1, 3, 4, 6, 7])


@settings(max_examples=50, deadline=None)
@given(vectors)
def test_matrices_agree_with_scipy(axis_angle):
    expected = Rotation.from_rotvec(axis_angle).as_matrix()
    np.testing.assert_allclose(axis_angle_to_matrix(axis_angle), expected, atol=1e-7)


@settings(max_examples=50, deadline=None)
@given(vectors)
def test_six_numbers_give_the_matrix_back(axis_angle):
    matrix = axis_angle_to_matrix(axis_angle)
    np.testing.assert_allclose(sixd_to_matrix(matrix_to_sixd(matrix)), matrix, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (3, 6), elements=st.floats(-9, 9)))
def test_any_six_numbers_become_a_rotation_or_nan(sixd):
    matrix = sixd_to_matrix(sixd)
    whole = np.isfinite(matrix).all((-1, -2))
    columns = sixd.reshape(3, 3, 2)
    area = np.linalg.norm(np.cross(columns[..., 0], columns[..., 1]), axis=-1)
    assert whole[area > 1e-3].all()
    for rotation in matrix[area > 1e-3]:
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-7)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_gram_schmidt_by_hand():
    stretched = np.array([2, 5, 0, 3, 0, 0.0])  # columns (2, 0, 0) and (5, 3, 0)
    np.testing.assert_allclose(sixd_to_matrix(stretched), np.eye(3), atol=1e-12)
    assert np.isnan(sixd_to_matrix(np.array([1, 2, 0, 0, 0, 0.0]))).any()


@pytest.mark.parametrize("angle", [0, 1e-9, 1e-4, 1, 3, np.pi - 1e-6, np.pi])
def test_angles_are_exact_near_zero_and_near_pi(angle):
    start = Rotation.from_rotvec([0.3, -1.2, 0.4])
    axis = np.array([2, -3, 6]) / 7
    one, other = start.as_matrix(), (start * Rotation.from_rotvec(angle * axis)).as_matrix()
    assert angle_between(one, other) == pytest.approx(angle, abs=1e-9)
    assert angle_between(other, one) == pytest.approx(angle, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "shape"),
    [(axis_angle_to_matrix, (5, 4)), (matrix_to_sixd, (3, 2)), (sixd_to_matrix, (4, 5))],
)
def test_other_shapes_are_refused(function, shape):
    with pytest.raises(BadInput, match="expected"):
        function(np.zeros(shape))
