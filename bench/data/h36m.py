"""Human3.6M as motion capture plus a real 2D detector: the file layout, cameras and pairing.

`cameras.h5` holds subject{N}/camera{1..4}/{R, T, f, c, k, p, Name}; `S*/MyPoses/3D_positions/*.h5`
world positions ('3D_positions', 96 x T, mm); `S*/StackedHourglass/TAKE.CAMERA.h5` detections
('poses', T x 16 x 2, pixels). 50 frames per second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from bench.contracts import BadInput
from bench.data.clips import Array
from bench.data.npz import guarded, room_for
from bench.data.skeletons import HOURGLASS_14

TRAIN_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
CAMERAS = ("54138969", "55011271", "58860488", "60457274")

# Ground truth lies 30 to 54 px beside the person in these takes of S9.
MISALIGNED = (("S9", "Greeting"), ("S9", "SittingDown 1"), ("S9", "Waiting 1"))

# Image sizes in pixels: two of the cameras record two lines more.
IMAGE = {
    "54138969": (1000, 1002),
    "55011271": (1000, 1000),
    "58860488": (1000, 1000),
    "60457274": (1000, 1002),
}

# Joints of the 32-joint skeleton in the order of skeleton h36m-17, and in the detector's order.
MOCAP_17 = (0, 6, 7, 8, 1, 2, 3, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
MOCAP_DETECTED = (3, 2, 1, 6, 7, 8, 0, 12, 13, 15, 27, 26, 25, 17, 18, 19)

# What cameras.h5 holds of each camera: rotation, position, focal length, centre, distortion.
_CAMERA = {"R": (3, 3), "T": (3,), "f": (2,), "c": (2,), "k": (3,), "p": (2,), "Name": (8,)}

_DETECTOR = (
    "rankle", "rknee", "rhip", "lhip", "lknee", "lankle", "hip", "spine", "thorax", "head",
    "rwrist", "relbow", "rshoulder", "lshoulder", "lelbow", "lwrist",
)  # fmt: skip
# The detector places spine and head elsewhere than the motion capture does: not scored.
SCORED_2D = tuple(_DETECTOR.index(joint) for joint in HOURGLASS_14.joints)


@dataclass(frozen=True)
class Camera:
    """One calibrated camera.

    rotation: (3, 3) as stored, so that row vectors turn by `x @ rotation`; position: (3,) mm;
    focal, centre: (2,) px; radial: (3,); tangential: (2,).
    """

    name: str
    rotation: NDArray[np.float64]
    position: NDArray[np.float64]
    focal: NDArray[np.float64]
    centre: NDArray[np.float64]
    radial: NDArray[np.float64]
    tangential: NDArray[np.float64]

    def to_camera(self, world: NDArray[np.floating]) -> NDArray[np.float64]:
        """World points (..., 3) mm -> camera coordinates (..., 3) mm, z along the view."""
        turned: NDArray[np.float64] = (world - self.position) @ self.rotation
        return turned

    @property
    def lens(self) -> NDArray[np.float64]:
        """Focal length, centre, radial and tangential distortion in one row of nine."""
        return np.concatenate([self.focal, self.centre, self.radial, self.tangential])

    def project(self, world: NDArray[np.floating]) -> NDArray[np.float64]:
        """World points (..., 3) mm -> pixels (..., 2), with lens distortion."""
        pixels: NDArray[np.float64] = project(self.to_camera(world), self.lens)
        return pixels


def project(seen: Any, lens: Any) -> Any:
    """Camera coordinates (..., 3) mm -> pixels (..., 2), with lens distortion.

    lens: (..., 9) as `Camera.lens`. Both NumPy arrays or both torch tensors, and so is what comes.
    """
    flat = seen[..., :2] / seen[..., 2:]
    r2 = (flat**2).sum(-1)[..., None]
    radial = 1 + r2 * (lens[..., 4:5] + r2 * (lens[..., 5:6] + r2 * lens[..., 6:7]))
    crossed = lens[..., [8, 7]]
    # As the data set's own toolbox has it: the product term once, where Brown's model has two.
    tangential = (flat * crossed).sum(-1)[..., None]
    return lens[..., 0:2] * (flat * (radial + tangential) + r2 * crossed) + lens[..., 2:4]


@dataclass(frozen=True)
class Take:
    """One take of one subject: `name` as in the motion-capture file, e.g. 'Walking 1'."""

    subject: str
    name: str
    root: Path

    @property
    def recording(self) -> str:
        """Unique name of what was performed."""
        return f"{self.subject}/{self.name}"

    @property
    def mocap(self) -> Path:
        """The motion-capture file."""
        return self.root / self.subject / "MyPoses/3D_positions" / f"{self.name}.h5"

    def detections(self, camera: str) -> Path:
        """The detector's file for one camera."""
        stem = self.name.replace(" ", "_")
        return self.root / self.subject / "StackedHourglass" / f"{stem}.{camera}.h5"

    @cached_property
    def world(self) -> NDArray[np.float32]:
        """Joint positions (T, 32, 3), mm, world coordinates."""
        positions = _array(self.mocap, "3D_positions")
        if positions.ndim != 2 or positions.shape[0] != 96:
            raise BadInput(
                "not a motion-capture file",
                file=self.mocap,
                clip=self.recording,
                found=positions.shape,
                expected="(96, T)",
            )
        if not np.isfinite(positions).all():
            raise BadInput(
                "the truth is not finite",
                file=self.mocap,
                clip=self.recording,
                hint="remove the take",
            )
        return np.ascontiguousarray(positions.T).reshape(-1, 32, 3).astype(np.float32)

    def pixels(self, camera: str) -> Array:
        """Detections (T, 16, 2), px, of as many frames as the motion capture."""
        file = self.detections(camera)
        poses = _array(file, "poses").astype(np.float32)
        if poses.shape != (len(self.world), 16, 2):
            raise BadInput(
                "detections and truth differ in length or joints",
                file=file,
                clip=f"{self.recording}/{camera}",
                found=poses.shape,
                expected=(len(self.world), 16, 2),
                hint="use detections and truth of the same release",
            )
        return poses


