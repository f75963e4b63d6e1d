"""DeciWatch: denoise the keyframes, interpolate them, refine the window with cross-attention.

Source: Zeng et al., DeciWatch (ECCV 2022), and its release (spec 2). Axes: B windows, T frames,
Q + 1 keyframes, P pose values, C channels, N tokens of the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


class DeciWatch(nn.Module):
    """A transformer whose encoder denoises keyframes and whose decoder refines the window."""

    title: ClassVar[str] = "DeciWatch"
    source: ClassVar[str] = "Zeng et al., DeciWatch, ECCV 2022"
    revision: ClassVar[int] = 2
    search: ClassVar[Search] = Search(
        options={
            "width": Choice((16, 32, 64, 128)),
            "depth": Whole(1, 5),
            "heads": Choice((2, 4, 8)),
            "feed": Choice((64, 128, 256)),
            "kernel": Choice((1, 3, 5)),
            "dropout": Real(0.0, 0.3),
            "norm": Choice(("pre", "post")),
            "cross_attention": Choice(("additive", "masked")),
            "loss_recover": Real(0.5, 5.0, log=True),
        },
        training=TRAINING,
    )
    renames: ClassVar[Sequence[tuple[str, str]]] = (
        (r"^transformer\.", ""),
        (r"^encoder_embed\.", "encoder.embed."),
        (r"^encoder_joints_embed\.", "encoder.output."),
        (r"^decoder_embed\.", "decoder.embed."),
        (r"^decoder_joints_embed\.", "decoder.output."),
        (r"\.multihead_attn\.", ".cross."),
        (r"\.self_attn\.", ".attention."),
        (r"\.in_proj_weight$", ".project"),
        (r"\.in_proj_bias$", ".project_bias"),
        (r"\.out_proj\.", ".merge."),
        (r"\.linear1\.", ".feed.0."),
        (r"\.linear2\.", ".feed.3."),
        (r"^(encoder\.layers\.\d+)\.norm2\.", r"\1.norm_feed."),
        (r"^(decoder\.layers\.\d+)\.norm2\.", r"\1.norm_cross."),
        (r"^(decoder\.layers\.\d+)\.norm3\.", r"\1.norm_feed."),
        (r"\.norm1\.", ".norm_attention."),
    )

    position: Tensor
    token_position: Tensor
    token_bias: Tensor
    memory_bias: Tensor
    interpolation: Tensor

    @dataclass(frozen=True)
    class Options:
        """Hyper-parameters; the defaults are the release's model for Human3.6M.

        width: C; depth: L of encoder and of decoder; feed: width of the feed-forward part; norm:
        before or after each part of a layer; cross_attention: what hides the frames between
        keyframes from the decoder: 'masked' does, as described; 'additive' adds 1 to their logits,
        as the release in fact does (spec 2.1, item 5); loss_denoise, loss_recover: the weights of
        the two L1 losses (spec 2.2); output_start: 'zero' starts as linear interpolation.
        """

        width: int = 128
        depth: int = 5
        heads: int = 4
        feed: int = 256
        kernel: int = 5
        dropout: float = 0.1
        norm: Literal["pre", "post"] = "pre"
        cross_attention: Literal["additive", "masked"] = "additive"
        loss_denoise: float = 1.0
        loss_recover: float = 1.0
        output_start: Literal["xavier", "zero"] = "xavier"

    def __init__(self, options: Options, window: Window) -> None:
        """BadInput for options out of range."""
        super().__init__()
        check_positive(options, "width", "depth", "heads", "feed", "kernel")
        check_share(options, "dropout")
        if options.width % 2 or options.width % options.heads or options.kernel % 2 == 0:
            raise BadInput(
                "options do not fit together",
                found=f"width {options.width}, heads {options.heads}, kernel {options.kernel}",
                expected="an even width that is a multiple of heads, and an odd kernel",
            )
        self.window = window
        self.loss_denoise, self.loss_recover = options.loss_denoise, options.loss_recover
        # Where nobody sees the frames between keyframes, they need not be tokens of the encoder.
        self.step = window.interval if options.cross_attention == "masked" else 1
        frames = torch.arange(0, window.frames, self.step)
        hidden = frames % window.interval != 0
        itself = torch.eye(len(frames), dtype=torch.bool)
        code = _position_code(window.frames, options.width)
        for name, buffer in {
            "position": code,
            "token_position": code[frames],
            "token_bias": torch.zeros(itself.shape).masked_fill(hidden | itself, -math.inf),
            "memory_bias": hidden.float().expand(window.frames, -1).contiguous(),
            "interpolation": interpolation_matrix("linear", window),
        }.items():
            self.register_buffer(name, buffer, persistent=False)
        self.encoder = _Encoder(options, window)
        self.decoder = _Decoder(options, window)
        start_xavier(self)
        if options.output_start == "zero":
            start_zero(self.encoder.output, self.decoder.output)

    def stages(self, keyframes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Q+1, P) keyframes -> (recovered (B, T, P), denoised (B, N, P)).

        The encoder's tokens are the keyframes where cross-attention is masked (N = Q + 1), else
        all frames (N = T), zero between keyframes, where only the keyframes' rows mean anything.
        BadInput for another shape.
        """
        check_keyframes(keyframes, self.window)
        spacing = self.window.interval // self.step
        tokens = keyframes
        if spacing > 1:
            tokens = keyframes.new_zeros(len(keyframes), self.window.frames, self.window.pose)
            tokens[:, ::spacing] = keyframes
        memory = self.encoder(tokens, self.token_position, self.token_bias)
        denoised = self.encoder.output(memory) + tokens
        rough = torch.matmul(self.interpolation, denoised[:, ::spacing])
        features = self.decoder(
            rough, self.position, memory, memory + self.token_position, self.memory_bias
        )
        return self.decoder.output(features) + rough, denoised

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) keyframes -> (B, T, P) recovered window; BadInput for another shape."""
        return self.stages(keyframes)[0]

    forward = recover

    def folded(self) -> nn.Module:
        """The same recovery for inference alone, from merged constants: with the weights of now."""
        from methods.folded_deciwatch import FoldedDeciWatch

        return FoldedDeciWatch(self)

    def loss(self, keyframes: Tensor, truth: Tensor) -> Tensor:
        """Weighted sum of the mean absolute differences at keyframes and at all frames."""
        recovered, denoised = self.stages(keyframes)
        interval = self.window.interval
        denoise = functional.l1_loss(denoised[:, :: interval // self.step], truth[:, ::interval])
        recover = functional.l1_loss(recovered, truth)
        return self.loss_denoise * denoise + self.loss_recover * recover


def _position_code(frames: int, width: int) -> Tensor:
    """(T, C) sines and cosines of a frame's place in the window (spec 2.1, item 2)."""
    place = torch.arange(frames, dtype=torch.float64) / (frames - 1 + 1e-6) * 2 * math.pi
    half = width // 2
    frequency = 10000 ** (2 * torch.arange(half, dtype=torch.float64) / half)
    angle = place[:, None] / frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1).float()


