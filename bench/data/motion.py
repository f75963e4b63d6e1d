"""Synthetic human motion: joint angles of everyday actions, made into positions.

Axes of a person: x to the left, y up, z forward. Angles are in radians and anatomical: a bent
knee, a bent elbow, a raised arm and a flexed hip are positive on both sides of the body.
Nothing here is fitted to recorded motion; docs/stand-ins.md says how alike it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.contracts import BadInput
from bench.kinematics import Floats, forward_kinematics, rotation_matrices

Range = tuple[float, float]

# Joint: parent, and the way from it in metres for an adult of 1.72 m who stands with hanging arms.
_CENTRE: dict[str, tuple[str, tuple[float, float, float]]] = {
    "hip": ("", (0, 0, 0)),
    "spine": ("hip", (0, 0.23, -0.01)),
    "belly": ("spine", (0, -0.05, 0.06)),
    "thorax": ("spine", (0, 0.21, -0.01)),
    "neck": ("thorax", (0, 0.05, 0)),
    "head": ("neck", (0, 0.1, 0.05)),
    "face": ("neck", (0, 0.12, 0.09)),
    "headtop": ("neck", (0, 0.23, 0.01)),
}
_SIDE: dict[str, tuple[str, tuple[float, float, float]]] = {
    "hip": ("", (0.12, 0, 0)),
    "knee": ("hip", (0, -0.44, 0)),
    "ankle": ("knee", (0, -0.43, 0)),
    "collar": ("", (0.03, 0.01, 0)),
    "shoulder": ("collar", (0.14, 0, 0)),
    "elbow": ("shoulder", (0, -0.28, 0)),
    "wrist": ("elbow", (0, -0.25, 0)),
}

# Angle: joint, axis on the left side or in the middle, and what the joint allows.
_CENTRE_ANGLES: dict[str, tuple[str, tuple[float, float, float], Range]] = {
    "lean": ("hip", (1, 0, 0), (-0.4, 1.2)),
    "roll": ("hip", (0, 0, 1), (-0.4, 0.4)),
    "bend": ("spine", (1, 0, 0), (-0.4, 0.9)),
    "twist": ("spine", (0, 1, 0), (-0.6, 0.6)),
    "sway": ("spine", (0, 0, 1), (-0.4, 0.4)),
    "chest_bend": ("thorax", (1, 0, 0), (-0.3, 0.5)),
    "chest_twist": ("thorax", (0, 1, 0), (-0.5, 0.5)),
    "nod": ("neck", (1, 0, 0), (-0.6, 0.8)),
    "look": ("neck", (0, 1, 0), (-1.1, 1.1)),
    "tilt": ("neck", (0, 0, 1), (-0.5, 0.5)),
}
_SIDE_ANGLES: dict[str, tuple[str, tuple[float, float, float], Range]] = {
    "hip_flex": ("hip", (-1, 0, 0), (-0.5, 1.9)),
    "hip_out": ("hip", (0, 0, 1), (-0.2, 0.9)),
    "hip_spin": ("hip", (0, 1, 0), (-0.4, 0.6)),
    "knee": ("knee", (1, 0, 0), (0.04, 2.3)),
    "shrug": ("collar", (0, 0, 1), (-0.1, 0.5)),
    "arm_flex": ("shoulder", (-1, 0, 0), (-0.8, 2.8)),
    "arm_out": ("shoulder", (0, 0, 1), (0.02, 2.3)),
    "arm_spin": ("shoulder", (0, -1, 0), (-0.8, 1.2)),
    "elbow": ("elbow", (-1, 0, 0), (0.08, 2.4)),
}
_MIRROR = np.array([1.0, -1.0, -1.0])


def _tree() -> tuple[tuple[str, ...], tuple[int, ...], Floats]:
    names = list(_CENTRE)
    parents = [names.index(up) if up else -1 for up, _ in _CENTRE.values()]
    offsets = [offset for _, offset in _CENTRE.values()]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, (up, (x, y, z)) in _SIDE.items():
            names.append(side + joint)
            above = side + up if up else {"hip": "hip", "collar": "thorax"}[joint]
            parents.append(names.index(above))
            offsets.append((sign * x, y, z))
    return tuple(names), tuple(parents), np.array(offsets, np.float64)


JOINTS, PARENTS, _OFFSETS = _tree()


def _angles() -> tuple[tuple[str, ...], Floats, Floats]:
    """Names of the angles, their map to all joints' rotation vectors, and their limits."""
    names: list[str] = []
    rows: list[Floats] = []
    limits: list[Range] = []

    def add(name: str, joint: str, axis: Floats, allowed: Range) -> None:
        row = np.zeros((len(JOINTS), 3))
        row[JOINTS.index(joint)] = axis
        names.append(name)
        rows.append(row.ravel())
        limits.append(allowed)

    for name, (joint, axis, allowed) in _CENTRE_ANGLES.items():
        add(name, joint, np.array(axis), allowed)
    for side, mirror in (("l", np.ones(3)), ("r", _MIRROR)):
        for name, (joint, axis, allowed) in _SIDE_ANGLES.items():
            add(side + name, side + joint, mirror * axis, allowed)
    return tuple(names), np.array(rows), np.array(limits)


