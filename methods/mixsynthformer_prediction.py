"""MixSynthFormer in the prediction setting: fill the future coarsely, then refine it.

Source: paper 3.6 and Eq. 17. Its settings are not published (spec 6, table 4), and its text leaves
open how "interpolation" reaches beyond the history: both are options here. Axes: B histories, H
frames of history, F frames of future, T = H + F, P pose values, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from bench.contracts import BadInput, Choice, Real, Search, Span
from methods.encoder import (
    ENCODER_SEARCH,
    EncoderOptions,
    check_use,
    encoder_blocks,
    idle_parameters,
)
from methods.layers import (
    check_frames,
    check_history,
    check_share,
    cosines,
    joint_distance,
    start_xavier,
    start_zero,
)
from methods.searching import TRAINING

Fill = Literal["last", "velocity", "damped"]

# Displacements in decimetres, velocities per frame in units of 2 cm: both near one.
_DISPLACEMENT, _VELOCITY = 10.0, 50.0


class MixSynthFormerPrediction(nn.Module):
    """History and filled future pass the encoder; what it adds to the future is the prediction."""

    title: ClassVar[str] = "MixSynthFormer"
    source: ClassVar[str] = "Sun et al., MixSynthFormer (the benchmark's paper), section 3.6"
    revision: ClassVar[int] = 2
    search: ClassVar[Search] = Search(
        options={
            **ENCODER_SEARCH,
            "fill": Choice(("last", "velocity", "damped", "learned")),
            "damping": Real(0.1, 0.9, when={"fill": ("damped",)}),
            "inputs": Choice(("pose", "motion")),
            "frequency": Choice((False, True)),
        },
        training=TRAINING,
    )

    @dataclass(frozen=True)
    class Options(EncoderOptions):
        """Hyper-parameters; the defaults of the encoder are the release's for Human3.6M.

        fill: the coarse future; 'last' repeats the last frame, 'velocity' its step, 'damped' its
        step times damping, damping squared and so on, and 'learned' is a linear map over time
        from displacements to displacements, H to F, shared by all pose values, which starts as
        'last'; damping: of 'damped'; inputs: what is embedded, the 'pose' as the paper writes it,
        or its 'motion', displacement from the last frame and velocity; frequency: the encoder
        works on cosine coefficients over time in place of frames; output_start: 'zero' lets the
        model start as its fill; the others: `EncoderOptions`.
        """

        fill: Literal[Fill, "learned"] = "learned"
        damping: float = 0.5
        inputs: Literal["pose", "motion"] = "motion"
        frequency: bool = False
        output_start: Literal["xavier", "zero"] = "xavier"

    def __init__(self, options: Options, span: Span) -> None:
        """BadInput for options that contradict one another or do not fit the span."""
        super().__init__()
        check_share(options, "damping")
        check_use(
            options,
            damping=(
                options.damping == self.Options.damping or options.fill == "damped",
                "it belongs to fill damped",
            ),
        )
        self.span = span
        self.inputs = options.inputs
        self.fill: nn.Linear | None = None
        if options.fill == "learned":
            self.fill = nn.Linear(span.history, span.future, bias=False)
        else:
            matrix = extrapolation_matrix(options.fill, span, options.damping)
            self.register_buffer("extrapolation", matrix, persistent=False)
        self.frequency = options.frequency
        if options.frequency:
            self.register_buffer("dct", cosines(span.frames), persistent=False)
        values = span.pose * (1 if options.inputs == "pose" else 2)
        self.embed = nn.Linear(values, options.width, bias=options.bias)
        self.blocks = encoder_blocks(options, span.frames)
        self.norm = nn.LayerNorm(options.width)
        self.output = nn.Linear(options.width, span.pose, bias=options.bias)
        start_xavier(self)
        if options.output_start == "zero":
            start_zero(self.output)
        if self.fill is not None:
            start_zero(self.fill)

    @property
    def dead_parameters(self) -> frozenset[str]:
        """The names of the parameters that are kept but never used (option `dead_weights`)."""
        return idle_parameters(self)

    def coarse(self, history: Tensor) -> Tensor:
        """(B, H, P) history -> the filled future (B, F, P)."""
        last = history[:, -1:]
        displacement = history - last
        if self.fill is not None:
            moved: Tensor = self.fill(displacement.mT).mT
        else:
            moved = torch.matmul(self.get_buffer("extrapolation"), displacement)
        return last + moved

    def forward(self, history: Tensor) -> Tensor:
        """(B, H, P) history -> the refined future (B, F, P); BadInput for another shape."""
        check_history(history, self.span)
        filled = self.coarse(history)
        x = torch.cat([history, filled], dim=1)
        if self.inputs == "motion":
            velocity = x.diff(dim=1, prepend=x[:, :1])
            displacement = x - history[:, -1:]
            x = torch.cat([_DISPLACEMENT * displacement, _VELOCITY * velocity], dim=-1)
        if self.frequency:
            x = torch.matmul(self.get_buffer("dct"), x)
        x = self.output(self.norm(self.blocks(self.embed(x))))
        if self.frequency:
            # The transform is orthonormal: its inverse is its transpose.
            x = torch.matmul(self.get_buffer("dct").mT, x)
        return filled + x[:, self.span.history :]

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) -> (B, frames, P); BadInput for another shape or for more frames than F."""
        check_frames(frames, self.span)
        future: Tensor = self(history)
        return future[:, :frames]

    def loss(self, history: Tensor, future: Tensor) -> Tensor:
        """Mean joint distance to the future (B, F, P), in metres (paper Eq. 17)."""
        return joint_distance(self(history) - future, self.span.dims).mean()


def extrapolation_matrix(fill: Fill, span: Span, damping: float) -> Tensor:
    """(F, H): from a history's displacements to the last frame to those of the future.

    The displacement of the last frame but one is the last step, taken backwards. BadInput where
    a step is asked of one frame of history.
    """
    matrix = torch.zeros(span.future, span.history)
    if fill == "last":
        return matrix
    if span.history < 2:
        raise BadInput(
            f"fill {fill} needs a velocity", found="1 frame of history", expected="at least 2"
        )
    ratio = 1.0 if fill == "velocity" else damping
    matrix[:, -2] = -(ratio ** torch.arange(1, span.future + 1)).cumsum(0)
    return matrix
