"""Linear interpolation, then smoothing over time: what a filter alone makes of keyframes.

Both filters are linear maps of the window, the same for every pose value. Smoothing and
interpolation are one (T, Q+1) matrix, built once for each candidate parameter, and the candidate
with the least error on validation is kept; nothing is learned from the train split.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from bench.contracts import Choice, Samples, Search, Window
from methods.interpolation import Linear, NoOptions
from methods.least_squares import VALIDATION_SAMPLES, FittedTensors
from methods.searching import CHOSEN_BY_FIT

Matrix = NDArray[np.float64]

# In measurement variances: so large that the first two or three frames alone say where a motion
# starts, and small enough for float64 to resolve a variance of one beside it.
_UNKNOWN = 1e7


class _Smoother(FittedTensors, ABC):
    """Linear interpolation smoothed by a filter with one parameter."""

    revision: ClassVar[int] = 1
    _parameter: ClassVar[str]

    def __init__(self, candidates: Sequence[float], window: Window) -> None:
        super().__init__({self._parameter: ()})
        self.window = window
        self._candidates = sorted(candidates)
        lines = Linear(NoOptions(), window).recover(torch.eye(window.keyframes).double()[None])
        self._lines = lines[0].numpy()

    @abstractmethod
    def smoother(self, value: float) -> Matrix:
        """The (T, T) matrix that smooths a window under a value of the parameter."""

    def fit(
        self,
        train: Samples,  # noqa: ARG002, a filter has only its parameter
        validation: Samples,
    ) -> Mapping[str, float]:
        """Return the parameter with the least joint error on `validation`.

        `at_grid_end` is added where a wider grid might do better. BadInput for a split that is
        empty or not finite.
        """
        filters = [self._filter(value) for value in self._candidates]
        errors = [0.0] * len(filters)
        for keyframes, truth in self._finite(validation, VALIDATION_SAMPLES):
            for i, matrix in enumerate(filters):
                missing = truth - matrix.to(keyframes) @ keyframes
                joints = missing.reshape(-1, self.window.joints, self.window.dims)
                errors[i] += float(joints.norm(dim=-1).sum(dtype=torch.float64))
        best = errors.index(min(errors))
        chosen = {self._parameter: self._candidates[best]}
        self.load_state_dict({self._parameter: torch.tensor(self._candidates[best])})
        # A parameter of zero has nothing beyond it.
        if len(errors) > 1 and best in (0, len(errors) - 1) and self._candidates[best]:
            chosen["at_grid_end"] = 1.0
        return chosen

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the parameter instead of fitting; BadInput for anything else."""
        super().load_state_dict(state)
        self._matrix = self._filter(float(self._tensor(self._parameter)))

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P); RuntimeError before `fit`."""
        self._tensor(self._parameter)
        return self._matrix.to(keyframes) @ keyframes

    def _filter(self, value: float) -> Tensor:
        """(T, Q+1): interpolation and smoothing at once."""
        return torch.from_numpy(self.smoother(value) @ self._lines)


class Gaussian(_Smoother):
    """Linear interpolation under a Gaussian filter over time.

    Beyond its ends a window goes on as its point reflection there: constant and linear motions are
    kept to the last frame, and so are a window's first and last pose. `sigma` 0 is linear
    interpolation. Source: `scipy.ndimage.gaussian_filter`, cut off at four sigmas.
    """

    title: ClassVar[str] = "linear + Gaussian"
    source: ClassVar[str] = "scipy.ndimage.gaussian_filter"
    search: ClassVar[Search] = CHOSEN_BY_FIT
    _parameter = "sigma"

    @dataclass(frozen=True)
    class Options:
        """sigmas: candidates for the filter's standard deviation, in frames."""

        sigmas: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)

        def __post_init__(self) -> None:
            if not self.sigmas or not all(0 <= value < math.inf for value in self.sigmas):
                raise ValueError("sigmas must be one or more finite numbers, none below zero")

    def __init__(self, options: Options, window: Window) -> None:
        """options: candidate widths; window: any."""
        super().__init__(options.sigmas, window)
        self.options = options

    def smoother(self, value: float) -> Matrix:
        """The (T, T) responses to an impulse at each frame; value: sigma in frames."""
        margin = math.ceil(4 * value) + 1
        beyond = ((margin, margin), (0, 0))
        impulses = np.pad(np.eye(self.window.frames), beyond, "reflect", reflect_type="odd")
        responses: Matrix = gaussian_filter(impulses, value, axes=(0,))
        return responses[margin:-margin]


