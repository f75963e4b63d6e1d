from __future__ import annotations

import numpy as np
import pytest

from bench import metrics
from bench.config import DatasetConfig, StandinConfig, dataset_config, dataset_names
from bench.contracts import BadInput
from bench.data.clips import SPLITS, Clip, Dataset
from bench.data.skeletons import BODY_14
from bench.data.standin import calibration, look, standin

SMALL_3D = DatasetConfig(
    title="Small / 3D",
    estimator="E",
    space="3d",
    fps=30,
    skeleton="body-14",
    intervals=5,
    single_frame={"mpjpe": 80.0, "accel": 25.0},
    standin=StandinConfig(
        actions=("walking", "reaching"),
        clips={"train": 6, "validation": 2, "test": 6},
        frames=(120, 150),
        views=2,
        seed=5,
    ),
)
SMALL_2D = SMALL_3D.model_copy(
    update={
        "space": "2d",
        "skeleton": "jhmdb-15",
        "image": (320, 240),
        "single_frame": {"pck@0.2": 0.94, "pck@0.1": 0.816, "pck@0.05": 0.573},
        "standin": StandinConfig(
            actions=("walking", "dancing"),
            clips={"train": 20, "validation": 2, "test": 40},
            frames=(30, 40),
            bursts=0.12,
            learnable=0.4,
            seed=6,
        ),
    }
)


@pytest.fixture(scope="module")
def small_3d() -> Dataset:
    return standin("small-3d", SMALL_3D)


@pytest.fixture(scope="module")
def small_2d() -> Dataset:
    return standin("small-2d", SMALL_2D)


def test_calibration_reaches_the_published_errors(small_3d: Dataset, small_2d: Dataset) -> None:
    found = calibration(small_3d)
    assert found["mpjpe"] == pytest.approx(80.0, rel=0.05)
    assert found["accel"] == pytest.approx(25.0, rel=0.05)
    for metric, target in SMALL_2D.single_frame.items():
        assert calibration(small_2d)[metric] == pytest.approx(target, rel=0.05)


def test_calibration_is_the_mean_over_frames_of_all_clips() -> None:
    truth = np.zeros((4, 14, 3), np.float32)
    off = truth.copy()
    off[:, :, 0] = 0.01
    long = Clip("a", "a", off, truth)
    short = Clip("b", "b", off[:1] * 6, truth[:1])
    jump = np.zeros((3, 14, 3), np.float32)
    jump[1] = [0.0, 0.002, 0.0]
    clips = {"train": (), "validation": (), "test": (long, short)}
    dataset = Dataset("x", "X", "E", "3d", 30, BODY_14, clips, "")
    # Four frames of 10 mm and one of 60 mm; an error that does not change has no acceleration.
    assert calibration(dataset)["mpjpe"] == pytest.approx(20.0)
    assert calibration(dataset)["accel"] == pytest.approx(0.0, abs=1e-6)
    clips = clips | {"test": (Clip("c", "c", jump, truth[:3]),)}
    dataset = Dataset("x", "X", "E", "3d", 30, BODY_14, clips, "")
    assert calibration(dataset)["accel"] == pytest.approx(4.0, rel=1e-5)


def test_two_calls_are_equal_bit_by_bit(small_3d: Dataset) -> None:
    again = standin("small-3d", SMALL_3D)
    assert again.fingerprint == small_3d.fingerprint
    for split in SPLITS:
        for one, other in zip(again.clips[split], small_3d.clips[split], strict=True):
            np.testing.assert_array_equal(one.detected, other.detected)
            np.testing.assert_array_equal(one.truth, other.truth)


def test_another_seed_is_another_dataset(small_3d: Dataset) -> None:
    assert SMALL_3D.standin is not None
    plan = SMALL_3D.standin.model_copy(update={"seed": 7})
    other = standin("small-3d", SMALL_3D.model_copy(update={"standin": plan}))
    assert other.fingerprint != small_3d.fingerprint


def test_it_says_that_it_is_a_stand_in(small_3d: Dataset) -> None:
    assert small_3d.standin
    assert "synthetic" in small_3d.origin


