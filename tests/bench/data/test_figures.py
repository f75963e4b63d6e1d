"""Bodies in exponential maps: bones turn as computed by hand, and keep their lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.figures import CMU_38, H36M_32, Figure

FIGURES = pytest.mark.parametrize("figure", [H36M_32, CMU_38], ids=["h36m", "cmu"])
HALF_PI = np.pi / 2
# As the spec (Human3.6M) and the code named in bench/data/figures.py (CMU) list them.
STILL = {"h36m": (0, 1, 6, 11), "cmu": (0, 1, 2, 7, 8, 13)}
TWINS = {
    "h36m": {16: 13, 20: 19, 23: 22, 24: 13, 28: 27, 31: 30},
    "cmu": {16: 15, 20: 15, 29: 15, 24: 23, 27: 23, 33: 32, 36: 32},
}
LISTED = [pytest.param(H36M_32, "h36m", id="h36m"), pytest.param(CMU_38, "cmu", id="cmu")]


def turned(figure: Figure, joint: int, vector: tuple[float, float, float]) -> np.ndarray:
    """Positions (N, 3) mm when one joint turns by a rotation vector and no other does."""
    frame = np.zeros(figure.values)
    frame[3 + 3 * joint : 6 + 3 * joint] = vector
    return figure.pose(frame)


def as_published(figure: Figure, frame: np.ndarray) -> np.ndarray:
    """Spec 4.3 to the letter, one joint after the other: row vectors, the angle plus 1e-7."""
    count = len(figure.parents)
    turn = np.zeros((count, 3, 3))
    place = figure.offsets.copy()
    for joint in range(count):
        vector = frame[3 + 3 * joint : 6 + 3 * joint]
        angle = np.sqrt((vector**2).sum())
        x, y, z = vector / (angle + 1e-7)
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        turn[joint] = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
    for joint in range(1, count):
        parent = figure.parents[joint]
        if parent > 0:
            turn[joint] = turn[joint] @ turn[parent]
            place[joint] = figure.offsets[joint] @ turn[parent] + place[parent]
    return place


def test_a_body_that_does_not_turn_stands_at_the_sums_of_its_offsets() -> None:
    pose = H36M_32.pose(np.zeros(99))
    np.testing.assert_allclose(pose[0], 0)
    # Right leg: hip -132.9 on x, two bones down, the foot and the toe forwards.
    np.testing.assert_allclose(
        pose[5], [-132.948591, -442.894612 - 454.206447, 162.767078 + 74.999437]
    )
    np.testing.assert_allclose(pose[15], [0, 0.1 + 233.383263 + 257.077681 + 236.137165, 0])
    cmu = CMU_38.pose(np.zeros(117))
    np.testing.assert_allclose(
        cmu[3], [70 * (1.65674 + 2.5972), 70 * (-1.80282 - 7.13576), 43.7339]
    )
    np.testing.assert_allclose(cmu[32, 0], 70 * (0.01961 + 0.01021 - 3.49802 - 5.02649 - 3.36431))


def test_a_row_vector_turns_the_other_way_round() -> None:
    # The knee (2) by a quarter about x: as a row vector, the shin (0, -454, 0) becomes (0, 0, 454).
    pose = turned(H36M_32, 2, (HALF_PI, 0, 0))
    np.testing.assert_allclose(pose[2], [-132.948591, -442.894612, 0], atol=1e-9)
    np.testing.assert_allclose(pose[3], [-132.948591, -442.894612, 454.206447], atol=1e-9)
    # The foot (0, 0, 163), turned with the shin, points up.
    np.testing.assert_allclose(pose[4], [-132.948591, -442.894612 + 162.767078, 454.206447])


def test_two_turns_in_a_chain_add_up() -> None:
    # The hip's joint (1) by a quarter about x: the leg lies forwards. The knee back by a quarter:
    # the shin hangs again.
    frame = np.zeros(99)
    frame[6], frame[9] = HALF_PI, -HALF_PI
    pose = H36M_32.pose(frame)
    np.testing.assert_allclose(pose[2], [-132.948591, 0, 442.894612], atol=1e-9)
    np.testing.assert_allclose(pose[3], [-132.948591, -454.206447, 442.894612], atol=1e-9)


def test_an_arm_of_cmu_bends_as_computed_by_hand() -> None:
    # The left shoulder (21) by a quarter about z: as a row vector +x becomes -y.
    straight, bent = CMU_38.pose(np.zeros(117)), turned(CMU_38, 21, (0, 0, HALF_PI))
    np.testing.assert_allclose(bent[21], straight[21])
    np.testing.assert_allclose(bent[22] - bent[21], [0, -70 * 4.86513, 0], atol=1e-9)
    np.testing.assert_allclose(bent[23] - bent[21], [0, -70 * (4.86513 + 3.35554), 0], atol=1e-9)


@FIGURES
def test_place_and_direction_of_the_body_are_left_out(figure: Figure) -> None:
    frames = np.random.default_rng(0).normal(size=(4, figure.values))
    moved = frames.copy()
    moved[:, :6] = 7.0
    np.testing.assert_array_equal(figure.pose(moved), figure.pose(frames))
    assert (moved[:, :6] == 7.0).all()


@FIGURES
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.0, 1e-7, 1e-3, 0.3, 2.0, 6.0]))
def test_every_body_is_where_the_published_rule_has_it(
    figure: Figure, seed: int, size: float
) -> None:
    frames = size * np.random.default_rng(seed).normal(size=(2, figure.values))
    frames[:, :6] = 0
    expected = np.stack([as_published(figure, frame) for frame in frames])
    np.testing.assert_allclose(figure.pose(frames), expected, atol=1e-3)


@FIGURES
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0, 5))
def test_bones_keep_their_lengths(figure: Figure, seed: int, size: float) -> None:
    pose = figure.pose(size * np.random.default_rng(seed).normal(size=(3, figure.values)))
    for joint, parent in enumerate(figure.parents):
        start = pose[:, parent] if parent >= 0 else 0
        length = np.linalg.norm(pose[:, joint] - start, axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(figure.offsets[joint]), atol=1e-8)


@pytest.mark.parametrize(("figure", "name"), LISTED)
def test_used_still_and_coinciding_joints_are_all_there_are(figure: Figure, name: str) -> None:
    still, twins = STILL[name], TWINS[name]
    assert sorted((*figure.used, *still, *twins)) == list(range(len(figure.parents)))
    frames = np.random.default_rng(3).normal(size=(5, figure.values))
    if name == "cmu":
        frames[:, [6, 7, 8, 24, 25, 26]] = 0  # the joints 1 and 7 have no freedom in the recordings
    pose = figure.pose(frames)
    for joint in still:
        np.testing.assert_allclose(pose[:, joint], np.broadcast_to(pose[0, joint], (5, 3)))
    for joint, twin in twins.items():
        np.testing.assert_allclose(pose[:, joint], pose[:, twin])
    assert np.ptp(pose[:, figure.used], axis=0).max(-1).min() > 1


@pytest.mark.parametrize(("figure", "name"), LISTED)
def test_the_skeleton_counts_and_links_the_joints_as_the_figure_does(
    figure: Figure, name: str
) -> None:
    skeleton, twins = figure.skeleton, TWINS[name]
    assert len(skeleton.joints) == len(figure.used)
    assert skeleton.fixed == len(STILL[name])
    copies = [1 + list(twins.values()).count(joint) for joint in figure.used]
    assert list(skeleton.copies) == copies
    assert sum(copies) + skeleton.fixed == len(figure.parents)
    for joint, parent in zip(figure.used, skeleton.parents, strict=True):
        above = figure.parents[joint]
        above = twins.get(above, above)
        assert parent == (figure.used.index(above) if above in figure.used else -1)
    # Names say the side that the joint is on: +x is left.
    for joint_name, where in zip(
        skeleton.joints, figure.pose(np.zeros(figure.values))[list(figure.used)], strict=True
    ):
        if joint_name[0] in "lr" and abs(where[0]) > 1:
            assert (where[0] > 0) == (joint_name[0] == "l")
