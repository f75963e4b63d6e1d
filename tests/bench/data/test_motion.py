from __future__ import annotations

import numpy as np
import pytest

from bench.contracts import BadInput
from bench.data.motion import ACTIONS, JOINTS, PARENTS, body, ease, perform, wander
from bench.data.skeletons import BODY_14, H36M_17, HOURGLASS_14, JHMDB_15
from bench.kinematics import Floats

FPS = 50.0


def at(motion: Floats, joint: str) -> Floats:
    return motion[:, JOINTS.index(joint)]


def act(action: str, seed: int = 0, frames: int = 300, tempo: float = 1.0) -> Floats:
    rng = np.random.default_rng(seed)
    return perform(rng, [action], body(rng), frames, FPS, tempo)


def bend(motion: Floats, upper: str, joint: str, lower: str) -> Floats:
    """The angle between two bones, 0 when stretched."""
    first = at(motion, joint) - at(motion, upper)
    second = at(motion, lower) - at(motion, joint)
    cosine = (first * second).sum(-1)
    cosine /= np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return np.arccos(cosine.clip(-1, 1))


def hip_to_hip(motion: Floats) -> tuple[Floats, Floats]:
    """Unit vectors to the left and forward of the pelvis."""
    left = at(motion, "lhip") - at(motion, "rhip")
    left /= np.linalg.norm(left, axis=-1, keepdims=True)
    forward = np.cross(left, at(motion, "spine") - at(motion, "hip"))
    return left, forward / np.linalg.norm(forward, axis=-1, keepdims=True)


def test_every_skeleton_with_a_stand_in_finds_its_joints() -> None:
    for skeleton in (H36M_17, BODY_14, JHMDB_15, HOURGLASS_14):
        assert set(skeleton.joints) <= set(JOINTS)


def test_ease_starts_and_ends_at_rest() -> None:
    np.testing.assert_allclose(ease(np.array([-1, 0, 0.5, 1, 2.0])), [0, 0, 0.5, 1, 1])


def test_wander_has_unit_variance_and_stays_in_its_band() -> None:
    seconds = np.arange(4000) / FPS
    curves = wander(np.random.default_rng(0), seconds, 40, (0.5, 2.0))
    assert curves.std() == pytest.approx(1.0, abs=0.05)
    spectrum = np.square(np.abs(np.fft.rfft(curves, axis=0))).sum(axis=1)
    frequency = np.fft.rfftfreq(len(seconds), 1 / FPS)
    inside = (frequency > 0.4) & (frequency < 2.1)
    assert spectrum[inside].sum() > 0.99 * spectrum.sum()


def test_bodies_are_symmetric_adults_and_differ() -> None:
    rng = np.random.default_rng(0)
    one, other = body(rng), body(rng)
    assert not np.allclose(one, other)
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        left, right = one[JOINTS.index("l" + joint)], one[JOINTS.index("r" + joint)]
        np.testing.assert_allclose(left, right * [-1, 1, 1])
    thigh = np.linalg.norm(one[JOINTS.index("lknee")])
    assert 0.33 < thigh < 0.57


@pytest.mark.parametrize("action", ACTIONS)
def test_motion_is_repeatable_and_seeded(action: str) -> None:
    np.testing.assert_array_equal(act(action), act(action))
    assert not np.allclose(act(action), act(action, seed=1))


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_are_rigid_and_no_joint_stands_still(action: str) -> None:
    motion = act(action)
    for joint, parent in enumerate(PARENTS[1:], start=1):
        length = np.linalg.norm(motion[:, joint] - motion[:, parent], axis=-1)
        np.testing.assert_allclose(length, length[0])
    relative = motion - motion[:, :1]
    moved = np.linalg.norm(np.diff(relative, axis=0), axis=-1)
    assert (moved[:, 1:].mean(axis=0) > 1e-5).all()


@pytest.mark.parametrize("action", ACTIONS)
def test_knees_and_elbows_bend_the_right_way(action: str) -> None:
    motion = act(action, seed=3)
    for side in "lr":
        knee = bend(motion, side + "hip", side + "knee", side + "ankle")
        elbow = bend(motion, side + "shoulder", side + "elbow", side + "wrist")
        assert knee.max() < 2.4
        assert elbow.max() < 2.5
        # The axis about which the shank turns against the thigh points to the left: backwards.
        thigh = at(motion, side + "knee") - at(motion, side + "hip")
        shank = at(motion, side + "ankle") - at(motion, side + "knee")
        left, _ = hip_to_hip(motion)
        assert ((np.cross(thigh, shank) * left).sum(-1)[knee > 0.3] > 0).all()


def test_arms_bend_forward_when_they_hang() -> None:
    motion = act("walking")
    _, forward = hip_to_hip(motion)
    for side in "lr":
        upper = at(motion, side + "elbow") - at(motion, side + "shoulder")
        lower = at(motion, side + "wrist") - at(motion, side + "elbow")
        upper /= np.linalg.norm(upper, axis=-1, keepdims=True)
        across = lower - (lower * upper).sum(-1, keepdims=True) * upper
        assert ((across * forward).sum(-1) > 0).mean() > 0.95


@pytest.mark.parametrize("action", ["walking", "running", "turning", "reaching", "dancing"])
def test_people_stand_upright_on_the_ground(action: str) -> None:
    motion = act(action)
    feet = np.minimum(at(motion, "lankle")[:, 1], at(motion, "rankle")[:, 1])
    assert np.abs(feet).max() < 0.03
    assert (at(motion, "headtop")[:, 1] > 1.0).all()


def test_sitting_is_lower_than_standing() -> None:
    assert act("sitting")[:, 0, 1].mean() < 0.7 * act("reaching")[:, 0, 1].mean()


def test_walking_goes_forward_at_a_human_speed_with_the_foot_at_rest() -> None:
    motion = act("walking", frames=500)
    step = np.diff(motion[:, 0], axis=0) * FPS
    _, forward = hip_to_hip(motion)
    speed = (step * forward[1:]).sum(-1).mean()
    assert 0.6 < speed < 2.0
    feet = np.stack([at(motion, "lankle"), at(motion, "rankle")])
    slip = np.linalg.norm(np.diff(feet, axis=1), axis=-1).min(axis=0) * FPS
    assert np.median(slip) < 0.1


def test_cycles_vary() -> None:
    knee = bend(act("walking", frames=1000), "lhip", "lknee", "lankle")
    peaks = [i for i in range(1, 999) if knee[i] > 0.9 and knee[i - 1] < knee[i] > knee[i + 1]]
    assert len(peaks) > 10
    assert np.diff(peaks).std() > 0.5
    assert knee[peaks].std() > 0.01


def test_tempo_makes_people_faster() -> None:
    slow, fast = act("walking", tempo=0.5), act("walking", tempo=1.5)
    ankles = [np.abs(np.diff(at(m, "lankle") - at(m, "hip"), axis=0)).mean() for m in (slow, fast)]
    assert ankles[1] > 2 * ankles[0]


def test_actions_change_without_jumps() -> None:
    rng = np.random.default_rng(5)
    motion = perform(rng, ["sitting", "walking", "dancing"], body(rng), 900, FPS)
    assert np.linalg.norm(np.diff(motion, axis=0), axis=-1).max() * FPS < 8.0
    assert motion[:50, 0, 1].mean() < 0.75 < motion[450:600, 0, 1].mean()


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown action 'flying'.*walking"):
        act("flying")
