"""Clips: relative to the root, checked with one clear line, missed detections counted."""

from dataclasses import replace

import numpy as np
import pytest

from bench.contracts import BadInput
from bench.data.clips import (
    DIMS,
    SPLITS,
    UNITS,
    Clip,
    Dataset,
    Skeleton,
    check_clip,
    missed,
    place_of,
    to_root,
)

PAIR = Skeleton("pair", ("left", "right"), root=(0, 1))


def clip_3d(frames: int = 4) -> Clip:
    rng = np.random.default_rng(0)
    poses = rng.uniform(-1, 1, (2, frames, 2, 3)).astype(np.float32)
    return Clip("S9/Walking/54138969", "S9/Walking", poses[0], poses[1])


def clip_2d(frames: int = 4) -> Clip:
    rng = np.random.default_rng(0)
    poses = rng.uniform(0, 100, (2, frames, 2, 2)).astype(np.float32)
    box = np.tile(np.float32([0, 10, 90, 80]), (frames, 1))
    return Clip("run/a", "run/a", poses[0], poses[1], image=(100, 90), box=box)


@pytest.mark.parametrize(
    ("recording", "place"),
    [
        ("S9/Walking 1", ("S9", "Walking", 1)),
        ("S9/Walking", ("S9", "Walking", 0)),
        ("S5/walkingdog_2", ("S5", "walkingdog", 2)),
        ("train/basketball_signal_10", ("train", "basketball_signal", 10)),
        ("test/soccer", ("test", "soccer", 0)),
        ("downtown_walking_00", ("", "downtown_walking", 0)),
        ("test-003", ("", "test", 3)),
        ("S1/07", ("S1", "07", 0)),
        ("", ("", "", 0)),
    ],
)
def test_a_recording_says_who_did_what_and_which_take(recording, place):
    assert place_of(recording) == place


def test_takes_are_in_the_order_of_their_numbers():
    names = ["S5/walking_10", "S5/walking_9", "S5/eating_11", "S11/walking_1"]
    assert sorted(names, key=place_of) == [names[3], names[2], names[1], names[0]]


def refusal(clip: Clip, space="3d", file="poses.npz") -> str:
    with pytest.raises(BadInput) as error:
        check_clip(clip, PAIR, space, file)
    return str(error.value)


def changed(poses: np.ndarray, index, value) -> np.ndarray:
    other = poses.copy()
    other[index] = value
    return other


def test_the_root_is_the_mean_of_its_joints():
    poses = np.float32([[[1, 2, 3], [3, 6, 9], [5, 5, 5]]])
    assert to_root(poses, (0, 1)).tolist() == [[[-1, -2, -3], [1, 2, 3], [3, 1, -1]]]
    assert to_root(poses, (2,)).tolist() == [[[-4, -3, -2], [-2, 1, 4], [0, 0, 0]]]
    assert to_root(poses, ()) is poses


def test_every_space_has_dimensions_and_a_unit():
    assert DIMS == {"3d": 3, "2d": 2, "6d": 6}
    assert UNITS == {"3d": "m", "2d": "px", "6d": "-"}


def test_good_clips_pass():
    check_clip(clip_3d(), PAIR, "3d")
    check_clip(clip_2d(), PAIR, "2d")
    six = np.ones((4, 2, 6), np.float32)
    check_clip(Clip("a", "a", six, six), PAIR, "6d")


def test_shapes_of_bodies_are_there_for_both_and_for_every_frame():
    six, shapes = np.ones((4, 2, 6), np.float32), np.zeros((4, 10), np.float32)
    clip = Clip("a", "a", six, six, detected_shape=shapes, truth_shape=shapes)
    check_clip(clip, PAIR, "6d")
    check_clip(replace(clip, detected_shape=shapes * np.nan), PAIR, "6d")  # missed
    for change, part in (
        ({"truth_shape": None}, "true body shapes have the wrong shape; expected (4, 10)"),
        ({"detected_shape": None}, "detected body shapes have the wrong shape"),
        ({"detected_shape": shapes[:3]}, "found (3, 10); expected (4, 10)"),
        ({"truth_shape": shapes[:, :9]}, "found (4, 9)"),
        ({"truth_shape": shapes * np.nan}, "true body shapes are not finite"),
    ):
        assert part in refusal(replace(clip, **change), "6d")


