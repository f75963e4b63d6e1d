"""Synthetic errors of a pose estimator: what it always gets wrong, drift, jitter and occlusions.

Axes: T frames, J joints, D dimensions (3: camera frame, the last is depth; 2: image). Errors are
drawn with unit strength and scaled afterwards, so that a stand-in can be calibrated without new
draws (docs/stand-ins.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.clips import Skeleton
from bench.data.motion import ease, wander
from bench.kinematics import Floats

# Estimators err more at the ends of the limbs, and more in depth than across the image.
_REACH = {"ankle": 1.5, "wrist": 1.6, "knee": 1.0, "elbow": 1.15, "headtop": 1.1, "face": 1.0}
_REACH |= {"head": 0.9, "shoulder": 0.8, "neck": 0.7, "thorax": 0.6, "hip": 0.55}
_REACH |= {"spine": 0.6, "belly": 0.6}
_DEPTH = 1.7

_FEATURES = 128
# How far poses must differ, relative to their spread, for the network's errors to differ.
_SMOOTHNESS = 1.6
# Share of the systematic error's energy that is the same in every pose.
_CONSTANT = 0.4
# Share of the drift's energy that leads to plausible poses, and how many of them it mixes.
_PLAUSIBLE = 0.7
_OTHERS = 24
_LIMBS = (("lelbow", "lwrist"), ("relbow", "rwrist"), ("lknee", "lankle"), ("rknee", "rankle"))


def _reach(joint: str) -> float:
    return _REACH[joint] if joint in _REACH else _REACH[joint[1:]]


@dataclass(frozen=True)
class Scales:
    """How strong each component is, in the unit of the poses.

    slow: mean distance of bias and drift together; jitter, burst: of these; spread: standard
    deviation of the logarithm of the strength, between clips, joints and moments.
    """

    slow: float
    jitter: float
    burst: float
    spread: float


@dataclass(frozen=True)
class Errors:
    """One clip's errors before scaling: bias, drift, jitter, burst (T, J, D); level (T, J, 1)."""

    bias: Floats
    drift: Floats
    jitter: Floats
    burst: Floats
    level: Floats

    def scaled(self, scales: Scales, learnable: float) -> Floats:
        """The whole error (T, J, D).

        learnable: the share of the slow error's energy that is bias, the rest being drift.
        """
        strength = np.exp(scales.spread * self.level)
        slow = np.sqrt(learnable) * self.bias + np.sqrt(1 - learnable) * strength * self.drift
        error: Floats = (
            scales.slow * slow + scales.jitter * strength * self.jitter + scales.burst * self.burst
        )
        return error


