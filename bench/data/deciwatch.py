"""The file layout of the DeciWatch release: detections and truth of four datasets (spec 3.1).

`groundtruth_poses/DATASET/DATASET_gt_{train,test}.npz` and
`detected_poses/DATASET/ESTIMATOR/DATASET_ESTIMATOR_{train,test}.npz`; every key is an object array
with one entry per sequence (a person in a video), every entry has one row per frame.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.config import DatasetConfig, Source, nearest_names
from bench.contracts import BadInput
from bench.data.assembly import assemble
from bench.data.body import BodyModel
from bench.data.clips import (
    BODY_SHAPE,
    DIMS,
    Array,
    Clip,
    Dataset,
    Space,
    Split,
    check_clip,
    to_root,
)
from bench.data.npz import read_npz
from bench.data.rotations import axis_angle_to_sixd
from bench.data.skeletons import SKELETONS

_HINT = "docs/data.md says where to get it"
_SPACES: dict[str, Space] = {"3d": "3d", "2d": "2d", "smpl": "6d"}
_SMPL_JOINTS = 24
_BARE = ("MPJPE, PA-MPJPE, Accel and MPVPE need the SMPL body model: docs/data.md",)


@dataclass(frozen=True)
class _Files:
    """What the files of one dataset hold: `joints` per row, of which `order` is used.

    mean_shape: the truth has no shapes of bodies, and its bodies are of mean shape (spec 3.7 q14).
    """

    estimators: tuple[str, ...]
    joints: int
    representations: tuple[str, ...]
    order: tuple[int, ...] | None = None
    mean_shape: bool = False


_DATASETS = {
    "h36m": _Files(("fcn",), 17, ("3d",)),
    "pw3d": _Files(
        ("spin", "eft", "pare"),
        17,
        ("3d", "smpl"),
        order=(6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10),
    ),
    "aist": _Files(("spin",), 14, ("3d", "smpl"), mean_shape=True),
    "jhmdb": _Files(("simplepose",), 15, ("2d",)),
}

_Part = Literal["train", "test"]


class _Sequence(NamedTuple):
    """A clip with the names of its images, (T,) strings."""

    clip: Clip
    images: NDArray[Any]


class _Entry(NamedTuple):
    """What a key holds for one sequence, and where that stands."""

    value: object
    key: str
    file: Path
    clip: str

    def wrong(self, problem: str, found: object = None, expected: object = None) -> BadInput:
        """An error that names file, clip and key."""
        hint = "check that the file belongs to this dataset"
        return BadInput(
            f"{self.key} {problem}",
            file=self.file,
            clip=self.clip,
            found=found,
            expected=expected,
            hint=hint,
        )

    def names(self) -> NDArray[Any]:
        """Image names, (T,) strings."""
        names = np.asarray(self.value).reshape(-1)
        if names.dtype.kind == "S":
            names = np.char.decode(names, "latin-1")
        words = names.dtype.kind == "U" or all(isinstance(name, str) for name in names)
        # The first names the clip, and reaches terminals and files.
        if not names.size or not words or not names[0].isprintable() or not names[0]:
            raise self.wrong("is no list of image names")
        return names

    def numbers(self) -> Array:
        """Numbers in the shape of the file, as float32."""
        numbers = np.asarray(self.value)
        try:
            if numbers.dtype.kind in "biufO":
                with np.errstate(over="ignore"):  # what becomes infinite is refused as such
                    return numbers.astype(np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.wrong("holds no numbers") from error
        raise self.wrong("holds no numbers")

    def rows(self, *row: int) -> Array:
        """Numbers as (T, *row); the rows may come flat, and a single one without its axis."""
        numbers = self.numbers()
        if np.isinf(numbers).any():  # relative to an infinite root it would look missed
            raise self.wrong("is infinite", expected="numbers, or NaN for a missed detection")
        width = math.prod(row)
        for shape in (row, (width,)):
            if numbers.shape == shape:
                return numbers.reshape(1, *row)
            if numbers.ndim > 1 and numbers.shape[1:] == shape:
                return numbers.reshape(len(numbers), *row)
        raise self.wrong("has the wrong shape", numbers.shape, f"(frames, {width})")

    def image(self) -> tuple[int, int]:
        """(width, height) from (height, width) or (height, width, channels), once or per frame."""
        sizes = self.numbers()
        rows = sizes.reshape(1, -1) if sizes.ndim < 2 else sizes
        if rows.ndim != 2 or not len(rows) or rows.shape[1] not in (2, 3):
            raise self.wrong("has the wrong shape", sizes.shape, "(height, width)")
        if (rows != rows[0]).any() or not np.isfinite(rows[0]).all() or (rows[0] < 1).any():
            raise self.wrong("is not one image size", rows[0], "positive, the same at every frame")
        return int(rows[0, 1]), int(rows[0, 0])


def find(root: Path) -> Path | None:
    """The folder that holds groundtruth_poses/ and detected_poses/: root, or root/deciwatch."""
    for folder in (root, root / "deciwatch"):
        if (folder / "groundtruth_poses").is_dir() and (folder / "detected_poses").is_dir():
            return folder
    return None


def available(root: Path) -> list[tuple[str, str]]:
    """The pairs (dataset, estimator) whose four files are all there; none without the layout."""
    folder = find(root)
    if folder is None:
        return []
    return [
        (dataset, estimator)
        for dataset, files in _DATASETS.items()
        for estimator in files.estimators
        if all(
            path.is_file()
            for part in ("train", "test")
            for path in _paths(folder, dataset, estimator, part)
        )
    ]


def files(root: Path, source: Source) -> list[Path]:
    """The four files that a source is read from, there or not; none without the layout."""
    folder = find(root)
    if folder is None:
        return []
    return [
        path
        for part in ("train", "test")
        for path in _paths(folder, source.dataset, source.estimator, part)
    ]


def holds(root: Path, source: Source) -> bool:
    """Whether a source can be read from here; BadInput when only some of its files are there.

    Truth is shared by the estimators of a dataset, so the folder of detections is what tells.
    """
    if (source.dataset, source.estimator) in available(root):
        return True
    paths = files(root, source)
    if not paths or not paths[-1].parent.is_dir():
        return False
    raise BadInput(
        "no such file",
        file=next(path for path in paths if not path.is_file()),
        expected=f"all four files of {source.dataset} with {source.estimator}",
        hint=_HINT,
    )


def load(
    root: Path,
    source: Source,
    config: DatasetConfig,
    name: str,
    body: BodyModel | None = None,
) -> Dataset:
    """Read one dataset: training clips (about a tenth held out for validation) and test clips.

    root: a folder in which `find` finds the layout; source: which dataset, estimator and
    representation; config: title, skeleton and frame rate; name: the dataset's name; body: the
    model that SMPL poses are rotations of.
    3D poses are made relative to the root joints, truth and detections each to their own; 2D poses
    stay in pixels; SMPL poses become 6D rotations of 24 joints, with shapes. BadInput names the
    file and clip when one is missing, does not fit the dataset, or truth and detections do not
    belong together.
    """
    folder = find(root)
    if folder is None:
        raise BadInput(
            "no DeciWatch layout", file=root, expected="groundtruth_poses/ and detected_poses/"
        )
    _check_source(source, config, name)
    # Test clips are named first: what is added to the training files never renames them.
    taken: set[str] = set()
    test, strange = _read(folder, source, config, "test", taken)
    train, more = _read(folder, source, config, "train", taken)
    held = held_out({sequence.clip.recording for sequence in train})
    clips: dict[Split, list[Clip]] = {
        "train": [s.clip for s in train if s.clip.recording not in held],
        "validation": [s.clip for s in train if s.clip.recording in held],
        "test": [s.clip for s in test],
    }
    return assemble(
        name,
        config,
        clips,
        f"the DeciWatch files of {source.dataset} with {source.estimator}",
        notes=_notes(train, test, strange + more) + (() if body or not is_body(source) else _BARE),
        body=body,
    )


def is_body(source: Source) -> bool:
    """Whether a source's poses are rotations of a body, whose model `load` can be given."""
    return source.representation == "smpl"


