"""Skeletons: every body has two sides, and groups and roots mean what they say."""

import pytest

from bench.config import dataset_config, dataset_names
from bench.data.skeletons import BODY_14, H36M_17, HOURGLASS_14, JHMDB_15, SKELETONS, SMPL_24

# Spec 3.1: 14 of the 17 joints, by their numbers there.
_FOURTEEN_OF_17 = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_joints_are_named_once_and_come_in_pairs(skeleton):
    joints = skeleton.joints
    assert len(set(joints)) == len(joints) == int(skeleton.name.rpartition("-")[2])
    sides = [name[1:] for name in joints if name[0] in "lr"]
    assert all(sides.count(part) == 2 for part in sides)
    assert set(skeleton.root) <= set(range(len(joints)))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_a_group_holds_the_joints_it_is_named_after(skeleton):
    for group, joints in skeleton.groups.items():
        names = {skeleton.joints[joint] for joint in joints}
        assert names == ({"face"} if group == "head" else {f"l{group}", f"r{group}"})


def test_every_dataset_has_a_skeleton():
    assert {dataset_config(name).skeleton for name in dataset_names()} == set(SKELETONS)


def test_orders_are_those_of_the_files():
    assert BODY_14.joints == tuple(H36M_17.joints[joint] for joint in _FOURTEEN_OF_17)
    assert [BODY_14.joints[joint] for joint in BODY_14.root] == ["rhip", "lhip"]
    assert H36M_17.joints[H36M_17.root[0]] == "hip"
    assert JHMDB_15.joints[:5] == ("neck", "belly", "face", "rshoulder", "lshoulder")
    assert JHMDB_15.root == HOURGLASS_14.root == SMPL_24.root == ()


def test_the_published_groups_are_those_of_a_list_of_13_that_begins_with_the_head():
    # Spec 3.7 q6: numbers 0 to 12, taken from files that hold 15 joints in another order.
    groups = JHMDB_15.published_groups
    assert list(groups) == list(JHMDB_15.groups)
    assert [joint for joints in groups.values() for joint in joints] == list(range(13))
