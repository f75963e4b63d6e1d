"""SmoothNet: a small network over time that smooths every pose value by itself.

Source: Zeng et al., SmoothNet: A plug-and-play network for refining human poses in videos (ECCV
2022), and its release (spec 5.4). It was made to refine an estimator's output at every frame;
here it also takes keyframes, interpolated linearly. Axes: B windows, T frames, P pose values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import BadInput, Choice, Real, Search, Whole, Window
from methods.interpolation import Linear, NoOptions
from methods.layers import (
    Dropout,
    check_keyframes,
    check_positive,
    check_share,
    cosines,
    start_zero,
)
from methods.searching import TRAINING

_ACCELERATION = 0.1


@dataclass(frozen=True)
class SmoothNetOptions:
    """Hyper-parameters; the defaults are the release's for Human3.6M.

    width: of the layers; inner: R, the width inside a residual block; blocks: how many; dropout:
    in the blocks; skip: the share of the input's frequencies, the slowest first, that is added to
    the network's output, which then starts at zero: training starts from the input with 1, from a
    smooth version of it with less. The release has no such skip, 0.
    """

    width: int = 512
    inner: int = 128
    blocks: int = 5
    dropout: float = 0.25
    skip: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.skip <= 1:
            raise ValueError("skip must lie in [0, 1]")


class _Block(nn.Module):
    """Two linear maps, through fewer channels and back, added to what came in."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        y = functional.leaky_relu(self.dropout(self.linear1(x)), 0.2)
        y = functional.leaky_relu(self.dropout(self.linear2(y)), 0.2)
        return x + y


class _Network(nn.Module):
    """The network, under the published parameter names: what both uses share."""

    skip: Tensor | None
    revision: ClassVar[int] = 2
    Options: ClassVar[type[SmoothNetOptions]] = SmoothNetOptions
    search: ClassVar[Search] = Search(
        options={
            "width": Choice((64, 128, 256, 512)),
            "inner": Choice((16, 32, 64, 128)),
            "blocks": Whole(1, 5),
            "dropout": Real(0.0, 0.5),
            "skip": Real(0.0, 1.0),
        },
        training=TRAINING,
    )

    def __init__(self, options: SmoothNetOptions, window: Window) -> None:
        """BadInput for options out of range, and for windows without a second difference."""
        super().__init__()
        check_positive(options, "width", "inner", "blocks")
        check_share(options, "dropout")
        if window.frames < 3:
            raise BadInput(
                "too few frames for SmoothNet", found=window.frames, expected="at least 3"
            )
        self.window = window
        self.encoder = nn.Sequential(nn.Linear(window.frames, options.width), nn.LeakyReLU(0.1))
        self.res_blocks = nn.ModuleList(
            _Block(options.width, options.inner, options.dropout) for _ in range(options.blocks)
        )
        self.decoder = nn.Linear(options.width, window.frames)
        slow = cosines(window.frames)[: math.ceil(options.skip * window.frames)]
        self.register_buffer("skip", slow.mT @ slow if len(slow) else None, persistent=False)
        if len(slow):
            start_zero(self.decoder)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, P) -> (B, T, P), each pose value from its own T frames."""
        x = self.encoder(frames.mT)
        for block in self.res_blocks:
            x = block(x)
        smooth: Tensor = self.decoder(x).mT
        return smooth if self.skip is None else smooth + self.skip @ frames


def _difference(found: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of (B, T, P) positions, plus a tenth of that of accelerations."""
    missing = found - truth
    bends = missing.diff(n=2, dim=1)
    return missing.abs().mean() + _ACCELERATION * bends.abs().mean()


class SmoothNet(_Network):
    """Refines the estimator's output at every frame: a reference, not a rival."""

    title: ClassVar[str] = "SmoothNet (every frame)"
    source: ClassVar[str] = "Zeng et al., ECCV 2022"

    def refine(self, frames: Tensor) -> Tensor:
        """(B, T, P) detected frames -> (B, T, P); BadInput for another shape."""
        if frames.ndim != 3 or frames.shape[1:] != (self.window.frames, self.window.pose):
            raise BadInput(
                "frames do not fit the window",
                found=tuple(frames.shape),
                expected=f"(B, {self.window.frames}, {self.window.pose})",
            )
        refined: Tensor = self(frames)
        return refined

    def loss(self, frames: Tensor, truth: Tensor) -> Tensor:
        """L1 of positions, plus 0.1 times L1 of second differences; frames, truth: (B, T, P)."""
        return _difference(self.refine(frames), truth)


class SmoothNetAfterLinear(_Network):
    """Sees keyframes alone: interpolates them linearly, then smooths the window."""

    title: ClassVar[str] = "linear + SmoothNet"
    source: ClassVar[str] = "Zeng et al., ECCV 2022, after linear interpolation"

    def __init__(self, options: SmoothNetOptions, window: Window) -> None:
        """BadInput for options out of range, and for windows without a second difference."""
        super().__init__(options, window)
        self._linear = Linear(NoOptions(), window)

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) keyframes -> (B, T, P); BadInput for another shape."""
        check_keyframes(keyframes, self.window)
        recovered: Tensor = self(self._linear.recover(keyframes))
        return recovered

    def loss(self, keyframes: Tensor, truth: Tensor) -> Tensor:
        """L1 of positions, plus 0.1 times L1 of second differences; truth: (B, T, P)."""
        return _difference(self.recover(keyframes), truth)