ANGLES, _TO_VECTORS, LIMITS = _angles()
_COLUMN = {name: column for column, name in enumerate(ANGLES)}


def wander(rng: np.random.Generator, seconds: Floats, channels: int, band: Range) -> Floats:
    """Smooth random curves of mean 0 and variance 1 over many draws, slower parts stronger.

    seconds: (T,), the time of each frame; band: lowest and highest frequency in Hz. Returns
    (T, channels).
    """
    parts = 6
    frequency = np.exp(rng.uniform(np.log(band[0]), np.log(band[1]), (parts, channels)))
    phase = rng.uniform(0, 2 * np.pi, (parts, channels))
    weight = 1 / np.sqrt(frequency)
    weight *= np.sqrt(2 / np.square(weight).sum(axis=0))
    waves = np.sin(2 * np.pi * seconds[:, None, None] * frequency + phase)
    curves: Floats = np.einsum("tpc,pc->tc", waves, weight)
    return curves


def body(rng: np.random.Generator) -> Floats:
    """The bones of a random adult: offsets (J, 3) in metres, the same left and right."""
    sizes = rng.normal(1.0, 0.05, len(_CENTRE) + len(_SIDE)).clip(0.88, 1.12)
    per_joint = np.concatenate([sizes, sizes[len(_CENTRE) :]])
    stature = float(np.clip(rng.normal(1.0, 0.05), 0.87, 1.13))
    offsets: Floats = _OFFSETS * per_joint[:, None] * stature
    return offsets


def ease(progress: Floats) -> Floats:
    """Minimum-jerk path from 0 to 1; `progress` outside [0, 1] stays at the ends."""
    u = np.clip(progress, 0.0, 1.0)
    curve: Floats = u**3 * (10 + u * (6 * u - 15))
    return curve


def _poses(
    rng: np.random.Generator,
    seconds: Floats,
    ranges: Mapping[str, Range],
    every: Range,
    taking: Range,
    still: float,
) -> Floats:
    """Angles that go from one drawn posture to the next and stay there for a while.

    ranges: angle -> rest and furthest value; every: seconds between starts; taking: seconds of a
    move; still: share of postures that are the rest. Returns (T, A), zero for other angles.
    """
    count = int(np.ptp(seconds) / every[0]) + 4
    starts = seconds[0] - every[1] + np.cumsum(rng.uniform(*every, count))
    length = np.minimum(rng.uniform(*taking, count), every[0])
    rest, furthest = np.array(list(ranges.values())).T
    common = rng.uniform(0.2, 1.0, (count, 1)) * (rng.uniform(size=(count, 1)) > still)
    amount = common * rng.uniform(0.3, 1.0, (count, len(rest)))
    targets = rest + (furthest - rest) * amount
    now = np.clip(np.searchsorted(starts, seconds, side="right") - 1, 1, count - 1)
    share = ease((seconds - starts[now]) / length[now])[:, None]
    values = targets[now - 1] + share * (targets[now] - targets[now - 1])
    out = np.zeros((len(seconds), len(ANGLES)))
    out[:, [_COLUMN[name] for name in ranges]] = values
    return out


