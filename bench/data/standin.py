"""Stand-ins: synthetic clips in place of a dataset that is not on this machine.

Motion from `bench.data.motion`, errors from `bench.data.detector`, scaled until the estimator at
every frame scores on the test split what was published for it; motion capture has no errors
(bench/data/standin_motion.py). docs/stand-ins.md says what such clips can tell and what not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import metrics
from bench.config import DatasetConfig, StandinConfig
from bench.contracts import BadInput
from bench.data.assembly import assemble
from bench.data.clips import SPLITS, Clip, Dataset, Skeleton, Space, Split, check_clip
from bench.data.detector import Estimator, Scales
from bench.data.motion import JOINTS, body, perform
from bench.data.skeletons import SKELETONS
from bench.data.standin_motion import motion_standin
from bench.kinematics import Floats

# Strengths relative to the slow errors that are not solved for: two numbers fix two of them in
# 3D, three in 2D.
_SPREAD_3D = 0.4
_BURST_3D = 2.0
_JITTER_2D = 0.4

_ALPHAS = (0.2, 0.1, 0.05)
_MM = 1000.0
_FOCAL = 1.15  # of the larger side of the image, as common cameras have
_LONG = 300  # frames in which a person may begin something else

# Numbers are rounded (10 um, 1/100 px), so that another processor's last bits change nothing.
_DECIMALS: Mapping[Space, int] = {"3d": 5, "2d": 2}

# Calibration: most steps, gap that ends it, width of a slope and longest move (in logarithms).
_STEPS, _CLOSE, _WIDTH, _REACH = 15, 0.002, 0.05, 0.4

# How far a calibrated score may stay from its target.
_TOLERANCE = 0.05


@dataclass(frozen=True)
class _Scene:
    """One clip before detection.

    truth: (T, J, D) as the dataset has it; poses: the same free of place and size, which is what
    the estimator's habits depend on; size: (T, 1, 1), one unit of `poses` in that of `truth`.
    """

    name: str
    recording: str
    truth: Floats
    poses: Floats
    size: Floats
    box: Floats | None = None


def standin(name: str, config: DatasetConfig) -> Dataset:
    """Generate the stand-in of a dataset: the same for the same configuration on every run.

    name: of the dataset; config: its configuration. Raises BadInput when it describes no
    stand-in, or one whose targets cannot be reached.
    """
    plan = config.standin
    if plan is None or config.space == "6d":
        raise BadInput(f"dataset '{name}' has no stand-in", hint="its data itself is needed")
    if config.task == "prediction":
        return motion_standin(name, config, plan)
    skeleton = SKELETONS[config.skeleton]
    scenes = {split: _scenes(split, config, plan, skeleton) for split in SPLITS}
    seen = np.concatenate([scene.poses[::5] for scene in scenes["train"]])
    estimator = Estimator(_rng(plan, name, "estimator"), skeleton, seen)
    errors = {
        split: [
            estimator.errors(
                _rng(plan, name, "errors", scene.name), scene.poses, config.fps, plan.bursts
            )
            for scene in scenes[split]
        ]
        for split in SPLITS
    }

    def mistakes(split: Split, scales: Scales) -> list[Floats]:
        """The errors of a split's clips in the dataset's unit."""
        found = []
        for scene, error in zip(scenes[split], errors[split], strict=True):
            scaled = scene.size * error.scaled(scales, plan.learnable)
            found.append(_to_root(scaled, skeleton.root) if config.space == "3d" else scaled)
        return found

    def score(scales: Scales) -> dict[str, float]:
        return _scores(mistakes("test", scales), [scene.box for scene in scenes["test"]])

    scales = _calibrated(name, config.space, score, plan.targets or config.single_frame)
    clips: dict[Split, tuple[Clip, ...]] = {
        split: tuple(
            _clip(scene, error, config)
            for scene, error in zip(scenes[split], mistakes(split, scales), strict=True)
        )
        for split in SPLITS
    }
    return assemble(
        name, config, clips, "synthetic motion with calibrated detector errors", standin=True
    )


def calibration(dataset: Dataset) -> dict[str, float]:
    """What the estimator at every frame scores on the test split, in the tables' units.

    3D: mpjpe (mm), accel (mm/frame^2); 2D: pck@0.2, pck@0.1, pck@0.05 as fractions (mean over
    joints and frames of a clip, then over clips), pixels. Every frame counts (spec 3.4).
    """
    clips = dataset.clips["test"]
    errors = [clip.detected.astype(np.float64) - clip.truth for clip in clips]
    return _scores(errors, [clip.box for clip in clips])


def _scores(errors: Sequence[Floats], boxes: Sequence[NDArray[Any] | None]) -> dict[str, float]:
    nothing = np.zeros(())
    if boxes[0] is None:
        position = np.concatenate([metrics.mpjpe(error, nothing) for error in errors])
        speeding = np.concatenate([metrics.accel(error, nothing) for error in errors])
        return {"mpjpe": _MM * float(position.mean()), "accel": _MM * float(speeding.mean())}
    sizes = [metrics.box_size(box) for box in boxes if box is not None]
    scores = {"pixels": float(np.concatenate([metrics.mpjpe(e, nothing) for e in errors]).mean())}
    for alpha in _ALPHAS:
        shares = [
            metrics.pck(error, nothing, size, alpha).mean()
            for error, size in zip(errors, sizes, strict=True)
        ]
        scores[f"pck@{alpha:g}"] = float(np.mean(shares))
    return scores


def _calibrated(
    name: str,
    space: Space,
    score: Callable[[Scales], dict[str, float]],
    targets: Mapping[str, float],
) -> Scales:
    """The scales that bring the scores to the targets, found with the same draws throughout."""
    if space == "3d":
        wanted = {metric: targets[metric] for metric in ("mpjpe", "accel")}
        start = np.log([wanted["mpjpe"] / _MM, 0.2 * wanted["accel"] / _MM])
    else:
        wanted = {f"pck@{alpha:g}": targets[f"pck@{alpha:g}"] for alpha in _ALPHAS}
        start = np.log([0.03, 0.15, 0.8])

    def scales(logs: Floats) -> Scales:
        # Four digits: what the solver leaves open beyond them differs between processors.
        free = [float(f"{value:.4g}") for value in np.exp(logs)]
        if space == "3d":
            slow, jitter = free
            return Scales(slow, jitter, _BURST_3D * slow, _SPREAD_3D)
        slow, burst, spread = free
        return Scales(slow, _JITTER_2D * slow, burst, spread)

    def missing(logs: Floats) -> Floats:
        found = score(scales(logs))
        return np.array([_gap(found[metric], target) for metric, target in wanted.items()])

    solved = scales(_solved(missing, start))
    found = score(solved)
    for metric, target in wanted.items():
        if abs(found[metric] - target) > _TOLERANCE * target:
            raise BadInput(
                f"the stand-in of '{name}' cannot be calibrated",
                found=f"{metric} {found[metric]:.4g}",
                expected=f"{target:.4g}",
                hint="change its standin entries in the configuration",
            )
    return solved


def _solved(missing: Callable[[Floats], Floats], start: Floats) -> Floats:
    """Where `missing` is nearest to zero, by Newton steps of bounded length from `start`.

    The slopes are taken over wide steps: scores that count joints are stairs.
    """
    here, best, least = start, start, np.inf
    for _ in range(_STEPS):
        gap = missing(here)
        size = float(np.abs(gap).max())
        if size < least:
            best, least = here, size
        if size < _CLOSE:
            break
        slopes = [(missing(here + step) - gap) / _WIDTH for step in _WIDTH * np.eye(len(here))]
        move = np.linalg.lstsq(np.stack(slopes, axis=1), gap)[0]
        here = here - np.clip(move, -_REACH, _REACH)
    return best


def _gap(found: float, target: float) -> float:
    """How far a score is from its target, relative to what there is left to gain."""
    return (found - target) / (1 - target if target < 1 else target)


def _rng(plan: StandinConfig, *axes: str) -> np.random.Generator:
    """Independent draws for every named purpose: more clips do not change the others."""
    digest = hashlib.sha256("/".join(axes).encode()).digest()
    return np.random.default_rng([plan.seed, int.from_bytes(digest[:8], "little")])


def _scenes(
    split: Split, config: DatasetConfig, plan: StandinConfig, skeleton: Skeleton
) -> list[_Scene]:
    columns = [JOINTS.index(joint) for joint in skeleton.joints]
    scenes: list[_Scene] = []
    for number in range(plan.clips[split]):
        index, view = divmod(number, plan.views)
        recording = f"{split}-{index:03d}"
        if view == 0:
            rng = _rng(plan, "motion", recording)
            frames = int(rng.integers(plan.frames[0], plan.frames[1] + 1))
            actions = [plan.actions[index % len(plan.actions)]]
            if frames > _LONG and rng.uniform() < 0.4:
                actions.append(str(rng.choice(plan.actions)))
            motion = perform(rng, actions, body(rng), frames, config.fps, plan.tempo)
            facing = rng.uniform(0, 2 * np.pi)
        rng = _rng(plan, "camera", recording, str(view))
        yaw = facing + 2 * np.pi * view / plan.views + rng.normal(0, 0.1)
        camera = look(yaw, rng.uniform(0.02, 0.3))
        name = f"{recording}/camera{view}"
        if config.image is None:
            relative = _to_root(motion[:, columns] @ camera.T, skeleton.root)
            scenes.append(_Scene(name, recording, relative, relative, np.ones((frames, 1, 1))))
        else:
            pixels = _photographed(
                rng, motion[:, columns], motion[:, 0], camera, config.image, plan.fill
            )
            box = _box(pixels)
            middle = (box[:, None, :2] + box[:, None, 2:]) / 2
            size = metrics.box_size(box)[:, None, None]
            scenes.append(_Scene(name, recording, pixels, (pixels - middle) / size, size, box))
    return scenes


def _to_root(poses: Floats, root: Sequence[int]) -> Floats:
    relative: Floats = poses - poses[:, list(root)].mean(axis=1, keepdims=True)
    return relative


def look(yaw: float, pitch: float) -> Floats:
    """World (y up) to camera (x right, y down, z along the view): (3, 3), for column vectors.

    yaw: where the camera stands around the scene; pitch: how far it looks down, both in radians.
    """
    forward = -np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    return np.stack([right, np.cross(forward, right), forward])


def _photographed(
    rng: np.random.Generator,
    joints: Floats,
    root: Floats,
    camera: Floats,
    image: tuple[int, int],
    fill: float,
) -> Floats:
    """Pixels (T, J, 2) of a camera that pans steadily and stands where it sees everything.

    fill: the largest share of the image, to either side of its centre, that joints reach.
    """
    time = np.linspace(-1, 1, len(root))[:, None]
    followed = root.mean(axis=0) + time * (time * root).sum(axis=0) / np.square(time).sum()
    seen = (joints - followed[:, None]) @ camera.T
    focal = _FOCAL * max(image)
    half = np.array(image) / 2
    nearest = (np.abs(seen[..., :2]) * focal / (fill * half) - seen[..., 2:]).max()
    depth = seen[..., 2:] + nearest * rng.uniform(1.0, 1.5)
    pixels: Floats = half + focal * seen[..., :2] / depth
    return pixels


def _box(pixels: Floats) -> Floats:
    """Boxes (T, 4) around the joints with the margin that flesh and clothes need."""
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    margin = 0.08 * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([low - margin, high + margin], axis=1)


def _clip(scene: _Scene, error: Floats, config: DatasetConfig) -> Clip:
    digits = _DECIMALS[config.space]
    clip = Clip(
        name=scene.name,
        recording=scene.recording,
        detected=(scene.truth + error).round(digits).astype(np.float32),
        truth=scene.truth.round(digits).astype(np.float32),
        image=config.image,
        box=None if scene.box is None else scene.box.round(digits).astype(np.float32),
    )
    check_clip(clip, SKELETONS[config.skeleton], config.space)
    return clip
