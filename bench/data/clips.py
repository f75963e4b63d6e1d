"""The types every loader produces: skeleton, clip, dataset.

Spaces: '3d' positions in metres, relative to the root joints; '2d' positions in pixels;
'6d' rotations (first two columns of each joint's matrix, no unit).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contracts import BadInput

if TYPE_CHECKING:
    from bench.data.body import BodyModel

Array = NDArray[np.float32]
Space = Literal["3d", "2d", "6d"]
Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
DIMS: dict[Space, int] = {"3d": 3, "2d": 2, "6d": 6}
UNITS: dict[Space, str] = {"3d": "m", "2d": "px", "6d": "-"}

# How many numbers the shape of a body has.
BODY_SHAPE = 10

# No two joints of one body are further apart; catches millimetres read as metres.
_LARGEST_BODY_M = 3.0

_TAKE = re.compile(r"(.*?[^\d _-])[ _-]*(\d+)")


@dataclass(frozen=True)
class Skeleton:
    """Joint names in order, the root joints (their mean is the origin in 3D), and named groups.

    groups: column name -> joint indices, under the joints' right names. published_groups: the
    same as an earlier evaluation printed them, where it mislabelled joints (spec 3.7 q6). copies:
    for each joint, how many joints of the original skeleton have its position, itself included,
    and fixed: how many never move; both count in the published mean of motion prediction
    (spec 4.5). parents: for each joint the index of its parent, -1 for the origin; draws bones.
    """

    name: str
    joints: tuple[str, ...]
    root: tuple[int, ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    published_groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    copies: tuple[int, ...] = ()
    fixed: int = 0
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Clip:
    """One person in one video.

    name: unique in its dataset; recording: what was performed once (clips of one recording,
    seen by several cameras, are not independent); detected, truth: (T, J, D) float32 in the
    dataset's unit, NaN in `detected` marks a missed joint; image: width and height in pixels,
    box: (T, 4) x1, y1, x2, y2 of the person in pixels (both 2D only); detected_shape,
    truth_shape: (T, 10) float32, the shape of the body whose rotations the poses are (6D only).
    """

    name: str
    recording: str
    detected: Array
    truth: Array
    image: tuple[int, int] | None = None
    box: Array | None = None
    detected_shape: Array | None = None
    truth_shape: Array | None = None

    @property
    def frames(self) -> int:
        """T, the number of frames."""
        return len(self.truth)

    @property
    def missed(self) -> int:
        """How many joint detections are missing (NaN)."""
        missed = np.isnan(self.detected)
        return int(missed.any(-1).sum()) if missed.any() else 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, validation and test clips with one skeleton, one space and one frame rate.

    name: as in configs/datasets; title: as in tables; estimator: what made `detected`; origin:
    where the data came from, in words for a caption; standin: synthetic clips in place of data
    that is not on this machine; notes: what every output must say (clips left out, overlaps);
    fingerprint: changes when any number in the clips or the body does; body: what makes joint
    positions of rotations, where the clips have shapes and the model is on this machine; counted:
    how many joint detections a split misses, where that was counted as it was prepared.
    """

    name: str
    title: str
    estimator: str
    space: Space
    fps: float
    skeleton: Skeleton
    clips: Mapping[Split, tuple[Clip, ...]]
    origin: str
    standin: bool = False
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    body: BodyModel | None = None
    counted: Mapping[Split, int] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit of the clips: m, px or - (rotations)."""
        return UNITS[self.space]


class Place(NamedTuple):
    """Where a recording belongs; sorts as the literature does, the second take before the tenth.

    subject: empty where the name has none; take: 0 where the name has no number.
    """

    subject: str
    action: str
    take: int


def place_of(recording: str) -> Place:
    """Subject, action and take of a name: `S5/walking_2`, `S9/Walking 2`, `S9/Walking`.

    What is not named by action has the rest of its name as the action: `test` of `test-003`.
    """
    subject, _, rest = recording.rpartition("/")
    parts = _TAKE.fullmatch(rest)
    return Place(subject, parts[1], int(parts[2])) if parts else Place(subject, rest, 0)


def to_root(poses: Array, root: tuple[int, ...]) -> Array:
    """Poses (T, J, D) relative to the mean of their root joints; unchanged without any."""
    if not root:
        return poses
    relative: Array = poses - poses[:, list(root)].mean(axis=1, keepdims=True)
    return relative


def check_clip(clip: Clip, skeleton: Skeleton, space: Space, file: object = None) -> None:
    """Raise BadInput unless the clip has the dataset's shape, finite truth and a likely unit."""
    expected = (len(skeleton.joints), DIMS[space])
    for what, poses in (("detected", clip.detected), ("truth", clip.truth)):
        if poses.ndim != 3 or poses.shape[1:] != expected:
            raise BadInput(
                f"{what} poses have the wrong shape",
                file=file,
                clip=clip.name,
                found=poses.shape,
                expected=f"(frames, {expected[0]} joints of {skeleton.name}, {expected[1]})",
                hint="check that the file belongs to this dataset",
            )
    if len(clip.detected) != len(clip.truth):
        raise BadInput(
            "detections and truth differ in length",
            file=file,
            clip=clip.name,
            found=f"{len(clip.detected)} detected frames",
            expected=f"{len(clip.truth)}",
            hint="use detections and truth of the same release",
        )
    if clip.frames == 0:
        raise BadInput("the clip has no frames", file=file, clip=clip.name)
    if not np.isfinite(clip.truth).all():
        frame = int(np.argwhere(~np.isfinite(clip.truth))[0][0])
        raise BadInput(
            "the truth is not finite",
            file=file,
            clip=clip.name,
            found=f"NaN or infinity at frame {frame}",
            expected="finite numbers",
            hint="remove the clip or repair its truth",
        )
    if np.isinf(clip.detected).any():
        raise BadInput(
            "a detection is infinite", file=file, clip=clip.name, expected="NaN if missed"
        )
    if space == "6d":
        _check_shapes(clip, file)
    if space == "3d":
        reach = float(np.abs(to_root(clip.truth, skeleton.root)).max())
        if reach > _LARGEST_BODY_M:
            raise BadInput(
                "the truth cannot be in metres",
                file=file,
                clip=clip.name,
                found=f"a joint {reach:.4g} from the root",
                expected=f"at most {_LARGEST_BODY_M:g} m",
                hint="convert the file to metres",
            )
    if space == "2d":
        if clip.image is None or clip.box is None:
            raise BadInput("a 2D clip needs an image size and boxes", file=file, clip=clip.name)
        if clip.box.shape != (clip.frames, 4):
            raise BadInput(
                "boxes have the wrong shape",
                file=file,
                clip=clip.name,
                found=clip.box.shape,
                expected=(clip.frames, 4),
            )
        if not np.isfinite(clip.box).all() or (clip.box[:, 2:] <= clip.box[:, :2]).any():
            raise BadInput(
                "a box is empty or not finite",
                file=file,
                clip=clip.name,
                expected="x1 < x2, y1 < y2",
            )


def _check_shapes(clip: Clip, file: object) -> None:
    """Raise BadInput unless shapes are there for both or neither, one row of 10 for each frame."""
    if clip.detected_shape is None and clip.truth_shape is None:
        return
    expected = (clip.frames, BODY_SHAPE)
    for what, shape in (("detected", clip.detected_shape), ("true", clip.truth_shape)):
        if shape is None or shape.shape != expected:
            raise BadInput(
                f"the {what} body shapes have the wrong shape",
                file=file,
                clip=clip.name,
                found=None if shape is None else shape.shape,
                expected=expected,
                hint="use detections and truth of the same release",
            )
    if clip.truth_shape is not None and not np.isfinite(clip.truth_shape).all():
        raise BadInput("the true body shapes are not finite", file=file, clip=clip.name)


def missed(dataset: Dataset, split: Split = "test") -> int:
    """How many joint detections of a split are missing (NaN)."""
    if split in dataset.counted:
        return dataset.counted[split]
    return sum(clip.missed for clip in dataset.clips[split])