def _bump(phase: Floats, centre: float, sharpness: float) -> Floats:
    """A periodic bump of height 1 at `centre` (share of the cycle)."""
    out: Floats = np.exp(sharpness * (np.cos(phase - 2 * np.pi * centre) - 1))
    return out


def _phase(rng: np.random.Generator, seconds: Floats, rate: float) -> Floats:
    """The phase of a cycle whose length varies a little around 1 / rate seconds."""
    uneven = 0.35 * wander(rng, seconds, 1, (0.05, 0.4))[:, 0]
    phase: Floats = 2 * np.pi * rate * seconds + uneven + rng.uniform(0, 2 * np.pi)
    return phase


@dataclass(frozen=True)
class _Gait:
    """Cycles per second, swings of hip and arm, stance and swing bends of the knee, elbow, lean."""

    rate: Range
    hip: tuple[float, float]
    stance: float
    swing: float
    arm: float
    elbow: float
    lean: float
    turn: float


_WALK = _Gait((0.7, 1.0), (0.14, 0.37), 0.22, 1.0, 0.2, 0.35, 0.05, 0.8)
_RUN = _Gait((1.2, 1.5), (0.36, 0.62), 0.45, 1.55, 0.6, 1.45, 0.16, 0.6)
_STEP = _Gait((0.6, 0.85), (0.12, 0.14), 0.12, 0.5, 0.1, 0.45, 0.04, 0.0)


def _cycle(rng: np.random.Generator, seconds: Floats, gait: _Gait) -> Floats:
    phase = _phase(rng, seconds, rng.uniform(*gait.rate))
    size = rng.uniform(0.85, 1.15) * (1 + 0.08 * wander(rng, seconds, 4, (0.05, 0.5)))
    out = np.zeros((len(seconds), len(ANGLES)))
    arms = rng.uniform(0.5, 1.3, 2) * gait.arm
    for column, (side, shift) in enumerate((("l", 0.0), ("r", np.pi))):
        leg = phase + shift
        middle, swing = gait.hip
        out[:, _COLUMN[side + "hip_flex"]] = middle + swing * size[:, 0] * np.cos(leg + 0.35)
        out[:, _COLUMN[side + "hip_out"]] = 0.04 - 0.04 * np.cos(leg)
        out[:, _COLUMN[side + "knee"]] = (
            0.08
            + gait.stance * size[:, 1] * _bump(leg, 0.14, 5)
            + gait.swing * size[:, 0] * _bump(leg, 0.72, 3.5)
        )
        arm = arms[column] * size[:, 2 + column]
        out[:, _COLUMN[side + "arm_flex"]] = 0.02 - arm * np.cos(leg + 0.1)
        out[:, _COLUMN[side + "arm_out"]] = 0.12 + 0.03 * np.sin(leg)
        out[:, _COLUMN[side + "arm_spin"]] = 0.25
        out[:, _COLUMN[side + "elbow"]] = gait.elbow - 0.45 * arm * np.cos(leg - 0.3)
    out[:, _COLUMN["lean"]] = gait.lean + 0.02 * np.cos(2 * phase)
    out[:, _COLUMN["roll"]] = 0.1 * gait.hip[1] * np.sin(phase + 0.5)
    out[:, _COLUMN["twist"]] = 0.3 * gait.hip[1] * np.cos(phase)
    out[:, _COLUMN["chest_twist"]] = 0.2 * gait.hip[1] * np.cos(phase + 0.2)
    out[:, _COLUMN["look"]] = -0.3 * gait.hip[1] * np.cos(phase)
    return out


_ARM = {"arm_flex": (0.05, 2.2), "arm_out": (0.1, 1.0), "arm_spin": (0.2, 0.9)}
_TRUNK = {"lean": (0.02, 0.25), "bend": (0.03, 0.35), "chest_bend": (0.0, 0.15)}
_HEAD = {"nod": (0.05, 0.45), "look": (-0.5, 0.5), "tilt": (-0.15, 0.15)}