def test_a_missed_detection_is_no_error_and_is_counted():
    clip = clip_3d()
    # Two joints: all of one, a single coordinate of another.
    detected = changed(changed(clip.detected, (0, 1), np.nan), (2, 0, 1), np.nan)
    clip = replace(clip, detected=detected)
    check_clip(clip, PAIR, "3d")
    splits = {"train": (clip_3d(),), "validation": (clip, clip), "test": (clip,)}
    dataset = Dataset("pair", "Pair", "none", "3d", 50.0, PAIR, splits, "a test")
    assert [missed(dataset, split) for split in SPLITS] == [0, 2 * 2, 2]
    assert missed(dataset) == 2
    assert dataset.unit == "m"
    assert clip.frames == 4


@pytest.mark.parametrize("what", ["detected", "truth"])
@pytest.mark.parametrize("shape", [(4, 3, 3), (4, 2, 2), (4, 6), (4, 2, 3, 1)])
def test_a_wrong_shape_is_told(what, shape):
    message = refusal(replace(clip_3d(), **{what: np.zeros(shape, np.float32)}))
    assert message == (
        f"poses.npz: clip S9/Walking/54138969: {what} poses have the wrong shape; found {shape}; "
        "expected (frames, 2 joints of pair, 3); check that the file belongs to this dataset"
    )


def test_lengths_that_differ_are_told():
    message = refusal(replace(clip_3d(), detected=clip_3d(5).detected))
    assert message == (
        "poses.npz: clip S9/Walking/54138969: detections and truth differ in length; "
        "found 5 detected frames; expected 4; use detections and truth of the same release"
    )


def test_a_clip_without_frames_is_told():
    assert refusal(clip_3d(0)) == "poses.npz: clip S9/Walking/54138969: the clip has no frames"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_truth_that_is_not_finite_is_told_with_its_first_frame(value):
    clip = clip_3d()
    truth = changed(changed(clip.truth, (3, 0, 0), value), (2, 1, 2), value)
    message = refusal(replace(clip, truth=truth))
    assert message == (
        "poses.npz: clip S9/Walking/54138969: the truth is not finite; found NaN or infinity at "
        "frame 2; expected finite numbers; remove the clip or repair its truth"
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_detection_is_told(value):
    clip = clip_3d()
    message = refusal(replace(clip, detected=changed(clip.detected, (1, 1, 1), value)))
    assert message == (
        "poses.npz: clip S9/Walking/54138969: a detection is infinite; expected NaN if missed"
    )


def test_millimetres_read_as_metres_are_told():
    clip = clip_3d()
    truth = np.zeros_like(clip.truth)
    truth[:, 0, 0], truth[:, 1, 0] = -400, 400
    message = refusal(replace(clip, truth=truth))
    assert message == (
        "poses.npz: clip S9/Walking/54138969: the truth cannot be in metres; found a joint 400 "
        "from the root; expected at most 3 m; convert the file to metres"
    )


def test_a_person_far_from_the_camera_is_no_error():
    clip = clip_3d()
    check_clip(replace(clip, truth=clip.truth + np.float32(50)), PAIR, "3d")


@pytest.mark.parametrize("lost", ["image", "box"])
def test_a_2d_clip_needs_image_and_boxes(lost):
    message = refusal(replace(clip_2d(), **{lost: None}), "2d")
    assert message == "poses.npz: clip run/a: a 2D clip needs an image size and boxes"


def test_boxes_of_another_length_are_told():
    message = refusal(replace(clip_2d(), box=clip_2d(5).box), "2d")
    assert message == (
        "poses.npz: clip run/a: boxes have the wrong shape; found (5, 4); expected (4, 4)"
    )


@pytest.mark.parametrize(("index", "value"), [(0, 90), (1, 81), (2, np.nan), (3, np.inf)])
def test_a_box_that_is_empty_or_not_finite_is_told(index, value):
    clip = clip_2d()
    message = refusal(replace(clip, box=changed(clip.box, (3, index), value)), "2d")
    assert message == (
        "poses.npz: clip run/a: a box is empty or not finite; expected x1 < x2, y1 < y2"
    )


def test_without_a_file_the_clip_is_named():
    assert refusal(clip_3d(0), file=None) == "clip S9/Walking/54138969: the clip has no frames"
