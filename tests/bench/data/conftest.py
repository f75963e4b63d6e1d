"""A small folder in the layout of raw Human3.6M, with everything in it that the real one has."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
# The mocap joints that the detector sees, in its order (reference data, README).
DETECTED = (3, 2, 1, 6, 7, 8, 0, 12, 13, 15, 27, 26, 25, 17, 18, 19)
FOCAL, CENTRE = 1145.0, 512.0


def take_names(subject: str) -> list[str]:
    """Two takes of everybody; S9 has the three misaligned ones, S11 one of the same name."""
    more = {"S9": ["Greeting", "SittingDown 1", "Waiting 1"], "S11": ["Greeting"]}
    return ["Walking", "Walking 1", *more.get(subject, [])]


def axes(number: int) -> np.ndarray:
    """Rows: right, down and forward of a camera that looks at the room's middle."""
    angle = np.pi * (0.25 + number / 2)
    forward = np.array([-np.cos(angle), -np.sin(angle), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    return np.stack([np.cross(down, forward), down, forward])


def write_cameras(file: Path) -> None:
    """cameras.h5: every rotation transposed, column vectors, names as character codes."""
    with h5py.File(file, "w") as store:
        for subject in SUBJECTS:
            for number, name in enumerate(CAMERAS):
                group = store.create_group(f"subject{subject[1:]}/camera{number + 1}")
                rows = axes(number)
                group["R"] = rows.T
                group["T"] = (-5000 * rows[2] + [0, 0, 900])[:, None]
                group["f"] = np.full((2, 1), FOCAL)
                group["c"] = np.full((2, 1), CENTRE)
                group["k"] = np.zeros((3, 1))
                group["p"] = np.zeros((2, 1))
                group["Name"] = np.array([[float(ord(letter))] for letter in name])


def write_take(root: Path, subject: str, name: str, frames: int) -> None:
    """A body that wanders about, and what a detector some pixels off sees of it."""
    # No take is like another one, so that what was made of which can be told.
    rng = np.random.default_rng([ord(letter) for letter in f"{subject}/{name}"])
    body = rng.uniform(-500, 500, (32, 3)) + np.array([0, 0, 900])
    world = body + rng.normal(0, 8, (frames, 32, 3)).cumsum(0) * [1, 1, 0.2]
    file = root / subject / "MyPoses/3D_positions" / f"{name}.h5"
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as store:
        store["3D_positions"] = world.reshape(frames, 96).T.astype(np.float32)
    for number, camera in enumerate(CAMERAS):
        rows = axes(number)
        seen = (world[:, DETECTED] - (-5000 * rows[2] + [0, 0, 900])) @ rows.T
        pixels = FOCAL * seen[..., :2] / seen[..., 2:] + CENTRE + rng.normal(0, 5, (frames, 16, 2))
        write_detections(root, subject, name, camera, pixels.round().astype(np.int16))


def write_detections(root: Path, subject: str, name: str, camera: str, pixels: np.ndarray) -> None:
    """The detector's file of one camera."""
    file = root / subject / "StackedHourglass" / f"{name.replace(' ', '_')}.{camera}.h5"
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as store:
        store["poses"] = pixels


def write_h36m(root: Path) -> Path:
    """Write raw Human3.6M in small: 7 subjects x 4 cameras, takes of 31 to 36 frames.

    S5 has detections of a 'Discussion 2' without motion capture, S11 misses one detection.
    """
    root.mkdir(parents=True)
    write_cameras(root / "cameras.h5")
    for number, subject in enumerate(SUBJECTS):
        for index, name in enumerate(take_names(subject)):
            write_take(root, subject, name, 30 + number // 2 + index)
    for camera in CAMERAS:
        write_detections(root, "S5", "Discussion 2", camera, np.zeros((20, 16, 2), np.int16))
    (root / "S11/StackedHourglass/Walking.54138969.h5").unlink()
    return root


@pytest.fixture(scope="session")
def h36m_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw Human3.6M in small, to read only."""
    return write_h36m(tmp_path_factory.mktemp("data") / "h36m")


@pytest.fixture
def spoiled_h36m(h36m_folder: Path, tmp_path: Path) -> Path:
    """A copy of `h36m_folder` that a test may spoil."""
    return Path(shutil.copytree(h36m_folder, tmp_path / "h36m"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
