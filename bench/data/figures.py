"""Bodies as motion capture in exponential maps has them: joints, bones, and which joints are used.

Human3.6M: spec 4.3. CMU: parents, offsets and the lists of used, coinciding and still joints are
those of the code of Mao et al., Learning Trajectory Dependencies for Human Motion Prediction, ICCV
2019 (github.com/wei-mao-2019/LearnTrajDep: utils/forward_kinematics.py, utils/data_utils.py,
main_cmu_3d.py), which all later work on these files shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.data.clips import Skeleton
from bench.data.skeletons import CMU_25, H36M_22
from bench.kinematics import Floats, forward_kinematics, rotation_matrices


@dataclass(frozen=True, eq=False)
class Figure:
    """One generic body that serves all subjects of a data set.

    parents: of each of N joints, -1 for the root; offsets: (N, 3) from parent to joint in mm;
    used: the joints of `skeleton`, in its order.
    """

    parents: tuple[int, ...]
    offsets: Floats
    used: tuple[int, ...]
    skeleton: Skeleton

    @property
    def values(self) -> int:
        """How many numbers a frame has: the root's place, and a rotation vector for each joint."""
        return 3 + 3 * len(self.parents)

    def pose(self, frames: Floats) -> Floats:
        """Joint positions without the body's place and direction in the room.

        frames: (..., 3 + 3N), the root's place and the N exponential maps in radians, which turn
        row vectors; the first six numbers are taken as zero. Returns (..., N, 3) in mm, the root
        at the origin.

        The published code divides by the angle plus 1e-7; what this changes is below 1e-3 mm.
        Source: spec 4.3.
        """
        vectors = frames[..., 3:].reshape(*frames.shape[:-1], -1, 3).copy()
        vectors[..., 0, :] = 0
        # A rotation of row vectors is one of column vectors by the opposite angle.
        return forward_kinematics(rotation_matrices(-vectors), self.offsets, self.parents)


def _figure(
    parents: tuple[int, ...],
    offsets: Mapping[int, tuple[float, float, float]],
    scale: float,
    used: tuple[int, ...],
    skeleton: Skeleton,
) -> Figure:
    """A figure whose other offsets are zero."""
    table = np.zeros((len(parents), 3))
    for joint, offset in offsets.items():
        table[joint] = offset
    return Figure(parents, scale * table, used, skeleton)


H36M_32 = _figure(
    (
        -1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 12, 16, 17, 18, 19, 20, 19, 22, 12, 24,
        25, 26, 27, 28, 27, 30,
    ),
    {
        1: (-132.948591, 0, 0),
        2: (0, -442.894612, 0),
        3: (0, -454.206447, 0),
        4: (0, 0, 162.767078),
        5: (0, 0, 74.999437),
        6: (132.948826, 0, 0),
        7: (0, -442.894413, 0),
        8: (0, -454.206590, 0),
        9: (0, 0, 162.767426),
        10: (0, 0, 74.999948),
        11: (0, 0.1, 0),
        12: (0, 233.383263, 0),
        13: (0, 257.077681, 0),
        14: (0, 121.134938, 0),
        15: (0, 115.002227, 0),
        16: (0, 257.077681, 0),
        17: (0, 151.034226, 0),
        18: (0, 278.882773, 0),
        19: (0, 251.733451, 0),
        21: (0, 0, 99.999627),
        22: (0, 100.000188, 0),
        24: (0, 257.077681, 0),
        25: (0, 151.031437, 0),
        26: (0, 278.892924, 0),
        27: (0, 251.728680, 0),
        29: (0, 0, 99.999888),
        30: (0, 137.499922, 0),
    },
    1.0,
    (2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 21, 22, 25, 26, 27, 29, 30),
    H36M_22,
)  # fmt: skip

# The factor 70 takes the files' unit to what counts as millimetres; it makes a body of 1.8 m.
CMU_38 = _figure(
    (
        -1, 0, 1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 0, 13, 14, 15, 16, 17, 18, 15, 20, 21, 22, 23, 24,
        25, 23, 27, 15, 29, 30, 31, 32, 33, 34, 32, 36,
    ),
    {
        2: (1.65674, -1.80282, 0.62477),
        3: (2.59720, -7.13576, 0),
        4: (2.49236, -6.84770, 0),
        5: (0.19704, -0.54136, 2.14581),
        6: (0, 0, 1.11249),
        8: (-1.61070, -1.80282, 0.62476),
        9: (-2.59502, -7.12977, 0),
        10: (-2.46780, -6.78024, 0),
        11: (-0.23024, -0.63258, 2.13368),
        12: (0, 0, 1.11569),
        14: (0.01961, 2.05450, -0.14112),
        15: (0.01021, 2.06436, -0.05921),
        17: (0.00713, 1.56711, 0.14968),
        18: (0.03429, 1.56041, -0.10006),
        19: (0.01305, 1.62560, -0.05265),
        21: (3.54205, 0.90436, -0.17364),
        22: (4.86513, 0, 0),
        23: (3.35554, 0, 0),
        25: (0.66117, 0, 0),
        26: (0.53306, 0, 0),
        28: (0.54120, 0, 0.54120),
        30: (-3.49802, 0.75994, -0.32616),
        31: (-5.02649, 0, 0),
        32: (-3.36431, 0, 0),
        34: (-0.73041, 0, 0),
        35: (-0.58887, 0, 0),
        37: (-0.59786, 0, 0.59786),
    },
    70.0,
    (
        3, 4, 5, 6, 9, 10, 11, 12, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26, 28, 30, 31, 32, 34, 35,
        37,
    ),
    CMU_25,
)  # fmt: skip
