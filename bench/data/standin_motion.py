"""The stand-in for motion capture in exponential maps: bodies that move, seen without error.

Motion from `bench.data.motion`, put into the frame that Human3.6M's has: the hip at the origin, the
left hip on +x, the back upwards along y (spec 4.3). Clips are named as the real ones are.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from bench.config import DatasetConfig, StandinConfig
from bench.contracts import BadInput
from bench.data.assembly import assemble
from bench.data.clips import SPLITS, Clip, Dataset, Split, check_clip, place_of
from bench.data.expmap import H36M_SUBJECTS
from bench.data.motion import JOINTS, body, perform
from bench.data.skeletons import H36M_22
from bench.kinematics import Floats
from bench.seeds import seed_for

_TAKES = (1, 2)
_DIGITS = 5  # 10 um, so that another processor's last bits change nothing

# Metres: ankle to foot forwards and downwards, foot to toe, wrist to hand, wrist to thumb.
_FOOT, _SOLE, _TOE, _HAND, _THUMB = 0.15, 0.05, 0.07, 0.1, 0.09


def motion_standin(name: str, config: DatasetConfig, plan: StandinConfig) -> Dataset:
    """Generate the stand-in of a motion capture dataset on skeleton h36m-22, in metres.

    The same for the same configuration on every run. Every subject of a split does every action
    twice, as SUBJECT/ACTION_1 and _2, until there are `plan.clips` of them. BadInput when that is
    not enough for as many clips, or the dataset has another skeleton.
    """
    if config.skeleton != H36M_22.name:
        raise BadInput(
            f"dataset '{name}' has no stand-in", found=config.skeleton, expected=H36M_22.name
        )
    bones = body(_rng(plan, "body"))
    clips = {
        split: tuple(_clip(clip, bones, config, plan) for clip in _names(split, plan))
        for split in SPLITS
    }
    return assemble(name, config, clips, "synthetic motion", standin=True)


def _names(split: Split, plan: StandinConfig) -> list[str]:
    subjects = [subject for subject, where in H36M_SUBJECTS.items() if where == split]
    names = [f"{s}/{a}_{take}" for s, a, take in product(subjects, plan.actions, _TAKES)]
    if plan.clips[split] > len(names):
        raise BadInput(
            f"the {split} split of the stand-in has too few subjects and actions",
            found=f"{len(names)} clips",
            expected=f"{plan.clips[split]}",
            hint="change its standin entries in the configuration",
        )
    return names[: plan.clips[split]]


def _rng(plan: StandinConfig, *axes: str) -> np.random.Generator:
    """Independent draws for every named purpose: more clips do not change the others."""
    return np.random.default_rng(seed_for("motion", plan.seed, *axes))


def _clip(name: str, bones: Floats, config: DatasetConfig, plan: StandinConfig) -> Clip:
    rng = _rng(plan, name)
    frames = int(rng.integers(plan.frames[0], plan.frames[1] + 1))
    moved = perform(rng, [place_of(name).action], bones, frames, config.fps, plan.tempo)
    poses = _in_hips(moved).round(_DIGITS).astype(np.float32)
    clip = Clip(name=name, recording=name, detected=poses, truth=poses)
    check_clip(clip, H36M_22, "3d")
    return clip


def _in_hips(positions: Floats) -> Floats:
    """Positions (T, J, 3) of the generator's joints in the world -> those of h36m-22, metres."""
    at = {joint: positions[:, index] for index, joint in enumerate(JOINTS)}
    left = _unit(at["lhip"] - at["rhip"])
    back = at["spine"] - at["hip"]
    up = _unit(back - _dot(back, left) * left)
    for side in "lr":
        shin = _unit(at[side + "knee"] - at[side + "ankle"])
        # The ankle is held at a right angle to the shin and to the line through the hips.
        ahead = _unit(np.cross(left, shin))
        at[side + "foot"] = at[side + "ankle"] + _FOOT * ahead - _SOLE * shin
        at[side + "toe"] = at[side + "foot"] + _TOE * ahead
        forearm = _unit(at[side + "wrist"] - at[side + "elbow"])
        at[side + "hand"] = at[side + "wrist"] + _HAND * forearm
        # The thumb points to where the elbow bends the arm: elbows are never quite straight.
        upper = at[side + "shoulder"] - at[side + "elbow"]
        inner = _unit(upper - _dot(upper, forearm) * forearm)
        at[side + "thumb"] = at[side + "wrist"] + _THUMB * _unit(forearm + inner)
    axes = np.stack([left, up, np.cross(left, up)], axis=-1)
    relative = np.stack([at[joint] - at["hip"] for joint in H36M_22.joints], axis=1)
    return relative @ axes


def _dot(a: Floats, b: Floats) -> Floats:
    dot: Floats = (a * b).sum(axis=-1, keepdims=True)
    return dot


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
