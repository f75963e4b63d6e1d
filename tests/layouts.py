"""Files in the layouts that bench reads, small and made up, for tests of several modules."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Poses = list[np.ndarray]


def packed(items: Sequence[Any]) -> np.ndarray:
    """An array of objects, one for each clip, as the DeciWatch files hold them."""
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def truth_file(root: Path, part: str = "test") -> Path:
    """Where 3DPW's truth lies."""
    return root / f"groundtruth_poses/pw3d/pw3d_gt_{part}.npz"


def detected_file(root: Path, part: str = "test") -> Path:
    """Where SPIN's poses of 3DPW lie."""
    return root / f"detected_poses/pw3d/spin/pw3d_spin_{part}.npz"


def write_pw3d(
    root: Path,
    train: str = "abc",
    test: str = "de",
    frames: int = 60,
    change: Callable[[Poses, Poses], object] | None = None,
) -> Path:
    """3DPW with SPIN in the DeciWatch layout: a video of so many frames for each letter.

    change: spoils truth and detections of the test files.
    """
    rng = np.random.default_rng(4)
    for part, videos in (("train", train), ("test", test)):
        names = [[f"{video}/{i:06d}" for i in range(frames)] for video in videos]
        truth = [rng.normal(0, 0.02, (frames, 51)).cumsum(0) for _ in videos]
        seen = [poses + rng.normal(0, 0.03, poses.shape) for poses in truth]
        if change is not None and part == "test":
            change(truth, seen)
        for file, poses in ((truth_file(root, part), truth), (detected_file(root, part), seen)):
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, imgname=packed(names), joints_3d=packed(poses))
    return root
