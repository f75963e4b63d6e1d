"""The skeletons of the datasets: joint orders as in their files (spec 3.1)."""

from __future__ import annotations

from bench.data.clips import Skeleton

H36M_17 = Skeleton(
    "h36m-17",
    (
        "hip", "lhip", "lknee", "lankle", "rhip", "rknee", "rankle", "spine", "neck", "head",
        "headtop", "lshoulder", "lelbow", "lwrist", "rshoulder", "relbow", "rwrist",
    ),
    root=(0,),
)  # fmt: skip

BODY_14 = Skeleton(
    "body-14",
    (
        "rankle", "rknee", "rhip", "lhip", "lknee", "lankle", "rwrist", "relbow", "rshoulder",
        "lshoulder", "lelbow", "lwrist", "neck", "headtop",
    ),
    root=(2, 3),
)  # fmt: skip

# The published table read the 15 joints as a 13-joint list that starts with the head (spec 3.7 q6).
JHMDB_15 = Skeleton(
    "jhmdb-15",
    (
        "neck", "belly", "face", "rshoulder", "lshoulder", "rhip", "lhip", "relbow", "lelbow",
        "rknee", "lknee", "rwrist", "lwrist", "rankle", "lankle",
    ),
    groups={
        "head": (2,),
        "shoulder": (3, 4),
        "elbow": (7, 8),
        "wrist": (11, 12),
        "hip": (5, 6),
        "knee": (9, 10),
        "ankle": (13, 14),
    },
    published_groups={
        "head": (0,),
        "shoulder": (1, 2),
        "elbow": (3, 4),
        "wrist": (5, 6),
        "hip": (7, 8),
        "knee": (9, 10),
        "ankle": (11, 12),
    },
)  # fmt: skip

# The 14 stacked-hourglass joints whose definition agrees with the motion capture's.
HOURGLASS_14 = Skeleton(
    "hourglass-14",
    (
        "rankle", "rknee", "rhip", "lhip", "lknee", "lankle", "hip", "thorax", "rwrist", "relbow",
        "rshoulder", "lshoulder", "lelbow", "lwrist",
    ),
    groups={
        "shoulder": (10, 11),
        "elbow": (9, 12),
        "wrist": (8, 13),
        "hip": (2, 3),
        "knee": (1, 4),
        "ankle": (0, 5),
    },
)  # fmt: skip

SMPL_24 = Skeleton(
    "smpl-24",
    (
        "pelvis", "lhip", "rhip", "spine1", "lknee", "rknee", "spine2", "lankle", "rankle",
        "spine3", "lfoot", "rfoot", "neck", "lcollar", "rcollar", "head", "lshoulder", "rshoulder",
        "lelbow",
        "relbow", "lwrist", "rwrist", "lhand", "rhand",
    ),
)  # fmt: skip

# The joints of Human3.6M's 32 that motion prediction is about; the hip is the origin (spec 4.3).
H36M_22 = Skeleton(
    "h36m-22",
    (
        "rknee", "rankle", "rfoot", "rtoe", "lknee", "lankle", "lfoot", "ltoe", "spine", "neck",
        "head", "headtop", "lshoulder", "lelbow", "lwrist", "lthumb", "lhand", "rshoulder",
        "relbow", "rwrist", "rthumb", "rhand",
    ),
    copies=(1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 2, 1, 2, 1, 1, 2, 1, 2),
    fixed=4,
    parents=(-1, 0, 1, 2, -1, 4, 5, 6, -1, 8, 9, 10, 9, 12, 13, 14, 14, 9, 17, 18, 19, 19),
)  # fmt: skip

# The joints of CMU motion capture's 38 that motion prediction is about; the hip is the origin. The
# source of the figures is in bench/data/figures.py.
CMU_25 = Skeleton(
    "cmu-25",
    (
        "lknee", "lankle", "lfoot", "ltoe", "rknee", "rankle", "rfoot", "rtoe", "spine", "thorax",
        "neck", "head", "headtop", "lshoulder", "lelbow", "lwrist", "lhand", "lfinger", "lthumb",
        "rshoulder", "relbow", "rwrist", "rhand", "rfinger", "rthumb",
    ),
    copies=(1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 3, 1, 1, 1),
    fixed=6,
    parents=(
        -1, 0, 1, 2, -1, 4, 5, 6, -1, 8, 9, 10, 11, 9, 13, 14, 15, 16, 15, 9, 19, 20, 21, 22, 21,
    ),
)  # fmt: skip

SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (H36M_17, H36M_22, CMU_25, BODY_14, JHMDB_15, HOURGLASS_14, SMPL_24)
}
