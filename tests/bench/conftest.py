"""A body model with few vertices, for whatever makes bodies of rotations."""

import numpy as np
import pytest

from bench.data.body import BENDS, JOINTS, BodyModel
from bench.data.clips import BODY_SHAPE

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
VERTICES = 30


@pytest.fixture(scope="session")
def small_body() -> BodyModel:
    """Thirty vertices of a metre or so, each turned by some joints; nothing in it is symmetric."""
    rng = np.random.default_rng(7)

    def shares(*shape: int) -> np.ndarray:
        values = rng.uniform(0, 1, shape) ** 8
        return (values / values.sum(-1, keepdims=True)).astype(np.float32)

    def small(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.02, shape).astype(np.float32)

    return BodyModel(
        template=rng.uniform(-0.8, 0.8, (VERTICES, 3)).astype(np.float32),
        shape_basis=small(VERTICES, 3, BODY_SHAPE),
        pose_basis=small(BENDS, VERTICES * 3),
        regressor=shares(JOINTS, VERTICES),
        weights=shares(VERTICES, JOINTS),
        headtop=shares(VERTICES),
        parents=PARENTS,
    )
