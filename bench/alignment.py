"""Poses moved onto the true ones by similarity transforms, many frames at once.

Axes: F frames, J joints, D dimensions. Frames come last inside, so that every step is one long
vector operation and nothing is done frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Poses = NDArray[np.floating[Any]]

# Frames at a time: what one core's cache holds of 17 joints.
_BLOCK = 1024

# How far the two weaker axes of a frame are from leaving the rotation open, on a scale where the
# strongest is about 1. Closer ones, hardly any among real poses, are left to singular vectors.
_OPEN = 0.02
_STEPS = 12


def procrustes(pred: Poses, truth: Poses) -> Float:
    """Move every predicted pose onto the true one by the best similarity transform.

    Scale, rotation (never a reflection) and translation minimise the squared error of each frame.
    pred, truth: (..., J, D) in one unit. Returns (..., J, D) in that unit; NaN where a frame holds
    NaN. A pose whose joints coincide has no scale: it is moved onto the truth's centre.
    Source: spec 3.4; Umeyama 1991.
    """
    shape = np.broadcast_shapes(pred.shape, truth.shape)
    aligned = np.empty((int(np.prod(shape[:-2])), *shape[-2:]))
    for part, x_DJF, y_DJF in _blocks(pred, truth):
        aligned[part] = _aligned(x_DJF, y_DJF).transpose(2, 1, 0)
    return aligned.reshape(shape)


def aligned_error(pred: Poses, truth: Poses) -> Float:
    """Mean distance over joints after `procrustes`: (..., J, D) in one unit -> (...) in it."""
    shape = np.broadcast_shapes(pred.shape, truth.shape)
    error = np.empty(int(np.prod(shape[:-2])))
    for part, x_DJF, y_DJF in _blocks(pred, truth):
        rest = _aligned(x_DJF, y_DJF)
        rest -= y_DJF
        rest *= rest
        error[part] = np.sqrt(rest.sum(0)).mean(0)
    return error.reshape(shape[:-2])


def _blocks(pred: Poses, truth: Poses) -> Iterator[tuple[slice, Float, Float]]:
    """Parts of all frames, each pose as a contiguous (D, J, F) in float64."""
    shape = np.broadcast_shapes(pred.shape, truth.shape)
    x_FJD, y_FJD = (
        np.broadcast_to(poses, shape).reshape(-1, *shape[-2:]) for poses in (pred, truth)
    )
    for start in range(0, len(x_FJD), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield (
            part,
            x_FJD[part].transpose(2, 1, 0).astype(np.float64, order="C"),
            y_FJD[part].transpose(2, 1, 0).astype(np.float64, order="C"),
        )


def _aligned(x_DJF: Float, y_DJF: Float) -> Float:
    """`procrustes` of one block; x is centred in place."""
    centre = y_DJF.mean(1, keepdims=True)
    x_DJF -= x_DJF.mean(1, keepdims=True)
    covariance = np.einsum("ajf,bjf->abf", x_DJF, y_DJF - centre)
    size = np.einsum("ajf,ajf->f", x_DJF, x_DJF)
    transform, open_ = _transforms(covariance)
    if open_.any():
        transform[..., open_] = _by_singular_vectors(covariance[..., open_])
    transform *= np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    missed = np.isnan(covariance).any((0, 1))
    transform[..., missed] = np.nan
    aligned: Float = np.einsum("abf,ajf->bjf", transform, x_DJF)
    aligned += centre
    return aligned


def _transforms(covariance: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Rotation times the sum of signed singular values of each (3, 3, F), and which are left open.

    Without singular vectors: the sum is the largest root of a quartic, and the rotation is a
    polynomial in the matrix and that root. Source: Markley 1993 (FOAM). Others than (3, 3) are
    left open.
    """
    count = covariance.shape[-1]
    if len(covariance) != 3:
        return np.empty_like(covariance), np.ones(count, np.bool_)
    with np.errstate(all="ignore"):
        norm = np.sqrt(np.einsum("abf,abf->f", covariance, covariance))
        b = covariance / norm
        cofactors = np.empty_like(b)
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for m in range(3):
                n, o = (m + 1) % 3, (m + 2) % 3
                cofactors[i, m] = b[j, n] * b[k, o] - b[j, o] * b[k, n]
        determinant = np.einsum("af,af->f", b[0], cofactors[0])
        constant = 4 * np.einsum("abf,abf->f", cofactors, cofactors)
        # The largest root by Newton's method from above, where it converges without a detour.
        root = np.full(count, np.sqrt(3.0))
        for _ in range(_STEPS):
            square = root * root - 1
            slope = 4 * (root * square - 2 * determinant)
            step = (square * square - 8 * root * determinant - constant) / slope
            root -= step
        cubed = np.einsum("abf,cbf->acf", b, b)
        cubed = np.einsum("acf,cdf->adf", cubed, b)
        for _ in range(2):
            # Once more with the root that the rotation found implies: its error is the square.
            gap = 0.5 * (root * root - 1) * root - determinant
            rotation = (0.5 * (root * root + 1)) * b + root * cofactors - cubed
            rotation /= gap
            root = np.einsum("abf,abf->f", rotation, b)
        sure = (gap > _OPEN) & (np.abs(step) < 1e-6)
        rotation *= root * norm
    return rotation, ~sure


def _by_singular_vectors(covariance: Float) -> Float:
    """`_transforms` of any (D, D, F), one decomposition for each frame."""
    matrix = np.where(np.isnan(covariance), 0.0, covariance).transpose(2, 0, 1)
    u, strength, vt = np.linalg.svd(matrix)
    mirrored = np.linalg.det(u) * np.linalg.det(vt) < 0
    # Turning the weakest axis round is the cheapest way to make a reflection a rotation.
    u[mirrored, :, -1] *= -1
    strength[mirrored, -1] *= -1
    found: Float = (strength.sum(-1)[:, None, None] * np.matmul(u, vt)).transpose(1, 2, 0)
    return found