def test_clips_have_the_configured_number_length_and_views(small_3d: Dataset) -> None:
    assert [len(small_3d.clips[split]) for split in SPLITS] == [6, 2, 6]
    first, second, third = small_3d.clips["train"][:3]
    assert first.recording == second.recording != third.recording
    assert first.name != second.name
    assert all(120 <= clip.frames <= 150 for clip in small_3d.clips["test"])
    # Two cameras see one performance: the bones have the same lengths in both.
    for one, other in ((5, 4), (7, 6)):
        lengths = [
            np.linalg.norm(clip.truth[:, one] - clip.truth[:, other], axis=-1)
            for clip in (first, second)
        ]
        np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-4)
    assert not np.allclose(first.truth, second.truth, atol=0.05)


def test_splits_share_nothing(small_3d: Dataset) -> None:
    bones = {
        split: {
            round(float(np.linalg.norm(c.truth[0, 1] - c.truth[0, 2])), 3)
            for c in small_3d.clips[split]
        }
        for split in SPLITS
    }
    assert not bones["train"] & bones["test"]
    names = [clip.name for split in SPLITS for clip in small_3d.clips[split]]
    assert len(set(names)) == len(names)


def test_3d_poses_are_relative_to_the_root_in_the_camera_frame(small_3d: Dataset) -> None:
    for clip in small_3d.clips["test"]:
        for poses in (clip.truth, clip.detected):
            root = poses[:, list(small_3d.skeleton.root)].mean(axis=1)
            np.testing.assert_allclose(root, 0, atol=2e-5)
        joints = small_3d.skeleton.joints
        head, ankle = joints.index("headtop"), joints.index("lankle")
        assert (clip.truth[:, head, 1] < clip.truth[:, ankle, 1]).all()  # y points down


def test_2d_truth_lies_in_its_box_and_image(small_2d: Dataset) -> None:
    for clip in small_2d.clips["test"]:
        assert clip.image == (320, 240)
        assert clip.box is not None
        low, high = clip.truth.min(axis=1), clip.truth.max(axis=1)
        assert (low > clip.box[:, :2]).all()
        assert (high < clip.box[:, 2:]).all()
        assert (low > 0).all()
        assert (high < [320, 240]).all()
        assert metrics.box_size(clip.box).min() > 20


def test_a_camera_at_the_front_sees_the_left_hand_on_the_right() -> None:
    # The person faces z and so does the camera's place; the camera looks back along -z.
    np.testing.assert_allclose(look(0.0, 0.0), [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-12)
    left_hand, up = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    assert (look(0.0, 0.0) @ left_hand)[0] > 0
    assert (look(0.7, 0.0) @ up)[1] < 0
    np.testing.assert_allclose(look(0.7, 0.3) @ look(0.7, 0.3).T, np.eye(3), atol=1e-12)


def test_linear_interpolation_of_keyframes_keeps_errors_and_removes_jitter(
    small_3d: Dataset,
) -> None:
    position, speeding, full = [], [], []
    for clip in small_3d.clips["test"]:
        keys = np.arange(0, clip.frames, 5)
        time = np.arange(keys[-1] + 1)
        flat = clip.detected[keys].reshape(len(keys), -1)
        lines = np.stack([np.interp(time, keys, column) for column in flat.T], axis=-1)
        poses = lines.reshape(len(time), 14, 3)
        position.append(metrics.mpjpe(poses, clip.truth[: len(time)]))
        speeding.append(metrics.accel(poses, clip.truth[: len(time)]))
        full.append(metrics.mpjpe(clip.detected, clip.truth))
    assert np.concatenate(position).mean() == pytest.approx(np.concatenate(full).mean(), rel=0.05)
    assert 1000 * np.concatenate(speeding).mean() < 0.5 * calibration(small_3d)["accel"]


def test_datasets_without_a_plan_are_refused() -> None:
    with pytest.raises(BadInput, match="'pw3d-spin-smpl' has no stand-in"):
        standin("pw3d-spin-smpl", dataset_config("pw3d-spin-smpl"))


def test_unreachable_targets_are_said() -> None:
    targets = {"mpjpe": 5.0, "accel": 500.0}
    with pytest.raises(BadInput, match=r"cannot be calibrated.*expected"):
        standin("small-3d", SMALL_3D.model_copy(update={"single_frame": targets}))


def test_every_dataset_of_the_paper_is_described() -> None:
    names = set(dataset_names())
    assert {"h36m-fcn", "pw3d-spin", "pw3d-eft", "pw3d-pare", "aist-spin"} <= names
    for name in names:
        config = dataset_config(name)
        assert config.sources
        assert config.single_frame_source or config.task == "prediction"
        assert (config.standin is None) == (
            config.space == "6d" or name in ("h36m-fcn-all", "h36m-fcn-oof", "cmu-motion")
        )