class _Encoder(nn.Module):
    """The denoiser's embedding, layers and output map (spec 2.1, item 3)."""

    def __init__(self, options: DeciWatch.Options, window: Window) -> None:
        super().__init__()
        self.embed = nn.Linear(window.pose, options.width)
        self.layers = nn.ModuleList(Layer(options) for _ in range(options.depth))
        self.norm = nn.LayerNorm(options.width) if options.norm == "pre" else nn.Identity()
        self.output = nn.Linear(options.width, window.pose)

    def forward(self, tokens: Tensor, position: Tensor, bias: Tensor) -> Tensor:
        """Poses (B, N, P) -> memory (B, N, C); bias (N, N) on the logits."""
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, position, bias)
        normed: Tensor = self.norm(x)
        return normed


class _Decoder(nn.Module):
    """The recoverer's embedding, layers and output map (spec 2.1, item 4)."""

    def __init__(self, options: DeciWatch.Options, window: Window) -> None:
        super().__init__()
        padding = options.kernel // 2
        self.embed = nn.Conv1d(window.pose, options.width, options.kernel, padding=padding)
        self.layers = nn.ModuleList(CrossLayer(options) for _ in range(options.depth))
        self.norm = nn.LayerNorm(options.width)
        self.output = nn.Linear(options.width, window.pose)

    def forward(
        self, rough: Tensor, position: Tensor, memory: Tensor, memory_at: Tensor, bias: Tensor
    ) -> Tensor:
        """Poses (B, T, P), memory without and with its position (B, N, C) -> (B, T, C)."""
        x = self.embed(rough.mT).mT
        for layer in self.layers:
            x = layer(x, position, memory, memory_at, bias)
        normed: Tensor = self.norm(x)
        return normed


class Layer(nn.Module):
    """Self-attention and feed-forward; positions go to queries and keys only."""

    def __init__(self, options: DeciWatch.Options) -> None:
        super().__init__()
        width = options.width
        self.before = options.norm == "pre"
        self.attention = MultiHeadAttention(width, options.heads, width // options.heads)
        self.norm_attention = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, options.feed),
            nn.LeakyReLU(0.01),
            Dropout(options.dropout),
            nn.Linear(options.feed, width),
        )
        self.norm_feed = nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)

    def forward(self, x: Tensor, position: Tensor, bias: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C); bias (N, N) on the logits."""
        return self.think(self.look(x, position, bias))

    def look(self, x: Tensor, position: Tensor, bias: Tensor | None = None) -> Tensor:
        """Self-attention, added to x (B, N, C)."""

        def attend(u: Tensor) -> Tensor:
            placed = u + position
            attended: Tensor = self.attention(placed, placed, u, bias)
            return attended

        return self.add(x, attend, self.norm_attention)

    def think(self, x: Tensor) -> Tensor:
        """The feed-forward part, added to x (B, N, C)."""
        return self.add(x, self.feed, self.norm_feed)

    def add(self, x: Tensor, part: Callable[[Tensor], Tensor], norm: nn.LayerNorm) -> Tensor:
        """What `part` makes of x (B, N, C), added to it, normalised before or after."""
        added: Tensor = x + self.dropout(part(norm(x) if self.before else x))
        return added if self.before else norm(added)


class CrossLayer(Layer):
    """Self-attention, cross-attention to the memory, and feed-forward."""

    def __init__(self, options: DeciWatch.Options) -> None:
        super().__init__(options)
        self.cross = MultiHeadAttention(
            options.width, options.heads, options.width // options.heads
        )
        self.norm_cross = nn.LayerNorm(options.width)

    def forward(  # type: ignore[override]
        self, x: Tensor, position: Tensor, memory: Tensor, memory_at: Tensor, bias: Tensor
    ) -> Tensor:
        """(B, T, C) and memory (B, N, C) -> (B, T, C); bias (T, N) on the cross logits."""
        x = self.look(x, position)
        x = self.add(
            x, lambda u: self.cross(u + position, memory_at, memory, bias), self.norm_cross
        )
        return self.think(x)
