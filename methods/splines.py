"""PCHIP and Akima: cubic pieces whose slopes at the keyframes keep them from overshooting.

Unlike the splines of `methods.interpolation` they are not linear in the keyframes: slopes depend on
how the poses turn. `scipy.interpolate` does a whole batch in one call, in float64 on the CPU.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
from torch import Tensor

from bench.contracts import Window
from methods.interpolation import Linear, NoOptions


class _Piecewise:
    """Cubic pieces from keyframe to keyframe, one curve for each pose value of each window."""

    revision: ClassVar[int] = 1
    Options: ClassVar[type[NoOptions]] = NoOptions
    _curve: ClassVar[type[PchipInterpolator | Akima1DInterpolator]]

    def __init__(self, options: NoOptions, window: Window) -> None:
        """options: none; window: any."""
        self.options = options
        self.window = window
        self._linear = Linear(options, window)
        self._times = np.arange(window.keyframes, dtype=np.float64) * window.interval
        self._frames = np.arange(window.frames, dtype=np.float64)

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P), which follows no gradient; linear between two keyframes."""
        if self.window.keyframes == 2:
            # No slope can be told from one interval, and not every scipy takes two points.
            return self._linear.recover(keyframes)
        # Time comes first for scipy, which would otherwise copy to put it there.
        values = keyframes.detach().transpose(0, 1).cpu().numpy().astype(np.float64)
        poses: NDArray[np.float64] = self._curve(self._times, values)(self._frames)
        return torch.from_numpy(poses).to(keyframes).transpose(0, 1)


class Pchip(_Piecewise):
    """Monotone between keyframes: slopes are weighted harmonic means, 0 where a value turns.

    Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984).
    """

    title: ClassVar[str] = "PCHIP"
    source: ClassVar[str] = "scipy.interpolate.PchipInterpolator"
    _curve = PchipInterpolator


class Akima(_Piecewise):
    """Slopes lean to the side that bends less, so that a corner stays local.

    Where neither side bends the slope is not defined and scipy takes a mean; it calls bends of
    less than 1e-9 of the batch's largest one none. Source: Akima, J. ACM 17 (1970).
    """

    title: ClassVar[str] = "Akima"
    source: ClassVar[str] = "scipy.interpolate.Akima1DInterpolator"
    _curve = Akima1DInterpolator
