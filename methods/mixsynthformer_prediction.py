"""MixSynthFormer in the prediction setting: fill the future coarsely, then refine it.

Source: paper 3.6 and Eq. 17. The paper's settings are not published, and its text leaves open how
"interpolation" reaches beyond the history; both are options here, the defaults chosen on the
validation subject. Axes: B histories, H frames of history, F frames of future, T = H + F, P pose
values, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from bench.contracts import BadInput, Span
from methods.encoder import EncoderOptions, encoder_blocks, idle_parameters
from methods.layers import (
    check_history,
    check_share,
    cosines,
    joint_distance,
    start_xavier,
    start_zero,
)

Fill = Literal["last", "velocity", "damped", "learned"]


class MixSynthFormerPrediction(nn.Module):
    """History and coarse future through the encoder; what it adds to the future is the answer."""

    title: ClassVar[str] = "MixSynthFormer"
    source: ClassVar[str] = "Sun et al., MixSynthFormer (the benchmark's paper), section 3.6"
    revision: ClassVar[int] = 1

    @dataclass(frozen=True)
    class Options(EncoderOptions):
        fill: Fill = "learned"
        damping: float = 0.5
        inputs: tuple[Literal["pose", "displacement", "velocity"], ...] = ("pose",)
        frequency: bool = False
        scale: float = 1.0
        output_start: Literal["xavier", "zero"] = "xavier"
        loss_velocity: float = 0.0
        mirror: bool = False
        reverse: bool = False

    def __init__(self, options: Options, span: Span) -> None:
        super().__init__()
        self.span = span
        self.options = options
        H, F = span.history, span.future
        self.fill: nn.Linear | None = None
        if options.fill == "learned":
            self.fill = nn.Linear(H, F, bias=False)
        else:
            steps = torch.arange(1, F + 1, dtype=torch.float32)
            gain = {"last": steps*0, "velocity": steps, "damped": (options.damping ** (steps )).cumsum(0)}[options.fill]
            m = torch.zeros(F, H)
            m[:, -1] = 1 + gain
            m[:, -2] -= gain
            self.register_buffer("extrapolation", m, persistent=False)
        if options.frequency:
            self.register_buffer("dct", cosines(span.frames), persistent=False)
        self.embed = nn.Linear(span.pose * len(options.inputs), options.width, bias=options.bias)
        self.blocks = encoder_blocks(options, span.frames)
        self.norm = nn.LayerNorm(options.width)
        self.output = nn.Linear(options.width, span.pose, bias=options.bias)
        start_xavier(self)
        if options.output_start == "zero":
            start_zero(self.output)
        if self.fill is not None:
            start_zero(self.fill)

    def coarse(self, history: Tensor) -> Tensor:
        if self.fill is not None:
            last = history[:, -1:]
            return self.fill((history - last).mT).mT + last
        return torch.matmul(self.get_buffer("extrapolation"), history)

    def forward(self, history: Tensor) -> Tensor:
        filled = self.coarse(history)
        x = torch.cat([history, filled], 1)
        last = history[:, -1:]
        parts = []
        for kind in self.options.inputs:
            if kind == "pose":
                parts.append(x)
            elif kind == "displacement":
                parts.append((x - last) * self.options.scale)
            else:
                parts.append(torch.diff(x, dim=1, prepend=x[:, :1]) * (self.options.scale * 5))
        x = torch.cat(parts, -1)
        if self.options.frequency:
            x = torch.matmul(self.get_buffer("dct"), x)
        x = self.output(self.norm(self.blocks(self.embed(x))))
        if self.options.frequency:
            x = torch.matmul(self.get_buffer("dct").T[self.span.history :], x)
        else:
            x = x[:, self.span.history :]
        return x + filled

    def predict(self, history: Tensor, frames: int) -> Tensor:
        return self(history)[:, :frames]

    def loss(self, history: Tensor, future: Tensor) -> Tensor:
        if self.training and self.options.reverse:
            clips = torch.cat([history, future], 1)
            backwards = torch.rand(len(clips), device=clips.device) < 0.5
            clips = torch.where(backwards[:, None, None], clips.flip(1), clips)
            history, future = clips[:, : self.span.history], clips[:, self.span.history :]
        missing = self(history) - future
        e = joint_distance(missing, self.span.dims).mean()
        if self.options.loss_velocity:
            e = e + self.options.loss_velocity * joint_distance(missing.diff(dim=1), self.span.dims).mean()
        return e
