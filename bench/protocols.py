"""Protocols: what turns recovered windows into one number (docs/protocols.md).

Those of motion prediction are in `bench.horizons`; `protocol` finds both.

Axes: N windows of T frames, B windows, P = J*D values of a flat pose, F scored frames of one clip.
Model space: 3D in metres relative to the root, 2D divided by the image's width and height, 6D
rotations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import horizons, metrics
from bench.config import Task, nearest_names
from bench.contracts import BadInput, Window
from bench.data import body
from bench.data.body import Shapes
from bench.data.clips import Array, Skeleton, Space, to_root
from bench.data.skeletons import BODY_14
from bench.horizons import HorizonProtocol
from bench.metrics import Float
from bench.stats import weighted_means

Boxes = NDArray[np.number[Any]]
Score = dict[str, tuple[float, float]]

_SPACE_METRICS: dict[Space, tuple[str, ...]] = {
    "3d": ("mpjpe", "pampjpe", "accel"),
    "2d": ("pck@0.2", "pck@0.1", "pck@0.05", "pixels"),
    "6d": ("angle", "mpjpe", "pampjpe", "accel", "mpvpe"),
}
_MM = 1000.0


def space_metrics(space: Space) -> tuple[str, ...]:
    """The metrics of a space, the leading one first; joint groups add `pck@A:GROUP` in 2D.

    All of 6D but the first need a body model (docs/data.md).
    """
    return _SPACE_METRICS[space]


@dataclass(frozen=True)
class Protocol:
    """Everything between recovered windows and a number: windows, frames, joints, averaging.

    name: as in tables; summary: one line for captions and help; every_frame: a last window ends
    at the last frame and short clips are refused, instead of dropping tails and padding;
    pool_frames: PCK is averaged over frames, instead of over clips; right_names: joint groups
    under their right names, instead of the published ones; whole_pixels: boxes are cut to whole
    pixels.
    """

    name: str
    summary: str
    every_frame: bool
    pool_frames: bool
    right_names: bool
    whole_pixels: bool

    task: ClassVar[Task] = "recovery"

    def starts(self, frames: int, window: Window, clip: str = "") -> NDArray[np.int64]:
        """The first frame of every window in a clip of so many frames: 0, K, 2K, ... up to L - T.

        When every frame counts, L - T follows where the grid misses it. A clip shorter than T has
        one window, which the caller pads with zeros, or else is BadInput naming `clip`.
        """
        last = frames - window.frames
        if last < 0 and self.every_frame:
            raise BadInput(
                "the clip is shorter than a window",
                clip=clip or None,
                found=f"{frames} frames",
                expected=f"at least {window.frames}",
                hint="use a smaller Q or protocol deciwatch",
            )
        grid = np.arange(0, max(last, 0) + 1, window.interval)
        return np.append(grid, last) if self.every_frame and grid[-1] < last else grid

    def scored(self, frames: int, window: Window) -> int:
        """F, the frames of the merged sequence of a clip of so many frames, padding included."""
        return int(self.starts(frames, window)[-1]) + window.frames

    def groups(self, skeleton: Skeleton) -> Mapping[str, tuple[int, ...]]:
        """The joint groups PCK is given for, by the name this protocol prints."""
        if self.right_names:
            return skeleton.groups
        return skeleton.published_groups or skeleton.groups

    def score(
        self,
        prediction: Array,
        truth: Array,
        *,
        skeleton: Skeleton,
        space: Space,
        image: tuple[int, int] | None = None,
        box: Boxes | None = None,
        shapes: Shapes | None = None,
    ) -> Score:
        """`scores` of one clip; image: (W, H) in pixels."""
        images = None if image is None else np.array([image])
        (score,) = self.scores(
            prediction,
            truth,
            np.array([len(truth)]),
            skeleton=skeleton,
            space=space,
            images=images,
            box=box,
            shapes=shapes,
        )
        return score

    def scores(
        self,
        prediction: Array,
        truth: Array,
        lengths: NDArray[np.int64],
        *,
        skeleton: Skeleton,
        space: Space,
        images: NDArray[np.int64] | None = None,
        box: Boxes | None = None,
        shapes: Shapes | None = None,
    ) -> list[Score]:
        """Each clip's metrics: name -> (mean, what it counts for in the summary).

        prediction, truth: (F, J, D) in model space, clips end to end; lengths: (C,) frames of each
        clip, at least 1; images: (C, 2) width and height in pixels and box: (F, 4), both for 2D
        only; shapes: (F, 10) each and the body model, for 6D only, without which there are angles
        alone. Units as in `metrics.METRICS`, PCK as a share. Frames with NaN in a metric are left
        out of it, and so is a metric without any frame; in PCK a missed joint is a wrong one.
        """
        if space == "3d":
            return _means(_joint_errors(prediction, truth, skeleton.root, lengths), lengths)
        if space == "6d":
            errors = {"angle": metrics.rotation_error(prediction, truth)}
            if shapes:
                errors |= _body_errors(prediction, truth, shapes, lengths)
            return _means(errors, lengths)
        if images is None or box is None:
            raise BadInput("a 2D clip needs an image size and boxes")
        pixels = np.repeat(images.astype(np.float64), lengths, axis=0)[:, None]
        return self._scores_2d(prediction * pixels, truth * pixels, lengths, skeleton, box)

    def _scores_2d(
        self,
        pred: Float,
        truth: Float,
        lengths: NDArray[np.int64],
        skeleton: Skeleton,
        box: Boxes,
    ) -> list[Score]:
        """`scores` of poses (F, J, 2) in pixels."""
        size = metrics.box_size(box.astype(np.int32) if self.whole_pixels else box)
        error = metrics.joint_error(pred, truth)
        shares: dict[str, Float] = {}
        for name in space_metrics("2d"):
            if not name.startswith("pck@"):
                continue
            correct = metrics.within(error, size, float(name.removeprefix("pck@")))
            # (C, J), the share of a clip's frames.
            joints = _sums(correct, lengths) / lengths[:, None]
            shares[name] = joints.mean(1)
            for group, members in self.groups(skeleton).items():
                shares[f"{name}:{group}"] = joints[:, list(members)].mean(1)
        weights = lengths.astype(float) if self.pool_frames else np.ones(len(lengths))
        rows = np.stack(list(shares.values()), axis=1).tolist()
        return [
            pixels | {name: (value, weight) for name, value in zip(shares, row, strict=True)}
            for pixels, row, weight in zip(
                _means({"pixels": error.mean(1)}, lengths), rows, weights.tolist(), strict=True
            )
        ]

    def summarise(self, scores: Iterable[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
        """The weighted mean over clips of every metric, from what `score` gave for each."""
        return weighted_means(scores)


def _joint_errors(
    prediction: Array, truth: Array, root: tuple[int, ...], lengths: NDArray[np.int64]
) -> dict[str, Float]:
    """Errors in mm of each frame of joints (F, J, 3) in metres, both relative to their own root.

    Accel of the last two frames of a clip is NaN: there is none.
    """
    pair = to_root(prediction, root), to_root(truth, root)
    accel = np.full(len(truth), np.nan)
    accel[:-2] = metrics.accel(*pair)
    ends = np.cumsum(lengths)
    # What reaches over an end belongs to no clip.
    accel[ends - 1] = accel[ends - 2] = np.nan
    return {
        "mpjpe": metrics.mpjpe(*pair) * _MM,
        "pampjpe": metrics.pampjpe(*pair) * _MM,
        "accel": accel * _MM,
    }


def _body_errors(
    prediction: Array, truth: Array, shapes: Shapes, lengths: NDArray[np.int64]
) -> dict[str, Float]:
    """Errors of the bodies that rotations (F, 24, 6) make, of each frame, in mm.

    Joints are relative to their own root, vertices (mpvpe) are not moved (spec 3.4).
    """
    vertex, predicted, true = [], [], []
    for part in body.chunks(len(truth)):
        skin, joints = body.pose(
            shapes.model, prediction[part], shapes.prediction[part], shapes.device
        )
        true_skin, true_joints = body.pose(
            shapes.model, truth[part], shapes.truth[part], shapes.device
        )
        vertex.append(metrics.mpjpe(skin, true_skin) * _MM)
        predicted.append(joints)
        true.append(true_joints)
    joints_of = np.concatenate(predicted), np.concatenate(true)
    return _joint_errors(*joints_of, BODY_14.root, lengths) | {"mpvpe": np.concatenate(vertex)}


def _sums(values: NDArray[Any], lengths: NDArray[np.int64]) -> Float:
    """Sums over each clip's frames: (F, ...) -> (C, ...)."""
    sums: Float = np.add.reduceat(values, np.cumsum(lengths) - lengths, axis=0, dtype=np.float64)
    return sums