def _sided(side: str, ranges: Mapping[str, Range]) -> dict[str, Range]:
    return {side + name: values for name, values in ranges.items()}


def _walking(rng: np.random.Generator, seconds: Floats) -> tuple[Floats, Floats]:
    return _cycle(rng, seconds, _WALK), _circling(rng, seconds, _WALK)


def _running(rng: np.random.Generator, seconds: Floats) -> tuple[Floats, Floats]:
    return _cycle(rng, seconds, _RUN), _circling(rng, seconds, _RUN)


def _circling(rng: np.random.Generator, seconds: Floats, gait: _Gait) -> Floats:
    speed = rng.choice([-1.0, 1.0]) * rng.uniform(0.2, gait.turn)
    rate = speed * (1 + 0.5 * wander(rng, seconds, 1, (0.05, 0.3))[:, 0])
    heading: Floats = np.cumsum(rate) * (seconds[1] - seconds[0])
    return heading


def _standing(rng: np.random.Generator, seconds: Floats) -> Floats:
    """Weight shifting from leg to leg."""
    shift = wander(rng, seconds, 1, (0.05, 0.35))[:, 0]
    out = np.zeros((len(seconds), len(ANGLES)))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        loose = ease(0.5 + 0.4 * sign * shift)
        out[:, _COLUMN[side + "hip_flex"]] = 0.05 + 0.2 * loose
        out[:, _COLUMN[side + "hip_out"]] = 0.08 + 0.05 * sign * shift
        out[:, _COLUMN[side + "knee"]] = 0.08 + 0.4 * loose
    out[:, _COLUMN["roll"]] = 0.05 * shift
    return out


def _reaching(rng: np.random.Generator, seconds: Floats) -> tuple[Floats, Floats]:
    out = _standing(rng, seconds)
    for side in "lr":
        arm = _sided(side, _ARM | {"elbow": (0.5, rng.uniform(0.1, 1.8)), "shrug": (0.0, 0.25)})
        out += _poses(rng, seconds, arm, (0.7, 2.0), (0.45, 0.9), 0.35)
    turn = rng.choice([-1.0, 1.0], 2)
    trunk = _TRUNK | {"twist": (0.0, 0.5 * turn[0]), "sway": (0.0, 0.2 * turn[1])}
    out += _poses(rng, seconds, trunk, (1.0, 2.5), (0.6, 1.1), 0.4)
    out += _poses(rng, seconds, _HEAD, (0.8, 2.2), (0.4, 0.8), 0.3)
    return out, 0.25 * wander(rng, seconds, 1, (0.03, 0.15))[:, 0]


def _sitting(rng: np.random.Generator, seconds: Floats) -> tuple[Floats, Floats]:
    out = np.zeros((len(seconds), len(ANGLES)))
    for side in "lr":
        leg = {
            "hip_flex": (rng.uniform(1.3, 1.55), rng.uniform(1.2, 1.75)),
            "hip_out": (rng.uniform(0.05, 0.2), rng.uniform(0.0, 0.4)),
            "knee": (rng.uniform(1.3, 1.7), rng.uniform(0.9, 1.9)),
        }
        out += _poses(rng, seconds, _sided(side, leg), (2.0, 5.0), (0.8, 1.4), 0.3)
        arm = {
            "arm_flex": (0.4, 1.3),
            "arm_out": (0.15, 0.5),
            "arm_spin": (0.5, 0.1),
            "elbow": (1.0, 1.9),
        }
        out += _poses(rng, seconds, _sided(side, arm), (0.8, 2.6), (0.4, 0.9), 0.4)
    out += _poses(rng, seconds, _TRUNK | {"twist": (-0.2, 0.2)}, (1.8, 4.0), (0.9, 1.5), 0.4)
    out += _poses(rng, seconds, _HEAD, (0.8, 2.4), (0.4, 0.8), 0.3)
    return out, 0.1 * wander(rng, seconds, 1, (0.03, 0.1))[:, 0]


