from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.kinematics import forward_kinematics, rotation_matrices


def test_quarter_turns_follow_the_right_hand() -> None:
    quarter = np.pi / 2
    about_x, about_y, about_z = rotation_matrices(quarter * np.eye(3))
    np.testing.assert_allclose(about_x @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(about_y @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(about_z @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_no_angle_is_no_rotation() -> None:
    np.testing.assert_array_equal(rotation_matrices(np.zeros((2, 3))), np.stack([np.eye(3)] * 2))


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.sampled_from([1.0, 1e-5, 1e-10]))
@settings(deadline=None, max_examples=50)
def test_rotations_agree_with_scipy_at_every_angle(vector: list[float], size: float) -> None:
    axis_angle = size * np.array(vector)
    found = rotation_matrices(axis_angle)
    np.testing.assert_allclose(found, Rotation.from_rotvec(axis_angle).as_matrix(), atol=1e-12)
    assert np.linalg.det(found) == pytest.approx(1.0)


def test_an_arm_of_two_bones_bends_as_computed_by_hand() -> None:
    # Shoulder at (1, 1, 1); a 2 m and a 1 m bone along x. The shoulder turns the arm to +y,
    # the elbow turns the lower arm by another quarter to -x.
    offsets = np.array([[0.0, 0, 0], [2, 0, 0], [1, 0, 0]])
    turn = np.array([0, 0, np.pi / 2])
    rotations = rotation_matrices(np.array([turn, turn, np.zeros(3)]))
    placed = forward_kinematics(rotations, offsets, (-1, 0, 1), root=np.ones(3))
    np.testing.assert_allclose(placed, [[1, 1, 1], [1, 3, 1], [0, 3, 1]], atol=1e-12)


def test_frames_and_bodies_are_batched() -> None:
    rng = np.random.default_rng(0)
    vectors, offsets = rng.normal(size=(5, 4, 3)), rng.normal(size=(5, 4, 3))
    root = rng.normal(size=(5, 3))
    parents = (-1, 0, 0, 2)
    together = forward_kinematics(rotation_matrices(vectors), offsets, parents, root)
    assert together.shape == (5, 4, 3)
    for frame in range(5):
        alone = forward_kinematics(
            rotation_matrices(vectors[frame]), offsets[frame], parents, root[frame]
        )
        np.testing.assert_allclose(together[frame], alone, atol=1e-12)


def test_bones_keep_their_length() -> None:
    rng = np.random.default_rng(1)
    offsets = rng.normal(size=(4, 3))
    parents = (-1, 0, 1, 1)
    placed = forward_kinematics(rotation_matrices(rng.normal(size=(9, 4, 3))), offsets, parents)
    for joint, parent in enumerate(parents[1:], start=1):
        length = np.linalg.norm(placed[:, joint] - placed[:, parent], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(offsets[joint]))