def find(root: Path) -> Path | None:
    """The folder with `cameras.h5`: `root` itself or its subfolder `h36m`."""
    return next((path for path in (root, root / "h36m") if (path / "cameras.h5").is_file()), None)


def cameras(root: Path) -> dict[tuple[str, str], Camera]:
    """Every camera of every subject, by (subject, camera name)."""
    file = root / "cameras.h5"
    found = {}
    with _open(file) as store:
        for subject in (*TRAIN_SUBJECTS, *TEST_SUBJECTS):
            for number in range(1, 5):
                part = _camera(store, f"subject{subject[1:]}/camera{number}", file)
                name = "".join(chr(int(code)) for code in part["Name"])
                found[subject, name] = Camera(
                    name, part["R"], part["T"], part["f"], part["c"], part["k"], part["p"]
                )
    for subject, name in product((*TRAIN_SUBJECTS, *TEST_SUBJECTS), CAMERAS):
        if (subject, name) not in found:
            raise BadInput("no camera of this name", file=file, expected=f"{name} of {subject}")
    return found


def takes(root: Path, subjects: tuple[str, ...]) -> Iterator[Take]:
    """Takes that have motion capture and are aligned with the video, sorted by name."""
    for subject in subjects:
        folder = root / subject / "MyPoses/3D_positions"
        names = sorted(path.stem for path in folder.glob("*.h5"))
        if not names:
            raise BadInput(
                "no motion capture", file=folder, expected="*.h5", hint="see docs/data.md"
            )
        for name in names:
            if (subject, name) not in MISALIGNED:
                yield Take(subject, name, root)


def missing(root: Path) -> tuple[str, ...]:
    """Files whose counterpart is absent, by name: takes without motion capture or detections."""
    lines = []
    for subject in (*TRAIN_SUBJECTS, *TEST_SUBJECTS):
        detected = {path.name for path in (root / subject / "StackedHourglass").glob("*.h5")}
        seen = {name.rsplit(".", 2)[0].replace("_", " ") for name in detected}
        have = {path.stem for path in (root / subject / "MyPoses/3D_positions").glob("*.h5")}
        lines += [f"{subject}/{name} (motion capture)" for name in sorted(seen - have)]
        for name in sorted(have):
            stem = name.replace(" ", "_")
            lines += [
                f"{subject}/{name}/{camera} (detections)"
                for camera in CAMERAS
                if f"{stem}.{camera}.h5" not in detected
            ]
    return tuple(lines)


def views(root: Path, subjects: tuple[str, ...]) -> Iterator[tuple[Take, Camera, Array]]:
    """Every (take, camera, detections (T, 16, 2) px) that exists, takes and cameras sorted."""
    rig = cameras(root)
    for subject in subjects:
        seen = 0
        for take in takes(root, (subject,)):
            for camera in CAMERAS:
                if take.detections(camera).is_file():
                    yield take, rig[subject, camera], take.pixels(camera)
                    seen += 1
        if not seen:
            raise BadInput(
                "no detections of any take",
                file=root / subject / "StackedHourglass",
                expected="TAKE.CAMERA.h5",
                hint="see docs/data.md",
            )


@contextmanager
def _open(file: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; what its damage makes the library raise becomes BadInput."""
    with guarded(file, "copy the file again"):
        if not file.is_file():
            raise FileNotFoundError("no such file")
        with h5py.File(file, "r") as store:
            yield store


def _numbers(store: h5py.File, key: str, file: Path) -> NDArray[np.floating]:
    """The numbers under a name; BadInput for what is not in this very file, or not in full.

    HDF5 can point to other files, and can claim any number of values that were never written.
    """
    group: Any = store
    for part in key.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise BadInput("numbers are missing", file=file, found=list(store), expected=f"'{key}'")
        group = group[part]
    values = group
    if not isinstance(values, h5py.Dataset) or values.dtype.kind not in "iuf":
        raise BadInput("numbers are missing", file=file, expected=f"'{key}'")
    if values.external or values.is_virtual or values.nbytes > room_for(file):
        raise BadInput(
            "numbers that the file cannot hold",
            file=file,
            found=f"'{key}' of shape {values.shape}",
            hint="do not trust this file",
        )
    found: NDArray[np.floating] = np.asarray(values)
    return found


def _camera(store: h5py.File, group: str, file: Path) -> dict[str, NDArray[np.float64]]:
    """The numbers of one camera, by the names they have in the file."""
    part = {}
    for key, shape in _CAMERA.items():
        values = _numbers(store, f"{group}/{key}", file)
        if values.size != np.prod(shape):
            raise BadInput(
                "a camera is not complete",
                file=file,
                found=values.size,
                expected=f"{group}/{key} with {np.prod(shape)} numbers",
            )
        part[key] = values.astype(float).reshape(shape)
    return part


def _array(file: Path, key: str) -> NDArray[np.floating]:
    with _open(file) as store:
        return _numbers(store, key, file)