def _turning(rng: np.random.Generator, seconds: Floats) -> tuple[Floats, Floats]:
    count = int(np.ptp(seconds) / 1.5) + 4
    starts = seconds[0] - 2.5 + np.cumsum(rng.uniform(1.5, 3.5, count))
    moves = rng.choice([-1.0, 1.0], count) * rng.uniform(0.6, 2.4, count)
    taking = rng.uniform(1.0, 1.9, count)

    def heading(at: Floats) -> Floats:
        total: Floats = (ease((at[:, None] - starts) / taking) * moves).sum(axis=1)
        return total

    out = _cycle(rng, seconds, _STEP)
    # Head and chest look where the body is about to go.
    ahead = heading(seconds + 0.25) - heading(seconds)
    out[:, _COLUMN["look"]] += 0.7 * ahead
    out[:, _COLUMN["twist"]] += 0.5 * ahead
    for side in "lr":
        arm = _sided(side, {"arm_flex": (0.0, 0.8), "arm_out": (0.05, 0.5), "elbow": (0.1, 0.9)})
        out += _poses(rng, seconds, arm, (1.2, 3.0), (0.6, 1.2), 0.4)
    return out, heading(seconds)


def _dancing(rng: np.random.Generator, seconds: Floats) -> tuple[Floats, Floats]:
    beat = rng.uniform(1.5, 2.1)
    phase = _phase(rng, seconds, beat)
    half = phase / 2
    depth = rng.uniform(0.15, 0.4) * (1 + 0.3 * wander(rng, seconds, 1, (0.1, 0.5))[:, 0])
    side_step = rng.uniform(0.05, 0.15)
    out = np.zeros((len(seconds), len(ANGLES)))
    bounce = depth * (1 - np.cos(phase)) / 2
    long = 1 / beat
    for side, sign in (("l", 1.0), ("r", -1.0)):
        lift = rng.uniform(0.2, 0.9) * _bump(half, 0.25 + 0.25 * sign, 4)
        out[:, _COLUMN[side + "hip_flex"]] = 0.1 + 0.6 * bounce + lift
        out[:, _COLUMN[side + "knee"]] = 0.15 + 1.2 * bounce + 1.3 * lift
        out[:, _COLUMN[side + "hip_out"]] = 0.15 + side_step * np.cos(half) * sign
        leg = _sided(side, {"hip_out": (0.0, 0.35), "hip_spin": (0.0, 0.3), "hip_flex": (0.0, 0.4)})
        out += _poses(rng, seconds, leg, (2 * long, 4 * long), (0.9 * long, 1.5 * long), 0.4)
        arm = {
            "arm_flex": (0.1, rng.uniform(0.8, 2.4)),
            "arm_out": (0.2, rng.uniform(0.7, 1.7)),
            "arm_spin": (-0.3, 0.8),
            "elbow": (0.3, 1.9),
            "shrug": (0.0, 0.3),
        }
        moves = _sided(side, arm)
        out += _poses(rng, seconds, moves, (1 * long, 3 * long), (0.7 * long, 1.3 * long), 0.2)
        out[:, _COLUMN[side + "arm_flex"]] += 0.15 * np.cos(phase + sign)
        out[:, _COLUMN[side + "elbow"]] += 0.2 * (1 + np.cos(half + sign))
    trunk = _TRUNK | {"twist": (-0.4, 0.4), "sway": (-0.2, 0.2)}
    out += _poses(rng, seconds, trunk, (2 * long, 4 * long), (long, 1.6 * long), 0.3)
    out += _poses(rng, seconds, _HEAD, (long, 4 * long), (0.6 * long, 1.2 * long), 0.3)
    out[:, _COLUMN["roll"]] += side_step * np.cos(half)
    out[:, _COLUMN["sway"]] -= side_step * np.cos(half)
    out[:, _COLUMN["chest_twist"]] += 0.1 * np.cos(half + 1)
    turns = rng.uniform(0.3, 1.0) * wander(rng, seconds, 1, (0.05, 0.4))[:, 0]
    return out, turns


