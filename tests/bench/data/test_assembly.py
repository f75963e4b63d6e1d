"""A dataset put together: what its configuration says, and a fingerprint of its clips alone."""

import numpy as np

from bench.config import dataset_config
from bench.data.assembly import assemble
from bench.data.clips import Clip
from bench.data.skeletons import BODY_14
from bench.data.store import fingerprint


def clips(value: float) -> dict[str, list[Clip]]:
    poses = np.full((2, 14, 3), value, np.float32)
    return {split: [Clip(split, split, poses, poses)] for split in ("test", "train", "validation")}


def test_the_configuration_says_what_the_clips_do_not():
    config = dataset_config("pw3d-spin")
    made = assemble("pw3d-spin", config, clips(1), "here", notes=["one"])
    assert (made.name, made.origin, made.notes, made.standin) == (
        "pw3d-spin", "here", ("one",), False,
    )  # fmt: skip
    assert (made.title, made.estimator, made.space, made.fps) == (
        config.title, "SPIN", "3d", 30,
    )  # fmt: skip
    assert made.skeleton == BODY_14
    assert list(made.clips) == ["train", "validation", "test"]


def test_the_fingerprint_is_that_of_the_clips_in_the_order_of_the_splits():
    config = dataset_config("pw3d-spin")
    parts = clips(1)
    made = assemble("pw3d-spin", config, parts, "here", standin=True)
    listed = [(split, clip) for split in ("train", "validation", "test") for clip in parts[split]]
    assert made.fingerprint == fingerprint(listed)
    assert made.fingerprint != assemble("pw3d-spin", config, clips(2), "here").fingerprint
    assert made.fingerprint == assemble("other", config, parts, "there", notes=["x"]).fingerprint
