"""Parts that STSGCN and STGAGCN share: mixing over frames and joints, its layer, the time CNN.

Module and parameter names are those of the published weights (spec 4.1). Axes: N clips,
C channels, T frames of history, F frames of future, V joints. Graph layers have them in the order
T, V, N, C: what they do over frames, joints or channels are then a few large products, for which
nothing is copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import Span
from methods.layers import Dropout


def mixed(x: Tensor, time: Tensor, joints: Tensor) -> Tensor:
    """Mix the frames of every joint, then the joints of every frame (spec 4.1).

    x: (T, V, N, C), as is what is returned; time: (V, T, T), from frame to frame of each joint;
    joints: (T, V, V), from joint to joint in each frame; both the same for all clips, or
    (N, V, T, T) and (N, T, V, V).
    """
    if time.ndim == 4:
        matrix = mixing_matrix(time, joints)
        clips = torch.bmm(matrix.mT, x.flatten(0, 1).transpose(0, 1))
        return clips.transpose(0, 1).reshape(x.shape)
    rows = torch.bmm(time.mT, x.flatten(2).transpose(0, 1))
    return torch.bmm(joints.mT, rows.transpose(0, 1)).view(x.shape)


def mixing_matrix(time: Tensor, joints: Tensor) -> Tensor:
    """Mixing of each clip as one matrix (N, T*V, T*V) for rows of T*V values; see `mixed`.

    One product for a clip is faster than one for each of its joints and frames, though it counts
    more operations.
    """
    both = torch.einsum("...vtq,...qvw->...tvqw", time, joints)
    return both.flatten(-4, -3).flatten(-2)


def uniform(bound: float, *shape: int) -> nn.Parameter:
    """A parameter drawn from -bound to bound."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class LearnedGraph(nn.Module):
    """One way of mixing, learned, whatever the input."""

    def __init__(self, frames: int, joints: int) -> None:
        super().__init__()
        self.A = uniform(joints**-0.5, frames, joints, joints)
        self.T = uniform(frames**-0.5, joints, frames, frames)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """What `mixed` mixes frames and joints by, the same for every input (T, V, N, C)."""
        return self.T, self.A


class GraphLayer(nn.Module):
    """Mix frames and joints, then channels; add the input, through a convolution where C changes.

    graph: a module that turns the input (T, V, N, C) into what `mixed` mixes frames and joints by.
    """

    def __init__(self, graph: nn.Module, inner: int, outer: int, dropout: float) -> None:
        super().__init__()
        self.gcn = graph
        self.narrows = outer < inner
        self.tcn = nn.Sequential(
            nn.Conv2d(inner, outer, 1), nn.BatchNorm1d(outer), Dropout(dropout)
        )
        self.residual: nn.Module = nn.Identity()
        if inner != outer:
            self.residual = nn.Sequential(nn.Conv2d(inner, outer, 1), nn.BatchNorm1d(outer))
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(T, V, N, C) -> (T, V, N, C')."""
        time, joints = self.gcn(x)
        convolve, norm, dropout = self.tcn
        # Mixing commutes with the convolution, and fewer channels are less work. Only the bias
        # has to come last.
        if self.narrows:
            y = mixed(_convolved(x, convolve, bias=False), time, joints)
            y = y.flatten(0, 2) + cast(Tensor, convolve.bias)
        else:
            y = _convolved(mixed(x, time, joints).flatten(0, 2), convolve)
        # From here on as rows of channels, which is what a compiler fuses.
        rows = x.flatten(0, 2)
        if isinstance(self.residual, nn.Sequential):
            convolve, norm_of_input = self.residual
            rows = norm_of_input(_convolved(rows, convolve))
        out: Tensor = self.prelu(dropout(norm(y)) + rows)
        return out.view(*x.shape[:3], -1)


def _convolved(x: Tensor, convolve: nn.Module, *, bias: bool = True) -> Tensor:
    """(..., C) -> (..., C') by a convolution over one place, with or without its bias."""
    weight, offset = cast(Tensor, convolve.weight), cast(Tensor, convolve.bias)
    return functional.linear(x, weight.flatten(1), offset if bias else None)


class TimeLayer(nn.Module):
    """A 3x3 convolution over dimensions and joints, with frames as channels, and its norm."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D, V) -> (N, F, D, V)."""
        out: Tensor = self.block(x)
        return out


class GraphNetwork(nn.Module):
    """Graph layers over the history, then a CNN that turns its frames into those of the future.

    graph: makes the module that gives a layer its graph, from the layer's number of channels;
    channels: between the layers; dims: D of the poses at both ends.
    """

    def __init__(
        self,
        graph: Callable[[int], nn.Module],
        channels: Sequence[int],
        dims: int,
        history: int,
        future: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.st_gcnns = nn.ModuleList(
            GraphLayer(graph(inner), inner, outer, dropout)
            for inner, outer in pairwise((dims, *channels, dims))
        )
        self.txcnns = nn.ModuleList(
            TimeLayer(inner, future) for inner in (history, future, future, future)
        )
        self.prelus = nn.ModuleList(nn.PReLU() for _ in self.txcnns)

    def forward(self, history: Tensor) -> Tensor:
        """(N, D, T, V) -> (N, F, D, V)."""
        x = history.permute(2, 3, 0, 1).contiguous()
        for layer in self.st_gcnns:
            x = layer(x)
        x = x.permute(2, 0, 3, 1)
        for i, (layer, activation) in enumerate(zip(self.txcnns, self.prelus, strict=True)):
            y = activation(layer(x))
            x = y if i == 0 else y + x
        return x


def channels_of(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """C between the graph layers of a `GraphNetwork` with these weights; KeyError for others."""
    layers = sum(re.fullmatch(r"st_gcnns\.\d+\.tcn\.0\.weight", key) is not None for key in weights)
    return tuple(len(weights[f"st_gcnns.{i}.tcn.0.weight"]) for i in range(layers - 1))


def span_of(weights: Mapping[str, Tensor]) -> Span:
    """The geometry of a `GraphNetwork` with these weights, its horizon as the future.

    KeyError, IndexError or BadInput for the weights of anything else.
    """
    future, history = weights["txcnns.0.block.0.weight"].shape[:2]
    return Span(
        history=history,
        future=future,
        joints=weights["st_gcnns.0.gcn.A"].shape[-1],
        dims=weights["st_gcnns.0.tcn.0.weight"].shape[1],
    )