def held_out(recordings: Iterable[str]) -> frozenset[str]:
    """Which training recordings serve as validation: subject S8, or else about a tenth.

    The tenth is chosen by a hash of each recording's name alone, so that more recordings move no
    earlier one to the other side; it is at least one recording and never all of them. BadInput
    when there is only one recording.
    """
    ranked = sorted(set(recordings), key=_hash)
    if len(ranked) < 2:
        raise BadInput(
            "the training file cannot be divided into training and validation",
            found=f"{len(ranked)} recording",
            expected="at least 2",
        )
    subject = [recording for recording in ranked if recording.startswith("S8/")]
    if 0 < len(subject) < len(ranked):
        return frozenset(subject)
    tenth = [recording for recording in ranked if _hash(recording)[0] < 26]
    return frozenset((tenth or ranked[:1])[: len(ranked) - 1])


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _paths(folder: Path, dataset: str, estimator: str, part: str) -> tuple[Path, Path]:
    return (
        folder / "groundtruth_poses" / dataset / f"{dataset}_gt_{part}.npz",
        folder / "detected_poses" / dataset / estimator / f"{dataset}_{estimator}_{part}.npz",
    )


def _check_source(source: Source, config: DatasetConfig, name: str) -> None:
    files = _DATASETS.get(source.dataset)
    if files is None:
        raise BadInput(
            f"the DeciWatch layout has no dataset '{source.dataset}'",
            hint=nearest_names(source.dataset, _DATASETS),
        )
    for what, value, known in (
        ("estimator", source.estimator, files.estimators),
        ("representation", source.representation, files.representations),
    ):
        if value not in known:
            raise BadInput(
                f"the DeciWatch layout has no {what} '{value}' of {source.dataset}",
                hint=nearest_names(value, known),
            )
    used = (
        _SMPL_JOINTS if source.representation == "smpl" else len(files.order or ()) or files.joints
    )
    skeleton = SKELETONS.get(config.skeleton)
    if skeleton is None or len(skeleton.joints) != used:
        raise BadInput(
            f"the skeleton of dataset {name} does not fit its files",
            found=config.skeleton,
            expected=f"one of {used} joints",
        )
    if config.space != _SPACES[source.representation]:
        raise BadInput(
            f"the space of dataset {name} does not fit its files",
            found=config.space,
            expected=_SPACES[source.representation],
        )