class Estimator:
    """One network's habits: equal poses get equal systematic errors, in training and test.

    The bias is a constant per joint plus a smooth random function of the whole pose (random
    Fourier features), both correlated between nearby joints.
    """

    def __init__(self, rng: np.random.Generator, skeleton: Skeleton, poses: Floats) -> None:
        """poses: (N, J, D) training poses; they set what an ordinary pose and its spread are."""
        self._joints = skeleton.joints
        count, dims = poses.shape[1:]
        self._shape = (count, dims)
        self._strength = np.array([[_reach(joint)] for joint in skeleton.joints])
        self._strength = self._strength * np.array([1.0, 1.0, _DEPTH][:dims])
        self._mix = _nearness(poses)
        self._others = poses - poses.mean(axis=0)
        self._others_size = _mean_distance(self._others)
        flat = poses.reshape(len(poses), -1)
        self._mean = flat.mean(axis=0)
        self._width = float(np.sqrt(np.square(flat - self._mean).sum(axis=1).mean()))
        self._directions = rng.normal(size=(flat.shape[1], _FEATURES)) / _SMOOTHNESS
        self._phases = rng.uniform(0, 2 * np.pi, _FEATURES)
        self._weights = self._joined(rng.normal(size=(_FEATURES, *self._shape)))
        constant = self._joined(rng.normal(size=self._shape))
        varying = self._varying(poses)
        self._centre = varying.mean(axis=0)
        self._size = _mean_distance(varying - self._centre)
        self._constant = constant / _mean_distance(constant)

    def bias(self, poses: Floats) -> Floats:
        """The systematic error (T, J, D) in poses (T, J, D), of mean distance about 1."""
        varying = (self._varying(poses) - self._centre) / self._size
        error: Floats = np.sqrt(_CONSTANT) * self._constant + np.sqrt(1 - _CONSTANT) * varying
        return error

    def errors(self, rng: np.random.Generator, poses: Floats, fps: float, bursts: float) -> Errors:
        """Draw one clip's errors in poses (T, J, D); bursts: share of a limb's frames hidden."""
        frames = len(poses)
        seconds = np.arange(frames) / fps
        count, dims = self._shape
        local = wander(rng, seconds, count * dims, (0.03, 0.4)).reshape(poses.shape)
        drift = np.sqrt(1 - _PLAUSIBLE) * self._unit(self._joined(local))
        drift += np.sqrt(_PLAUSIBLE) * self._mistaken(rng, seconds)
        jitter = rng.normal(size=poses.shape)
        shared = self._joined(rng.normal(size=poses.shape))
        moment = wander(rng, seconds, count, (0.1, 1.0))
        level = 0.6 * rng.normal() + 0.5 * rng.normal(size=count) + 0.6 * moment
        return Errors(
            bias=self.bias(poses),
            drift=drift,
            jitter=self._unit(0.8 * self._strength * jitter + 0.6 * shared),
            burst=self._bursts(rng, seconds, bursts),
            level=level[:, :, None],
        )

    def _mistaken(self, rng: np.random.Generator, seconds: Floats) -> Floats:
        """Slow errors (T, J, D) of mean distance about 1 towards poses that others have taken.

        An estimator trained on people prefers wrong poses that look like people; no refiner can
        tell those from right ones.
        """
        chosen = self._others[rng.integers(len(self._others), size=_OTHERS)]
        towards = wander(rng, seconds, _OTHERS, (0.03, 0.4)) / np.sqrt(_OTHERS)
        error = np.einsum("tn,njd->tjd", towards, chosen)
        unit: Floats = error / self._others_size
        return unit

    def _varying(self, poses: Floats) -> Floats:
        flat = (poses.reshape(len(poses), -1) - self._mean) / self._width
        features = np.cos(flat @ self._directions + self._phases)
        out = features @ self._weights.reshape(_FEATURES, -1)
        varying: Floats = out.reshape(poses.shape)
        return varying

    def _joined(self, noise: Floats) -> Floats:
        """Independent noise (..., J, D) made alike in nearby joints, larger at the limbs' ends."""
        joined: Floats = self._strength * np.einsum("ij,...jd->...id", self._mix, noise)
        return joined

    def _unit(self, error: Floats) -> Floats:
        """Divide by the mean distance expected of unit Gaussian noise of this strength."""
        expected = np.sqrt(np.square(self._strength).sum(axis=1)).mean()
        unit: Floats = error / expected
        return unit

    def _bursts(self, rng: np.random.Generator, seconds: Floats, share: float) -> Floats:
        """Runs of frames in which one limb is seen somewhere else, settling in a few frames."""
        out = np.zeros((len(seconds), *self._shape))
        step = seconds[1] - seconds[0]
        length = len(seconds) * step
        for limb in _LIMBS:
            joints = [self._joints.index(joint) for joint in limb]
            for _ in range(rng.poisson(share * length / 0.3)):
                lasting = float(rng.lognormal(np.log(0.25), 0.6))
                start = rng.uniform(-lasting, length)
                edge = 0.08
                into = np.minimum(seconds - start, start + lasting - seconds)
                profile = ease(into / edge + 0.5)[:, None, None]
                away = rng.normal(size=self._shape[1])
                away *= min(rng.lognormal(0.0, 0.4), 2.0) / float(np.linalg.norm(away))
                restless = 0.3 * rng.normal(size=(len(seconds), len(joints), self._shape[1]))
                strength = self._strength[joints]
                out[:, joints] += profile * strength * (away + restless)
        return out


def _mean_distance(error: Floats) -> float:
    return float(np.linalg.norm(error, axis=-1).mean())


def _nearness(poses: Floats) -> Floats:
    """(J, J) symmetric mixing whose square correlates joints by their mean distance."""
    some = poses[:: max(1, len(poses) // 200)]
    distance = np.linalg.norm(some[:, :, None] - some[:, None], axis=-1).mean(axis=0)
    kernel = np.exp(-np.square(distance / (0.25 * distance.max())) / 2)
    values, vectors = np.linalg.eigh(kernel)
    mixing: Floats = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return mixing
