"""MCT, our re-implementation: a transformer encoder over the linearly interpolated window.

Source: Duan et al., Single-Shot Motion Completion with Transformer (arXiv 2103.00776), of which
no code was published; what is known of it and what is proposed here stands in spec 5.2.
Axes: B windows, T frames, Q + 1 keyframes, P pose values, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import BadInput, Choice, Real, Search, Whole, Window
from methods.layers import (
    Dropout,
    MultiHeadAttention,
    check_keyframes,
    check_positive,
    check_share,
    interpolation_matrix,
    start_xavier,
    start_zero,
)
from methods.searching import TRAINING


class MCT(nn.Module):
    """Motion completion in one pass; a learned code tells keyframes from interpolated frames."""

    title: ClassVar[str] = "MCT (our re-implementation)"
    source: ClassVar[str] = "Duan et al., Single-Shot Motion Completion with Transformer, 2021"
    revision: ClassVar[int] = 2
    search: ClassVar[Search] = Search(
        options={
            "width": Choice((32, 64, 128, 256)),
            "depth": Whole(1, 6),
            "heads": Choice((2, 4, 8)),
            "head": Choice((8, 16, 32, 64)),
            "feed": Choice((64, 128, 256, 512)),
            "kernel": Choice((1, 3, 5)),
            "dropout": Real(0.0, 0.3),
            "residual": Choice((True, False)),
        },
        training=TRAINING,
    )

    interpolation: Tensor
    between: Tensor

    @dataclass(frozen=True)
    class Options:
        """Hyper-parameters; the defaults are the proposal of spec 5.2.

        width: C; depth: layers; head: channels of one head; feed: width of the feed-forward part;
        kernel: of the convolutions at input and output; residual: add the output to the
        interpolated window; output_start: 'zero' starts with an output of zero, which with
        residual is linear interpolation.
        """

        width: int = 256
        depth: int = 8
        heads: int = 8
        head: int = 64
        feed: int = 512
        kernel: int = 3
        dropout: float = 0.1
        residual: bool = False
        output_start: Literal["xavier", "zero"] = "xavier"

    def __init__(self, options: Options, window: Window) -> None:
        """BadInput for options out of range."""
        super().__init__()
        check_positive(options, "width", "depth", "heads", "head", "feed", "kernel")
        check_share(options, "dropout")
        if options.kernel % 2 == 0:
            raise BadInput("kernel must be odd", found=options.kernel)
        self.window = window
        self.residual = options.residual
        width, padding = options.width, options.kernel // 2
        linear = interpolation_matrix("linear", window)
        self.register_buffer("interpolation", linear, persistent=False)
        between = (torch.arange(window.frames) % window.interval != 0).long()
        self.register_buffer("between", between, persistent=False)
        self.embed = nn.Conv1d(window.pose, width, options.kernel, padding=padding)
        self.position = nn.Embedding(window.frames, width)
        self.kind = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(_Layer(options) for _ in range(options.depth)))
        self.output = nn.Conv1d(width, window.pose, options.kernel, padding=padding)
        start_xavier(self)
        if options.output_start == "zero":
            start_zero(self.output)

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) keyframes -> (B, T, P) recovered window; BadInput for another shape."""
        check_keyframes(keyframes, self.window)
        rough = torch.matmul(self.interpolation, keyframes)
        mixture = self.position.weight + self.kind(self.between)
        features = self.layers(self.norm(self.embed(rough.mT).mT + mixture))
        recovered: Tensor = self.output(features.mT).mT
        return recovered + rough if self.residual else recovered

    forward = recover

    def loss(self, keyframes: Tensor, truth: Tensor) -> Tensor:
        """Mean absolute difference to truth (B, T, P)."""
        return functional.l1_loss(self.recover(keyframes), truth)


class _Layer(nn.Module):
    """Self-attention and feed-forward without biases, each normalised after its sum."""

    def __init__(self, options: MCT.Options) -> None:
        super().__init__()
        width = options.width
        self.attention = MultiHeadAttention(width, options.heads, options.head, bias=False)
        self.norm_attention = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, options.feed, bias=False),
            nn.ReLU(),
            Dropout(options.dropout),
            nn.Linear(options.feed, width, bias=False),
        )
        self.norm_feed = nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.norm_attention(x + self.dropout(self.attention(x, x, x)))
        thought: Tensor = self.norm_feed(x + self.dropout(self.feed(x)))
        return thought
