"""The stand-in for motion capture: named, framed and built like the real thing."""

from __future__ import annotations

import numpy as np
import pytest

from bench.config import DatasetConfig, dataset_config
from bench.contracts import BadInput
from bench.data.clips import SPLITS, Dataset
from bench.data.expmap import actions
from bench.data.motion import ACTIONS
from bench.data.standin import standin

CONFIG = dataset_config("h36m-motion")


def with_plan(**changes) -> DatasetConfig:
    return CONFIG.model_copy(update={"standin": CONFIG.standin.model_copy(update=changes)})


@pytest.fixture(scope="module")
def made() -> Dataset:
    clips = {"train": 13, "validation": 12, "test": 12}
    return standin("h36m-motion", with_plan(clips=clips))


def test_clips_are_named_like_the_real_ones(made: Dataset) -> None:
    test = [clip.name for clip in made.clips["test"]]
    assert test[:4] == ["S5/walking_1", "S5/walking_2", "S5/running_1", "S5/running_2"]
    assert actions(made) == dict.fromkeys(
        ("walking", "running", "sitting", "reaching", "turning", "dancing"), 2
    )
    assert {clip.name.partition("/")[0] for clip in made.clips["validation"]} == {"S11"}
    assert made.clips["train"][-1].name == "S6/walking_1"


def test_all_is_said_and_nothing_is_detected(made: Dataset) -> None:
    assert made.standin
    assert (made.fps, made.space, made.skeleton.name) == (25, "3d", "h36m-22")
    for split in SPLITS:
        for clip in made.clips[split]:
            assert clip.detected is clip.truth
            assert clip.frames == 400


def test_what_ships_is_enough_for_the_test_clips() -> None:
    plan = CONFIG.standin
    assert plan.frames[0] > 166
    assert set(plan.actions) == set(ACTIONS)
    assert plan.clips == {"train": 60, "validation": 12, "test": 12}


def test_bodies_are_alike_and_their_bones_keep_their_lengths(made: Dataset) -> None:
    poses = np.concatenate([clip.truth for split in SPLITS for clip in made.clips[split]])
    at = {joint: poses[:, index] for index, joint in enumerate(made.skeleton.joints)}
    for side in "lr":
        for joint, parent in (
            ("ankle", "knee"), ("foot", "ankle"), ("toe", "foot"), ("elbow", "shoulder"),
            ("wrist", "elbow"), ("hand", "wrist"), ("thumb", "wrist"),
        ):  # fmt: skip
            length = np.linalg.norm(at[side + joint] - at[side + parent], axis=-1)
            assert 0.05 < length.mean() < 0.5
            np.testing.assert_allclose(length, length.mean(), atol=5e-5)


def test_the_frame_is_that_of_the_hips(made: Dataset) -> None:
    for clip in made.clips["test"]:
        at = {joint: clip.truth[:, index] for index, joint in enumerate(made.skeleton.joints)}
        # The lowest part of the back belongs to the hips: it stands on y, and never moves.
        assert np.ptp(at["spine"], axis=0).max() < 1e-4
        np.testing.assert_allclose(at["spine"][:, 0], 0, atol=1e-4)
        assert at["spine"][:, 1].min() > 0.1
        assert (at["lknee"][:, 0].mean(), at["rknee"][:, 0].mean()) == pytest.approx(
            (0.13, -0.13), abs=0.12
        )
    walking = made.clips["test"][0].truth
    toe, ankle = (walking[:, made.skeleton.joints.index(joint), 2] for joint in ("ltoe", "lankle"))
    assert (toe > ankle).mean() > 0.95


def test_the_same_configuration_makes_the_same_clips(made: Dataset) -> None:
    fewer = standin("other", with_plan(clips={"train": 1, "validation": 1, "test": 2}))
    np.testing.assert_array_equal(fewer.clips["test"][1].truth, made.clips["test"][1].truth)
    other = standin("other", with_plan(clips={"train": 1, "validation": 1, "test": 2}, seed=1))
    assert other.fingerprint != fewer.fingerprint


def test_more_clips_than_there_are_names_for_are_refused() -> None:
    with pytest.raises(BadInput, match=r"test split .*found 12 clips; expected 13"):
        standin("m", with_plan(clips={"train": 1, "validation": 1, "test": 13}))


def test_another_skeleton_has_no_stand_in() -> None:
    config = CONFIG.model_copy(update={"skeleton": "cmu-25"})
    with pytest.raises(BadInput, match=r"'m' has no stand-in; found cmu-25; expected h36m-22"):
        standin("m", config)