def _means(values: Mapping[str, Float], lengths: NDArray[np.int64]) -> list[Score]:
    """Each clip's means of per-frame values and their numbers, without NaN and empty metrics."""
    scores: list[Score] = [{} for _ in lengths]
    for name, value_F in values.items():
        valid = ~np.isnan(value_F)
        count = _sums(valid, lengths)
        mean = _sums(np.where(valid, value_F, 0.0), lengths) / np.maximum(count, 1)
        for score, one, number in zip(scores, mean.tolist(), count.tolist(), strict=True):
            if number:
                score[name] = one, number
    return scores


_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "deciwatch",
            "as published: windows every K frames, averaged where they overlap; last frames that"
            " no window reaches dropped, short clips padded; PCK averaged over clips, under the"
            " published joint names",
            every_frame=False,
            pool_frames=False,
            right_names=False,
            whole_pixels=True,
        ),
        Protocol(
            "pck-pooled",
            "windows, frames and whole pixels as in deciwatch; PCK averaged over frames, under the"
            " right joint names",
            every_frame=False,
            pool_frames=True,
            right_names=True,
            whole_pixels=True,
        ),
        Protocol(
            "full",
            "every frame of every clip once, nothing padded: windows every K frames and one that"
            " ends at the last frame, averaged where they overlap; everything averaged over"
            " frames, under the right joint names",
            every_frame=True,
            pool_frames=True,
            right_names=True,
            whole_pixels=False,
        ),
    )
}