_ACTIONS: dict[str, Callable[[np.random.Generator, Floats], tuple[Floats, Floats]]] = {
    "walking": _walking,
    "running": _running,
    "sitting": _sitting,
    "reaching": _reaching,
    "turning": _turning,
    "dancing": _dancing,
}
ACTIONS = tuple(_ACTIONS)


def _within_limits(angles: Floats) -> Floats:
    """Angles bent softly into what the joints allow; inside by 0.1 rad they hardly change."""
    low, high = LIMITS.T
    knee = 0.03
    raised = low + knee * np.logaddexp(0.0, (angles - low) / knee)
    bounded: Floats = high - knee * np.logaddexp(0.0, (high - raised) / knee)
    return bounded


def _on_the_ground(positions: Floats, fps: float) -> Floats:
    """The root's path (T, 3) that keeps the standing foot where it is, at height 0.

    The standing foot is low, and moves backwards under the body where both are.
    """
    feet = positions[:, [JOINTS.index("lankle"), JOINTS.index("rankle")]]
    left = positions[:, JOINTS.index("lhip")] - positions[:, JOINTS.index("rhip")]
    forward = np.cross(left / np.linalg.norm(left, axis=-1, keepdims=True), [0.0, 1.0, 0.0])
    height = feet[..., 1]
    lowest = -0.03 * np.logaddexp(*(-height.T / 0.03))
    steps = np.diff(feet, axis=0)
    ahead = fps * (steps * forward[1:, None]).sum(axis=-1)
    load = -height[1:] / 0.05 - ahead / 0.2
    weight = np.exp(load - load.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    path = np.zeros((len(positions), 3))
    path[1:] = -np.cumsum((weight[..., None] * steps).sum(axis=1), axis=0)
    path[:, 1] = -lowest
    return path


def perform(
    rng: np.random.Generator,
    actions: Sequence[str],
    bones: Floats,
    frames: int,
    fps: float,
    tempo: float = 1.0,
) -> Floats:
    """A person's motion through `actions`, one after the other with smooth changes between.

    actions: names from ACTIONS; bones: (J, 3) from `body`; frames: T, at least 2; fps: frames
    per second; tempo: 2 moves twice as fast. Returns the positions (T, J, 3) of JOINTS in metres
    in the world, the feet near y = 0. Raises BadInput for an unknown action.
    """
    for action in actions:
        if action not in _ACTIONS:
            raise BadInput(f"unknown action '{action}'", expected=", ".join(ACTIONS))
    seconds = np.arange(frames, dtype=np.float64) * (tempo / fps)
    cuts = np.linspace(0, seconds[-1], len(actions) + 1)[1:-1]
    cuts += rng.uniform(-0.1, 0.1, len(cuts)) * seconds[-1] / len(actions)
    angles = np.zeros((frames, len(ANGLES)))
    rate = np.zeros(frames)
    started = np.ones(frames)
    for number, action in enumerate(actions):
        over = ease((seconds - cuts[number]) / 1.2 + 0.5) if number < len(cuts) else 0.0
        share = started - over
        moved, heading = _ACTIONS[action](rng, seconds)
        angles += share[:, None] * moved
        rate += share * np.gradient(heading)
        started = np.broadcast_to(over, frames)
    # People differ in posture, and no joint is ever quite still.
    angles += rng.normal(0, 0.05, len(ANGLES)) * (LIMITS[:, 1] - LIMITS[:, 0]).clip(max=1.0)
    angles += 0.035 * wander(rng, seconds, len(ANGLES), (0.05, 0.6))
    angles += 0.008 * wander(rng, seconds, len(ANGLES), (1.0, 5.0))
    angles = _within_limits(angles)
    turned = np.zeros((frames, 3))
    turned[:, 1] = np.cumsum(rate) + rng.uniform(0, 2 * np.pi)
    rotations = rotation_matrices((angles @ _TO_VECTORS).reshape(frames, len(JOINTS), 3))
    rotations[:, 0] = rotation_matrices(turned) @ rotations[:, 0]
    positions = forward_kinematics(rotations, bones, PARENTS)
    return positions + _on_the_ground(positions, fps)[:, None]
