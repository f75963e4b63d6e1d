"""Errors of predicted poses: pure functions of arrays, in float64, and how each is printed.

Axes: T frames, J joints, D dimensions; leading axes are batch. NaN (a missed detection) makes the
error of its frame NaN; protocols decide what to do with those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.alignment import aligned_error
from bench.config import nearest_names
from bench.contracts import BadInput
from bench.data.rotations import angle_between, sixd_to_matrix

Float = NDArray[np.float64]
Poses = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is printed.

    unit: of the printed number, which is `scale` times the stored one (PCK is stored as a share
    and printed in percent); better: which way is good; decimals: as in the published tables.
    """

    label: str
    unit: str
    better: Literal["lower", "higher"]
    decimals: int
    scale: float = 1.0


METRICS: dict[str, MetricInfo] = {
    "mpjpe": MetricInfo("MPJPE", "mm", "lower", 1),
    "pampjpe": MetricInfo("PA-MPJPE", "mm", "lower", 1),
    "accel": MetricInfo("Accel", "mm/frame^2", "lower", 1),
    "pck@0.2": MetricInfo("PCK@0.2", "%", "higher", 1, 100.0),
    "pck@0.1": MetricInfo("PCK@0.1", "%", "higher", 1, 100.0),
    "pck@0.05": MetricInfo("PCK@0.05", "%", "higher", 1, 100.0),
    "pixels": MetricInfo("Joint error", "px", "lower", 2),
    "angle": MetricInfo("Rotation error", "deg", "lower", 2),
    "mpvpe": MetricInfo("MPVPE", "mm", "lower", 1),
}

# What tables without a choice of their own show, the leading metric first, by space.
LEADING: dict[str, tuple[str, ...]] = {
    "3d": ("mpjpe", "accel"),
    "2d": ("pixels", "pck@0.05"),
    "6d": ("angle",),
}

# Motion prediction: up to the horizon or at it, as the protocol says.
HORIZONS_MS = (80, 160, 320, 400, 560, 720, 880, 1000)
METRICS |= {f"mpjpe@{ms}": MetricInfo(f"{ms} ms", "mm", "lower", 1) for ms in HORIZONS_MS}

# What a method costs, per frame but for parameters; not an error, and known without any clip.
COSTS: dict[str, MetricInfo] = {
    "parameters": MetricInfo("#Param", "M", "lower", 2, 1e-6),
    "live": MetricInfo("#Param live", "M", "lower", 2, 1e-6),
    "ratio": MetricInfo("Ratio", "%", "lower", 1, 100.0),
    "macs-published": MetricInfo("MACs as published", "M/frame", "lower", 3, 1e-6),
    "macs": MetricInfo("MACs", "M/frame", "lower", 3, 1e-6),
    "estimator": MetricInfo("Estimator", "G/frame", "lower", 3, 1e-9),
    "total": MetricInfo("Total", "G/frame", "lower", 4, 1e-9),
}
METRICS |= COSTS


def metric_info(name: str) -> MetricInfo:
    """How a metric is printed; `pck@0.2:wrist` is the joint group `wrist` of `pck@0.2`.

    Raises BadInput with the nearest names for an unknown one.
    """
    base, _, group = name.partition(":")
    if base not in METRICS or (group and not base.startswith("pck@")):
        raise BadInput(f"unknown metric '{name}'", hint=nearest_names(base, METRICS))
    info = METRICS[base]
    return replace(info, label=f"{info.label} {group}") if group else info


def joint_error(pred: Poses, truth: Poses) -> Float:
    """Euclidean distance of each joint.

    pred, truth: (..., J, D) in one unit. Returns (..., J) in that unit. Source: spec 3.4.
    """
    difference = np.asarray(pred, np.float64) - np.asarray(truth, np.float64)
    distance: Float = np.sqrt(np.einsum("...d,...d->...", difference, difference))
    return distance


def mpjpe(pred: Poses, truth: Poses) -> Float:
    """Mean per-joint position error of each frame.

    pred, truth: (..., T, J, D) in one unit, both relative to their own root where the data has
    one. Returns (..., T) in that unit. Source: spec 3.4.
    """
    error: Float = joint_error(pred, truth).mean(-1)
    return error


def pampjpe(pred: Poses, truth: Poses) -> Float:
    """MPJPE of each frame after aligning the prediction to the truth by `alignment.procrustes`.

    pred, truth: (..., T, J, D) in one unit. Returns (..., T) in that unit. Frames are aligned one
    by one whatever their number (spec 3.7 q13 describes an evaluation that did not). Source:
    spec 3.4.
    """
    return aligned_error(pred, truth)


def accel(pred: Poses, truth: Poses) -> Float:
    """Acceleration error: mean over joints of the norm of the second difference of the error.

    pred, truth: (..., T, J, D) in one unit. Returns (..., T-2), none for fewer than 3 frames, in
    that unit per frame^2: there is no division by time. Source: spec 3.4.
    """
    difference = np.asarray(pred, np.float64) - np.asarray(truth, np.float64)
    # The second difference is linear: that of the error is the difference of the two.
    second = (
        difference[..., :-2, :, :] - 2 * difference[..., 1:-1, :, :] + difference[..., 2:, :, :]
    )
    error: Float = np.sqrt(np.einsum("...d,...d->...", second, second)).mean(-1)
    return error


def box_size(box: NDArray[Any]) -> Float:
    """The larger side of each box.

    box: (..., 4) x1, y1, x2, y2 in pixels. Returns (...) pixels. Source: spec 3.4.
    """
    sides = box[..., 2:].astype(np.float64) - box[..., :2]
    larger: Float = sides.max(-1)
    return larger


def within(error: Float, size: Poses, alpha: float) -> NDArray[np.bool_]:
    """Which joints are no further from the truth than a share of the person's size.

    error: (..., T, J) of `joint_error` and size: (..., T) in one unit; alpha: the share. Returns
    (..., T, J). A missed joint (NaN) is not.
    """
    correct: NDArray[np.bool_] = error <= alpha * np.asarray(size)[..., None]
    return correct


def pck(pred: Poses, truth: Poses, size: Poses, alpha: float) -> NDArray[np.bool_]:
    """Which joints are correct: no further from the truth than a share of the person's size.

    pred, truth: (..., T, J, D) and size: (..., T) in one unit; alpha: the share. Returns
    (..., T, J). A missed joint (NaN) is wrong. Source: spec 3.4.
    """
    return within(joint_error(pred, truth), size, alpha)


def rotation_error(pred: Poses, truth: Poses) -> Float:
    """Mean over joints of the angle between predicted and true rotation of each frame.

    pred, truth: (..., T, J, 6), made orthonormal here (spec 3.1). Returns (..., T) in degrees;
    NaN where six numbers are no rotation.
    """
    error: Float = np.degrees(angle_between(sixd_to_matrix(pred), sixd_to_matrix(truth))).mean(-1)
    return error
