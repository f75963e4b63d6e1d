"""Errors of one clip after spec 3.4, written frame by frame and joint by joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mpjpe(pred: Floats, truth: Floats) -> Floats:
    """(F, J, 3) -> (F,), the mean distance of the joints of each frame."""
    error: Floats = np.linalg.norm(pred - truth, axis=-1).mean(-1)
    return error


def accel(pred: Floats, truth: Floats) -> Floats:
    """(F, J, 3) -> (F - 2,), the error of the second differences."""
    pred_second = pred[:-2] - 2 * pred[1:-1] + pred[2:]
    truth_second = truth[:-2] - 2 * truth[1:-1] + truth[2:]
    error: Floats = np.linalg.norm(pred_second - truth_second, axis=-1).mean(-1)
    return error


def aligned(pred: Floats, truth: Floats) -> Floats:
    """One pose (J, 3) moved onto the true one by scale, rotation and translation."""
    centre_pred, centre_truth = pred.mean(0), truth.mean(0)
    x, y = pred - centre_pred, truth - centre_truth
    u, strength, vt = np.linalg.svd(x.T @ y)
    signs = np.ones(3)
    signs[-1] = np.sign(np.linalg.det(u @ vt))
    scale = (strength * signs).sum() / (x**2).sum()
    moved: Floats = scale * x @ (u * signs) @ vt + centre_truth
    return moved


def pampjpe(pred: Floats, truth: Floats) -> Floats:
    """(F, J, 3) -> (F,), the mean distance after each frame is aligned."""
    moved = [aligned(*pair) for pair in zip(pred, truth, strict=True)]
    return mpjpe(np.stack(moved), truth)


def pck(pred: Floats, truth: Floats, box: NDArray[np.int32], alpha: float) -> Floats:
    """Poses (F, J, 2) and boxes (F, 4) in pixels -> (J,), the share of frames right for a joint."""
    shares = []
    for joint in range(pred.shape[1]):
        right = 0
        for frame in range(len(pred)):
            x1, y1, x2, y2 = box[frame]
            distance = np.linalg.norm(pred[frame, joint] - truth[frame, joint])
            right += distance <= alpha * max(x2 - x1, y2 - y1)
        shares.append(right / len(pred))
    return np.array(shares)