def _read(
    folder: Path, source: Source, config: DatasetConfig, part: _Part, taken: set[str]
) -> tuple[list[_Sequence], int]:
    """The sequences of one pair of files, and how many differ in their image names."""
    truth_path, detected_path = _paths(folder, source.dataset, source.estimator, part)
    field = {"3d": "joints_3d", "2d": "joints_2d", "smpl": "pose"}[source.representation]
    flat = source.representation == "2d"
    shape = ("shape",) if is_body(source) else ()
    detected_keys = ("imgname", field, *shape)
    mean_shape = _DATASETS[source.dataset].mean_shape
    truth_keys = (
        *("imgname", field),
        *(("imgshape", "bbox") if flat else ()),
        *(() if mean_shape else shape),
    )
    truth = _columns(truth_path, truth_keys)
    detected = _columns(detected_path, detected_keys)
    total = len(truth["imgname"])
    if len(detected[field]) != total:
        raise BadInput(
            "detections and truth differ in the number of sequences",
            file=detected_path,
            found=len(detected[field]),
            expected=f"{total} as in {truth_path.name}",
            hint="use detections and truth of the same release",
        )
    sequences = []
    strange = 0
    for index in range(total):
        images = _Entry(
            truth["imgname"][index], "imgname", truth_path, f"number {index + 1}"
        ).names()
        video = images[0].rpartition("/")[0] or images[0]
        name = _unused(video, taken)
        known = {key: _Entry(truth[key][index], key, truth_path, name) for key in truth_keys}
        seen = {key: _Entry(detected[key][index], key, detected_path, name) for key in detected}
        poses = _poses(known[field], source, config)
        clip = Clip(
            name=name,
            recording=_recording(video, source.dataset),
            detected=_poses(seen[field], source, config),
            truth=poses,
            image=known["imgshape"].image() if flat else None,
            box=known["bbox"].rows(4) if flat else None,
        )
        if shape:
            mean = np.zeros((len(poses), BODY_SHAPE), np.float32)
            clip = replace(
                clip,
                detected_shape=seen["shape"].rows(BODY_SHAPE),
                truth_shape=mean if mean_shape else known["shape"].rows(BODY_SHAPE),
            )
        check_clip(clip, SKELETONS[config.skeleton], config.space, file=detected_path)
        if len(images) != clip.frames:
            raise known["imgname"].wrong("and poses differ in length", len(images), clip.frames)
        strange += not np.array_equal(seen["imgname"].names(), images)
        sequences.append(_Sequence(clip, images))
    return sequences, strange


