"""MixSynthFormer as released (spec 1.2), eager, one line of the spec after the other.

Axes: B windows, T frames, P pose values, C channels; an attention works on N tokens of D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Synthetic attention with a gate for every token; values are reduced to d = N // r."""

    def __init__(self, tokens: int, features: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        reduced = tokens // ratio
        self.scores = nn.Linear(features, reduced)
        self.gate = nn.Sequential(
            nn.Linear(tokens, tokens // 4, bias=False),
            nn.ReLU(),
            nn.Linear(tokens // 4, tokens, bias=False),
            nn.Sigmoid(),
        )
        # The release has this map also where nothing is reduced and it is never used.
        self.values = nn.Linear(tokens, reduced)

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        scores = self.scores(z)
        scores = scores * self.gate(scores.mean(-1)).unsqueeze(-1)
        values = z if self.ratio == 1 else self.values(z.transpose(1, 2)).transpose(1, 2)
        return torch.softmax(scores, -1) @ values


class BranchWeights(nn.Module):
    """One pair of weights per frame, from features averaged over channels."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.pairs = nn.Sequential(
            nn.Linear(frames, frames // 4), nn.GELU(), nn.Linear(frames // 4, 2 * frames)
        )

    def forward(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Two (B, T, C) -> their weighted sum (B, T, C)."""
        pairs = self.pairs((temporal + spatial).mean(-1))
        share = torch.softmax(pairs.view(*pairs.shape[:-1], -1, 2), -1)
        return share[..., 0:1] * temporal + share[..., 1:2] * spatial


class MixedAttention(nn.Module):
    """Both branches, weighed, summed and mapped."""

    def __init__(self, frames: int, width: int, ratio_t: int, ratio_s: int) -> None:
        super().__init__()
        self.temporal = Attention(frames, width, ratio_t)
        self.spatial = Attention(width, frames, ratio_s)
        self.branch_weights = BranchWeights(frames)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        spatial = self.spatial(x.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.output(self.branch_weights(self.temporal(x), spatial))
        return mixed


class Block(nn.Module):
    """Attention and feed-forward, each added to its input and normalised."""

    def __init__(self, frames: int, width: int, ratio_t: int, ratio_s: int, share: float) -> None:
        super().__init__()
        self.attention = MixedAttention(frames, width, ratio_t, ratio_s)
        self.dropout = nn.Dropout(share)
        self.norm1 = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(share),
            nn.Linear(2 * width, width),
            nn.Dropout(share),
        )
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.norm1(x + self.dropout(self.attention(x)))
        thought: Tensor = self.norm2(x + self.feed(x))
        return thought


class Model(nn.Module):
    """A learned interpolation of the keyframes, refined by L blocks.

    interval: K; keyframes: Q + 1; pose: P; width: C; depth: L; ratio_t, ratio_s: r_t and r_s.
    Parameters have the names of `methods.mixsynthformer`, whose weights can be loaded.
    """

    def __init__(
        self,
        interval: int,
        keyframes: int,
        pose: int,
        *,
        width: int,
        depth: int,
        ratio_t: int = 4,
        ratio_s: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.interval = interval
        frames = interval * (keyframes - 1) + 1
        self.interpolate = nn.Linear(keyframes, frames)
        self.embed = nn.Linear(pose, width)
        self.blocks = nn.Sequential(
            *(Block(frames, width, ratio_t, ratio_s, dropout) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, pose)
        for parameter in self.parameters():
            if parameter.ndim >= 2:
                nn.init.xavier_uniform_(parameter)

    def forward(self, poses: Tensor) -> Tensor:
        """(B, T, P) poses of any precision, of which keyframes alone are seen -> (B, T, P)."""
        keyframes = poses[:, :: self.interval].float()
        rough = self.interpolate(keyframes.transpose(1, 2)).transpose(1, 2)
        refined: Tensor = self.output(self.norm(self.blocks(self.embed(rough)))) + rough
        return refined
