"""MixSynthFormer's blocks for inference: the same function, from merged constants.

What is merged: the scale and shift of a layer norm with the map and the sum that follow it; the
mean over scores with the map that makes them; the two weights of a pair, of which the softmax
needs the difference alone; maps of values with the output map where one branch is alone (each
row of its weights sums to one, so that a bias passes through). Axes: B windows, T frames, C
channels, N tokens of D features reduced to d; one window comes without its batch axis.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.attention import (
    BranchWeights,
    DenseAttention,
    RandomAttention,
    SyntheticAttention,
    VanillaAttention,
)
from methods.encoder import Block, MixSynthAttention
from methods.folding import Columns, Rows, normalised, offset


class FoldedBlock(nn.Module):
    """Attention and feed-forward, each added to its input and normalised."""

    scale: Tensor
    shift: Tensor

    def __init__(self, block: Block) -> None:
        """block: in double precision."""
        super().__init__()
        first, _, _, second, _ = cast("tuple[nn.Linear, ...]", tuple(block.feed))
        self.attention = _attention(block.attention)
        self.first = Columns.after(block.norm1, first)
        self.second = Columns(second.weight)
        self.register_buffer("scale", block.norm1.weight)
        self.register_buffer("shift", block.norm1.bias + second.bias)
        self.norm = block.norm2

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, C) -> (..., T, C)."""
        x = normalised(x + self.attention(x))
        kept = torch.addcmul(self.shift, x, self.scale)
        normed: Tensor = self.norm(self.second.onto(kept, functional.gelu(self.first(x))))
        return normed


def _attention(attention: MixSynthAttention) -> nn.Module:
    """The folded form of an attention: (..., T, C) -> (..., T, C)."""
    temporal, spatial, output = attention.temporal, attention.spatial, attention.output
    if isinstance(temporal, SyntheticAttention) and isinstance(spatial, SyntheticAttention):
        return _Both(temporal, spatial, attention.branch_weights, output)
    if isinstance(spatial, SyntheticAttention):
        return nn.Sequential(_Spatial(spatial), Columns.of(output))
    if isinstance(temporal, SyntheticAttention):
        reduced = [Rows.of(temporal.values)] if temporal.reduces else []
        return _Mixed(_Weights(temporal), nn.Sequential(*reduced, Columns.of(output)))
    if isinstance(temporal, RandomAttention):
        value = _merged(temporal.value, output)
        # The matrix need not have rows that sum to one.
        matrix = temporal.normalise(temporal.matrix)[0]
        shift = torch.outer(matrix.sum(1), output.weight @ offset(temporal.value)) + offset(output)
        return nn.Sequential(Columns(value.weight), Rows(matrix, shift))
    if isinstance(temporal, DenseAttention):
        first, last = cast("tuple[nn.Linear, ...]", (temporal.scores[0], temporal.scores[2]))
        weights = nn.Sequential(Columns.of(first), nn.ReLU(), Columns.of(last), nn.Softmax(-1))
        return _Mixed(weights, _merged(temporal.value, output))
    vanilla = cast(VanillaAttention, temporal)
    return _Mixed(_Similarity(vanilla), _merged(vanilla.value, output))


def _merged(value: nn.Linear, output: nn.Linear) -> Columns:
    """The map of values and the output map in one, for weights whose rows sum to one."""
    return Columns(output.weight @ value.weight, output.weight @ offset(value) + offset(output))


class _Mixed(nn.Module):
    """Values, weighed."""

    def __init__(self, weights: nn.Module, values: nn.Module) -> None:
        super().__init__()
        self.weights = weights
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.weights(x), self.values(x))


class _Similarity(nn.Module):
    """Weights from products of queries and keys: one map of the frames, times the frames.

    What a query adds to all of its products alike has no effect on a softmax: the keys' bias.
    """

    def __init__(self, attention: VanillaAttention) -> None:
        super().__init__()
        query, key = attention.query, attention.key
        scaled = key.weight.mT * attention.scale
        self.query = Columns(scaled @ query.weight, scaled @ offset(query))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.query(x), x.mT).softmax(-1)


class _Weights(nn.Module):
    """Synthetic weights of tokens (..., N, D): (..., N, d)."""

    def __init__(self, attention: SyntheticAttention) -> None:
        super().__init__()
        self.scores = Columns.of(attention.scores)
        self.gate: nn.Sequential | None = None
        if attention.gate is not None:
            squeeze, first, widen, last = cast("tuple[nn.Linear, ...]", tuple(attention.gate))
            mean = attention.scores.weight.mean(0, keepdim=True)
            shift = offset(attention.scores).mean() * squeeze.weight.sum(1, keepdim=True)
            self.gate = nn.Sequential(
                Columns(mean), Rows(squeeze.weight, shift), first, Rows(widen.weight), last
            )

    def forward(self, z: Tensor) -> Tensor:
        scores = self.scores(z)
        if self.gate is not None:
            scores = scores * self.gate(z)
        weights: Tensor = scores.softmax(-1)
        return weights


class _Spatial(nn.Module):
    """The branch over channels, without the transposes around it."""

    def __init__(self, attention: SyntheticAttention) -> None:
        super().__init__()
        self.weights = _Weights(attention)
        self.values = Columns.of(attention.values) if attention.reduces else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.values(x), self.weights(x.mT).mT)


class _Both(nn.Module):
    """Both branches, weighed, summed and mapped."""

    def __init__(
        self,
        temporal: SyntheticAttention,
        spatial: SyntheticAttention,
        weigh: BranchWeights | None,
        output: nn.Linear,
    ) -> None:
        super().__init__()
        values = Rows.of(temporal.values) if temporal.reduces else nn.Identity()
        self.temporal = _Mixed(_Weights(temporal), values)
        self.spatial = _Spatial(spatial)
        self.output = Columns.of(output)
        self.share: nn.Sequential | None = None
        if weigh is not None:
            self.over = -1 if weigh.per == "frame" else -2
            first, activation, last = cast("tuple[nn.Linear, ...]", tuple(weigh.pairs))
            weight = last.weight[0::2] - last.weight[1::2]
            bias = last.bias[0::2] - last.bias[1::2]
            ends: tuple[nn.Module, nn.Module] = Columns.of(first), Columns(weight, bias)
            if weigh.per == "frame":
                ends = Rows.of(first), Rows(weight, bias[:, None])
            self.share = nn.Sequential(ends[0], activation, ends[1], nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        temporal, spatial = self.temporal(x), self.spatial(x)
        if self.share is None:
            summed: Tensor = self.output(temporal + spatial)
            return summed
        share = self.share((temporal + spatial).mean(self.over, keepdim=True))
        mixed: Tensor = self.output(torch.lerp(spatial, temporal, share))
        return mixed