def _unused(video: str, taken: set[str]) -> str:
    """The video's name, with a number where there are several persons or copies of it."""
    names = chain([video], (f"{video}#{number}" for number in count(2)))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _columns(path: Path, keys: Collection[str]) -> dict[str, NDArray[Any]]:
    """The wanted arrays of a file, each with the same number of sequences."""
    if not path.is_file():
        raise BadInput("no such file", file=path, hint=_HINT)
    columns = read_npz(path, keys)
    for key in keys:
        if key not in columns:
            raise BadInput(f"no key '{key}'", file=path, found=", ".join(columns), hint=_HINT)
        if columns[key].ndim == 0 or len(columns[key]) == 0:
            raise BadInput(f"key '{key}' holds no sequences", file=path, hint=_HINT)
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput("the keys differ in the number of sequences", file=path, found=lengths)
    return columns


def _poses(entry: _Entry, source: Source, config: DatasetConfig) -> Array:
    """The poses of one sequence as the dataset has them, (T, J, D) float32."""
    if source.representation == "smpl":
        return axis_angle_to_sixd(entry.rows(_SMPL_JOINTS, 3))
    files = _DATASETS[source.dataset]
    poses = entry.rows(files.joints, DIMS[config.space])
    if files.order is not None:
        poses = poses[:, list(files.order)]
    return to_root(poses, SKELETONS[config.skeleton].root)


def _recording(video: str, dataset: str) -> str:
    """What was performed once, whichever camera saw it (spec 3.1)."""
    if dataset == "h36m":
        subject, _, rest = video.partition("/")
        return f"{subject}/{rest.partition('/')[0]}" if rest else video
    # AIST++ names a take seen by all its cameras cAll, by one of them c01 to c09.
    return re.sub(r"_c\d\d_", "_cAll_", video) if dataset == "aist" else video


def _overlap(train: list[_Sequence], test: list[_Sequence]) -> list[str]:
    """How much of the test file is in the training file too, by image names (spec 3.7 q8)."""
    # Only what both files recorded can be in both: names are kept of that alone.
    learned: dict[str, set[str]] = {sequence.clip.recording: set() for sequence in test}
    for sequence in train:
        if sequence.clip.recording in learned:
            learned[sequence.clip.recording].update(sequence.images)
    shared = [sum(image in learned[s.clip.recording] for image in s.images) for s in test]
    if not any(shared):
        return []
    clips, frames = sum(map(bool, shared)), sum(s.clip.frames for s in test)
    return [
        f"{clips} of {len(test)} test clips are in the training file too ({sum(shared)} of"
        f" {frames} frames, by image names): scores on them are training scores"
    ]


def _notes(train: list[_Sequence], test: list[_Sequence], strange: int) -> tuple[str, ...]:
    notes = _overlap(train, test)
    missed = [s.clip for s in (*train, *test) if np.isnan(s.clip.detected).any()]
    if missed:
        notes.append(f"{len(missed)} clips hold missed detections (NaN)")
    if strange:
        notes.append(
            f"{strange} clips have other image names in the detections than in the truth:"
            " check that both are of one release"
        )
    return tuple(notes)
