"""Stretches: which clips lie together, cut and padded, in model space."""

import numpy as np
import pytest

from bench.data import stretches
from bench.data.clips import Clip, Dataset
from bench.data.skeletons import BODY_14, JHMDB_15

RNG = np.random.default_rng(0)


def clip(frames: int, joints: int = 14, dims: int = 3, **rest) -> Clip:
    poses = RNG.normal(size=(2, frames, joints, dims)).astype(np.float32)
    return Clip(f"c{frames}", "c", *poses, **rest)


def cut(clips, lengths, space="3d"):
    skeleton = JHMDB_15 if space == "2d" else BODY_14
    data = Dataset("d", "D", "E", space, 30, skeleton, {"test": tuple(clips)}, "made here")
    return list(stretches.stretches(data, clips, np.array(lengths)))


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, [[4], [6], [3]]), (10, [[4, 6], [3]]), (9, [[4], [6, 3]]), (99, [[4, 6, 3]])],
)
def test_as_many_clips_as_fit_and_at_least_one(monkeypatch, most, expected):
    monkeypatch.setattr(stretches, "_FRAMES", most)
    clips = [clip(4), clip(6), clip(3)]
    found = cut(clips, [4, 6, 3])
    assert [stretch.lengths.tolist() for stretch in found] == expected
    assert [one.name for stretch in found for one in stretch.clips] == ["c4", "c6", "c3"]


def test_clips_are_cut_and_padded_with_zeros():
    clips = [clip(4), clip(6)]
    (found,) = cut(clips, [7, 5])
    assert found.first.tolist() == [0, 7]
    np.testing.assert_array_equal(found.truth[:4], clips[0].truth)
    assert not found.truth[4:7].any()
    np.testing.assert_array_equal(found.detected[7:], clips[1].detected[:5])
    assert found.images is None
    assert found.box is None
    assert found.shapes(None, "cpu") is None


def test_2d_poses_are_divided_by_their_own_images_size():
    sizes = [(320, 240), (100, 50)]
    clips = [
        clip(3, 15, 2, image=size, box=RNG.normal(size=(3, 4)).astype(np.float32)) for size in sizes
    ]
    (found,) = cut(clips, [3, 5], "2d")
    for one, first in zip(clips, (0, 3), strict=True):
        by_hand = one.truth / np.float32(one.image)
        np.testing.assert_array_equal(found.truth[first : first + 3], by_hand)
        np.testing.assert_array_equal(found.box[first : first + 3], one.box)
    assert found.truth.dtype == np.float32
    assert not found.box[6:].any()
    assert found.images.tolist() == [list(size) for size in sizes]
