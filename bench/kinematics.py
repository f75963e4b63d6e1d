"""Rotations and forward kinematics of a tree of joints: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Below this angle (rad) the axis is taken from a series instead of a division by the angle.
_SMALL = 1e-8


def rotation_matrices(axis_angle: Floats) -> Floats:
    """Rotation matrices of rotation vectors, by Rodrigues' formula.

    axis_angle: (..., 3), the axis times the angle in radians. Returns (..., 3, 3); they act on
    column vectors and turn right-handedly.
    """
    vectors = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    safe = np.maximum(angle, _SMALL)
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    outer = vectors[..., :, None] * vectors[..., None, :]
    matrices: Floats = (
        np.cos(angle) * np.eye(3)
        + np.sin(safe) / safe * cross.reshape(outer.shape)
        + 2 * np.square(np.sin(safe / 2) / safe) * outer
    )
    return matrices


def forward_kinematics(
    rotations: Floats, offsets: Floats, parents: Sequence[int], root: Floats | None = None
) -> Floats:
    """Joint positions of a tree whose bones are rotated.

    rotations: (..., J, 3, 3), of each joint relative to its parent; offsets: (J, 3) or
    (..., J, 3), from the parent to the joint before any rotation, in any unit; parents: J indices,
    each smaller than its joint's own, -1 for joint 0; root: (..., 3), where joint 0 is (the
    offset of joint 0 is added to it). Returns positions (..., J, 3) in the unit of `offsets`.
    """
    turned: dict[int, Floats] = {}
    placed: list[Floats] = []
    start = np.zeros((*rotations.shape[:-3], 3)) if root is None else root
    for joint, parent in enumerate(parents):
        offset = offsets[..., joint, :]
        rotation = rotations[..., joint, :, :]
        if parent < 0:
            placed.append(start + offset)
            turned[joint] = rotation
            continue
        placed.append(placed[parent] + (turned[parent] @ offset[..., None])[..., 0])
        if joint in parents:
            turned[joint] = turned[parent] @ rotation
    return np.stack(placed, axis=-2)
