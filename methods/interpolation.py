"""The classical interpolators, and the estimator at every frame as their reference.

Interpolation on a fixed grid is a linear map of the keyframes: it is built once and then applied
to whole batches. Definitions are those of `scipy.interpolate.interp1d` on keyframe times
0, K, ..., K*Q evaluated at 0 ... T-1 (spec 6, Table 3).

The results of `Linear`, `Quadratic` and `Cubic` lie time-major in memory, which is fastest to
fill; they are ordinary tensors of shape (B, T, P) otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy.interpolate import interp1d
from torch import Tensor

from bench.contracts import BadInput, Window


@dataclass(frozen=True)
class NoOptions:
    """An interpolator has nothing to choose."""


class _Interpolator:
    """What all of them share."""

    source: ClassVar[str] = "scipy.interpolate.interp1d"
    revision: ClassVar[int] = 1
    Options: ClassVar[type[Any]] = NoOptions

    def __init__(self, options: NoOptions, window: Window) -> None:
        """options: none; window: any."""
        self.options = options
        self.window = window


class Estimator(_Interpolator):
    """What the estimator said at every frame: the price of not sampling keyframes."""

    title: ClassVar[str] = "every frame"
    source: ClassVar[str] = "the estimator itself"

    def refine(self, frames: Tensor) -> Tensor:
        """(B, T, P) -> the same (B, T, P)."""
        return frames


class Nearest(_Interpolator):
    """Every frame takes the nearest keyframe, the earlier one half-way between two."""

    title: ClassVar[str] = "nearest"

    def __init__(self, options: NoOptions, window: Window) -> None:
        """options: none; window: any."""
        super().__init__(options, window)
        K = window.interval
        # ceil(t/K - 1/2) in integers: a half is rounded down.
        self._nearest = (2 * torch.arange(window.frames) + K - 1) // (2 * K)

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P)."""
        return keyframes.index_select(1, self._nearest.to(keyframes.device))


class Linear(_Interpolator):
    """A straight line from each keyframe to the next."""

    title: ClassVar[str] = "linear"

    def __init__(self, options: NoOptions, window: Window) -> None:
        """options: none; window: any."""
        super().__init__(options, window)
        # (K, 1): how far into its interval each frame lies.
        K = window.interval
        self._progress = torch.arange(K, dtype=torch.float64)[:, None] / K

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P)."""
        B, N, P = keyframes.shape
        start = keyframes.transpose(0, 1).reshape(N, 1, B * P)
        # The last keyframe opens an interval too, cut off after its first frame: the whole
        # window then comes from one operation that touches every value once.
        end = torch.cat([start[1:], start[-1:]])
        # It stays where it was needed: a step that copies from the CPU cannot be captured.
        self._progress = self._progress.to(keyframes.device)
        line = torch.lerp(start, end, self._progress.to(keyframes))
        # torch may lay tiny results out in another order, which `view` cannot take.
        return line.reshape(-1, B, P)[: self.window.frames].transpose(0, 1)


class _Spline(_Interpolator):
    """A spline through the keyframes, as a (T, Q+1) matrix."""

    _order: ClassVar[Literal["quadratic", "cubic"]]
    _needed: ClassVar[int]

    def __init__(self, options: NoOptions, window: Window) -> None:
        """options: none; window: BadInput when it has too few keyframes for the order."""
        super().__init__(options, window)
        if window.keyframes < self._needed:
            raise BadInput(
                f"too few keyframes for {self._order} interpolation",
                found=f"{window.keyframes} in a window of {window.intervals} intervals",
                expected=f"at least {self._needed}",
                hint="take longer windows, or linear interpolation",
            )
        times = np.arange(window.keyframes) * window.interval
        spline = interp1d(times, np.eye(window.keyframes), axis=0, kind=self._order)
        self._matrix = torch.from_numpy(spline(np.arange(window.frames)))

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P)."""
        B, N, P = keyframes.shape
        # One wide product is faster than B narrow ones.
        flat = keyframes.transpose(0, 1).reshape(N, B * P)
        return (self._matrix.to(keyframes) @ flat).view(-1, B, P).transpose(0, 1)


class Quadratic(_Spline):
    """The quadratic spline through the keyframes; needs three of them."""

    title: ClassVar[str] = "quadratic"
    _order = "quadratic"
    _needed = 3


class Cubic(_Spline):
    """The cubic not-a-knot spline through the keyframes; needs four of them."""

    title: ClassVar[str] = "cubic"
    _order = "cubic"
    _needed = 4