# Scores every frame once: how an estimator itself is judged.
FULL = _PROTOCOLS["full"]

_ALL: dict[str, Protocol | HorizonProtocol] = {**_PROTOCOLS, **horizons.PROTOCOLS}


def protocol_names() -> list[str]:
    """Every protocol."""
    return sorted(_ALL)


def protocol(name: str) -> Protocol | HorizonProtocol:
    """A protocol by name; BadInput with the nearest names when there is none."""
    if name not in _ALL:
        raise BadInput(f"unknown protocol '{name}'", hint=nearest_names(name, _ALL))
    return _ALL[name]


def metrics_of(name: str, space: Space) -> tuple[str, ...]:
    """The metrics that a protocol gives for a dataset of a space."""
    used = protocol(name)
    return space_metrics(space) if isinstance(used, Protocol) else tuple(horizons.METRICS)


def merge(parts: Iterable[Tensor], starts: NDArray[np.int64], frames: int) -> Tensor:
    """One sequence from overlapping windows: the mean, per frame, of all that cover it.

    parts: the windows, some (B, T, P) at a time; starts: (N,) the first frame of each, ascending;
    frames: F, all of them covered. Returns (F, P) in the windows' dtype, added up in the same
    order on every run. Windows are added as they come, so that they are never all in memory; those
    of several clips, laid end to end, are merged at once. Source: spec 3.3.
    """
    total, done, counts_F = None, 0, np.zeros(frames, np.int64)
    for windows in parts:
        length, pose = windows.shape[1:]
        index_BT = starts[done : done + len(windows), None] + np.arange(length)
        done += len(windows)
        covers_F = np.bincount(index_BT.ravel(), minlength=frames)
        counts_F += covers_F
        if total is None:
            total = windows.new_zeros(frames, pose)
        # Windows so many places apart never meet, so that no frame is added to twice in one step
        # and the order of the additions, hence their rounding, is fixed on a GPU too.
        layers = int(covers_F.max()) if windows.is_cuda else 1
        index = torch.from_numpy(index_BT).to(windows.device)
        for layer in range(layers):
            total.index_add_(
                0, index[layer::layers].flatten(), windows[layer::layers].reshape(-1, pose)
            )
    if total is None:
        raise ValueError("no windows to merge")
    return total / torch.from_numpy(counts_F).to(total)[:, None]
