from __future__ import annotations

import numpy as np
import pytest

from bench.data.detector import Errors, Estimator, Scales
from bench.data.motion import JOINTS, body, perform
from bench.data.skeletons import BODY_14
from bench.kinematics import Floats

FPS = 30.0


def motion(seed: int, frames: int = 600) -> Floats:
    rng = np.random.default_rng(seed)
    world = perform(rng, ["dancing"], body(rng), frames, FPS)
    poses = world[:, [JOINTS.index(joint) for joint in BODY_14.joints]]
    return poses - poses[:, 2:4].mean(axis=1, keepdims=True)


POSES = np.concatenate([motion(seed) for seed in range(4)])


def estimator(seed: int = 0) -> Estimator:
    return Estimator(np.random.default_rng(seed), BODY_14, POSES)


def distance(error: Floats) -> Floats:
    return np.linalg.norm(error, axis=-1)


def test_components_are_added_as_the_formula_says() -> None:
    one = np.ones((1, 1, 3))
    errors = Errors(
        bias=one, drift=2 * one, jitter=3 * one, burst=4 * one, level=np.zeros((1, 1, 1))
    )
    scales = Scales(slow=10.0, jitter=100.0, burst=1000.0, spread=0.5)
    # sqrt(0.36) of the bias and sqrt(0.64) of the drift: 10 (0.6 + 1.6) + 300 + 4000.
    np.testing.assert_allclose(errors.scaled(scales, 0.36), 4322.0 * one)


def test_the_level_strengthens_drift_and_jitter_but_not_habits() -> None:
    one = np.ones((1, 1, 3))
    errors = Errors(bias=one, drift=one, jitter=one, burst=one, level=np.full((1, 1, 1), np.log(4)))
    np.testing.assert_allclose(errors.scaled(Scales(1, 0, 0, 0.5), 1.0), one)
    np.testing.assert_allclose(errors.scaled(Scales(1, 0, 0, 0.5), 0.0), 2 * one)
    np.testing.assert_allclose(errors.scaled(Scales(0, 1, 0, 0.5), 0.5), 2 * one)


def test_equal_poses_get_equal_habits_wherever_they_occur() -> None:
    network = estimator()
    np.testing.assert_allclose(network.bias(POSES)[50:60], network.bias(POSES[50:60]))
    np.testing.assert_array_equal(network.bias(POSES), estimator().bias(POSES))
    assert not np.allclose(network.bias(POSES), estimator(1).bias(POSES))


def test_habits_are_of_unit_size_depend_on_the_pose_and_smoothly() -> None:
    network = estimator()
    bias = network.bias(POSES)
    assert distance(bias).mean() == pytest.approx(1.0, abs=0.25)
    assert distance(bias - bias.mean(axis=0)).mean() > 0.3
    nudge = np.random.default_rng(0).normal(size=POSES[:50].shape) * 1e-3
    assert distance(network.bias(POSES[:50] + nudge) - bias[:50]).max() < 0.05


def test_random_components_are_of_unit_size() -> None:
    network = estimator()
    drawn = [network.errors(np.random.default_rng(s), motion(9), FPS, 0.0) for s in range(12)]
    for component in ("drift", "jitter"):
        size = np.mean([distance(getattr(errors, component)).mean() for errors in drawn])
        assert size == pytest.approx(1.0, abs=0.25)
    assert np.std([errors.level for errors in drawn]) == pytest.approx(1.0, abs=0.25)
    assert all((errors.burst == 0).all() for errors in drawn)


def test_drift_is_slow_and_jitter_is_not() -> None:
    errors = estimator().errors(np.random.default_rng(0), motion(9), FPS, 0.0)
    steps = [distance(np.diff(e, axis=0)).mean() for e in (errors.drift, errors.jitter)]
    assert steps[0] < 0.1 < 1.0 < steps[1]


def test_depth_and_the_ends_of_limbs_are_worse() -> None:
    jitter = estimator().errors(np.random.default_rng(0), motion(9), FPS, 0.0).jitter
    spread = jitter.std(axis=0)
    assert spread[:, 2].mean() > 1.4 * spread[:, :2].mean()
    joints = BODY_14.joints
    assert spread[joints.index("lwrist")].mean() > 1.5 * spread[joints.index("lhip")].mean()


def test_bursts_hide_limbs_for_about_the_asked_share_and_never_the_trunk() -> None:
    network = estimator()
    share = 0.1
    hidden = [
        (network.errors(np.random.default_rng(s), motion(9), FPS, share).burst != 0).any(-1)
        for s in range(20)
    ]
    found = np.mean(hidden, axis=(0, 1))
    joints = BODY_14.joints
    for joint in ("lwrist", "relbow", "rknee", "lankle"):
        assert found[joints.index(joint)] == pytest.approx(share, abs=0.06)
    for joint in ("lhip", "neck", "rshoulder"):
        assert found[joints.index(joint)] == 0
    # A limb is hidden as a whole.
    wrist, elbow = joints.index("lwrist"), joints.index("lelbow")
    np.testing.assert_array_equal(hidden[0][:, wrist], hidden[0][:, elbow])


def test_draws_are_seeded() -> None:
    network = estimator()
    one, other = (network.errors(np.random.default_rng(s), motion(9), FPS, 0.1) for s in (1, 1))
    np.testing.assert_array_equal(one.drift, other.drift)
    np.testing.assert_array_equal(one.burst, other.burst)
