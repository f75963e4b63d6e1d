"""Two predictions without parameters: stand still, or go on as in the last step.

Both continue a history to any length. Standing still is the reference that the literature calls
zero velocity (Martinez et al., On human motion prediction using recurrent neural networks,
CVPR 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import BadInput, Span


@dataclass(frozen=True)
class NoOptions:
    """An extrapolation has nothing to choose."""


class ZeroVelocity:
    """The last frame of the history, repeated."""

    title: ClassVar[str] = "zero velocity"
    source: ClassVar[str] = "Martinez et al., CVPR 2017"
    revision: ClassVar[int] = 1
    Options: ClassVar[type[Any]] = NoOptions

    def __init__(self, options: NoOptions, span: Span) -> None:
        """options: none; span: any."""
        self.options = options
        self.span = span

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) -> (B, frames, P)."""
        return history[:, -1:].repeat(1, frames, 1)


class ConstantVelocity:
    """The last step of the history, repeated; needs two frames."""

    title: ClassVar[str] = "constant velocity"
    source: ClassVar[str] = "ours"
    revision: ClassVar[int] = 1
    Options: ClassVar[type[Any]] = NoOptions

    def __init__(self, options: NoOptions, span: Span) -> None:
        """options: none; span: BadInput when its history is a single frame."""
        if span.history < 2:
            raise BadInput(
                "the history is too short for a velocity",
                found=f"{span.history} frame",
                expected="at least 2",
            )
        self.options = options
        self.span = span

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) -> (B, frames, P)."""
        last = history[:, -1:]
        steps = torch.arange(1, frames + 1, dtype=history.dtype, device=history.device)
        return last + steps[:, None] * (last - history[:, -2:-1])
