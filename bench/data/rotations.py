"""Joint rotations: axis-angle as SMPL stores them, matrices, and the 6D form models work on.

The 6D form of a rotation is the first two columns of its matrix, row by row:
R00, R01, R10, R11, R20, R21 (spec 3.1). Everything is vectorised and computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import BadInput

Float64 = NDArray[np.float64]


def axis_angle_to_matrix(axis_angle: NDArray[Any]) -> Float64:
    """(..., 3) axis times angle in radians -> (..., 3, 3) rotation matrices.

    By way of a unit quaternion, the angle being the length of the vector plus 1e-8 in each
    component, so that a rotation by zero has an axis (spec 3.1). NaN gives NaN.
    """
    if axis_angle.shape[-1:] != (3,):
        raise BadInput("not axis-angle vectors", found=axis_angle.shape, expected="(..., 3)")
    vector = axis_angle.astype(np.float64)
    angle = np.linalg.norm(vector + 1e-8, axis=-1, keepdims=True)
    quaternion = np.concatenate([np.cos(angle / 2), np.sin(angle / 2) * vector / angle], axis=-1)
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_sixd(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """(..., 3, 3) rotation matrices -> (..., 6) float32, their first two columns row by row."""
    if matrix.shape[-2:] != (3, 3):
        raise BadInput("not rotation matrices", found=matrix.shape, expected="(..., 3, 3)")
    return matrix[..., :2].reshape(*matrix.shape[:-2], 6).astype(np.float32)


def axis_angle_to_sixd(axis_angle: NDArray[Any]) -> NDArray[np.float32]:
    """(..., 3) axis times angle in radians -> (..., 6) float32."""
    return matrix_to_sixd(axis_angle_to_matrix(axis_angle))


def sixd_to_matrix(sixd: NDArray[Any]) -> Float64:
    """(..., 6) -> (..., 3, 3) rotation matrices, by Gram-Schmidt on the two columns (spec 3.1).

    Any six numbers give a rotation, unless the two columns are parallel or zero: NaN.
    """
    if sixd.shape[-1:] != (6,):
        raise BadInput("not 6D rotations", found=sixd.shape, expected="(..., 6)")
    columns = sixd.astype(np.float64).reshape(*sixd.shape[:-1], 3, 2)
    first, second = columns[..., 0], columns[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = first / np.linalg.norm(first, axis=-1, keepdims=True)
        second = second - (first * second).sum(-1, keepdims=True) * first
        second = second / np.linalg.norm(second, axis=-1, keepdims=True)
        return np.stack([first, second, np.cross(first, second)], axis=-1)


def angle_between(one: NDArray[Any], other: NDArray[Any]) -> Float64:
    """(..., 3, 3) and (..., 3, 3) -> (...), the angle in radians, 0 to pi, from one to the other.

    From sine and cosine both, so that it stays exact near 0 and near pi.
    """
    step = np.swapaxes(one, -1, -2) @ other
    axis = np.stack(
        [
            step[..., 2, 1] - step[..., 1, 2],
            step[..., 0, 2] - step[..., 2, 0],
            step[..., 1, 0] - step[..., 0, 1],
        ],
        axis=-1,
    )
    cosine = np.trace(step, axis1=-2, axis2=-1) - 1
    angle: Float64 = np.arctan2(np.linalg.norm(axis, axis=-1), cosine)
    return angle