class Kalman(_Smoother):
    """Linear interpolation under a Kalman smoother (Rauch, Tung and Striebel, AIAA J. 3, 1965).

    The state of a pose value is its position and velocity, with acceleration as white noise, or
    also its acceleration, with white jerk; every frame of the interpolated window measures the
    position. Nothing is known of the first state, so that linear motions, and quadratic ones in
    the second model, are kept, to about 1e-7 of their size.
    """

    title: ClassVar[str] = "linear + Kalman"
    source: ClassVar[str] = "Rauch, Tung and Striebel, 1965"
    search: ClassVar[Search] = Search(options={"model": Choice(("velocity", "acceleration"))})
    _parameter = "ratio"

    @dataclass(frozen=True)
    class Options:
        """model: what stays the same but for noise; ratios: candidates for that noise.

        A ratio is the process noise's power (per frame, poses in metres or whatever unit they
        have) over the variance of a measurement.
        """

        model: Literal["velocity", "acceleration"] = "velocity"
        ratios: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)

        def __post_init__(self) -> None:
            if not self.ratios or not all(0 < value < math.inf for value in self.ratios):
                raise ValueError("ratios must be one or more finite numbers above zero")

    def __init__(self, options: Options, window: Window) -> None:
        """options: candidate ratios; window: any."""
        super().__init__(options.ratios, window)
        self.options = options

    def smoother(self, value: float) -> Matrix:
        """The (T, T) responses to an impulse at each frame; value: the noise ratio."""
        step, noise = constant(2 if self.options.model == "velocity" else 3)
        return smoothed(np.eye(self.window.frames), step, value * noise)


def constant(order: int) -> tuple[Matrix, Matrix]:
    """Step and process noise, (order, order) each, of a motion whose last derivative is constant.

    order: of the state, 2 for position and velocity. The next derivative is white noise of power
    1 per frame, integrated over one frame.
    """
    powers = np.arange(order)
    ahead = powers[None, :] - powers[:, None]
    factorials = np.array([math.factorial(n) for n in range(order)], np.float64)
    step = np.where(ahead >= 0, 1 / factorials[np.abs(ahead)], 0.0)
    # A derivative n below the noise has gathered (1 - s)^n / n! of what struck at time s.
    below = order - 1 - powers
    noise = 1 / (
        factorials[below][:, None] * factorials[below] * (below[:, None] + below[None, :] + 1)
    )
    return step, noise


def smoothed(measured: Matrix, step: Matrix, noise: Matrix) -> Matrix:
    """The expected position of every frame given all of them, by a forward and a backward pass.

    measured: (T, N) positions with unit variance, N series at once; step, noise: (S, S), from one
    state to the next, whose first entry is the position. Returns (T, N).
    """
    frames, series = measured.shape
    order = len(step)
    state, spread = np.zeros((order, series)), _UNKNOWN * np.eye(order)
    known: list[tuple[Matrix, Matrix, Matrix, Matrix]] = []
    for position in measured:
        expected, unsure = state, spread
        gain = unsure[:, 0] / (unsure[0, 0] + 1)
        state = expected + np.outer(gain, position - expected[0])
        # Joseph's form, which stays symmetric and positive.
        kept = np.eye(order)
        kept[:, 0] -= gain
        spread = kept @ unsure @ kept.T + np.outer(gain, gain)
        known.append((expected, unsure, state, spread))
        state, spread = step @ state, step @ spread @ step.T + noise
    result = np.empty((frames, series))
    state = known[-1][2]
    result[-1] = state[0]
    for t in range(frames - 2, -1, -1):
        expected, unsure, _, _ = known[t + 1]
        _, _, now, spread = known[t]
        back = np.linalg.solve(unsure, step @ spread).T
        state = now + back @ (state - expected)
        result[t] = state[0]
    return result
