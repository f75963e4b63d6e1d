"""Parts that STSGCN and STGAGCN share: mixing over frames and joints, its layer, the time CNN.

Module and parameter names are those of the published weights (spec 4.1). Axes: N clips,
C channels, T frames of history, F frames of future, V joints.
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


def mixing_matrix(time: Tensor, joints: Tensor) -> Tensor:
    """Mixing over frames, then over joints, as one matrix (..., T*V, T*V) for rows of T*V values.

    time: (..., V, T, T), from frame to frame of each joint; joints: (..., T, V, V), from joint to
    joint in each frame. One large product is faster than many small ones, though it counts more
    operations.
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

    def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002
        """The mixing matrix (T*V, T*V), the same for every input (N, C, T, V)."""
        return mixing_matrix(self.T, self.A)


class GraphLayer(nn.Module):
    """Mix frames and joints, then channels; add the input, through a convolution where C changes.

    graph: a module that turns the input (N, C, T, V) into its mixing matrix, (T*V, T*V) for all
    or (N, T*V, T*V) for each.
    """

    def __init__(self, graph: nn.Module, inner: int, outer: int, dropout: float) -> None:
        super().__init__()
        self.gcn = graph
        self.narrows = outer < inner
        self.tcn = nn.Sequential(
            nn.Conv2d(inner, outer, 1), nn.BatchNorm2d(outer), Dropout(dropout)
        )
        self.residual: nn.Module = nn.Identity()
        if inner != outer:
            self.residual = nn.Sequential(nn.Conv2d(inner, outer, 1), nn.BatchNorm2d(outer))
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        matrix = self.gcn(x)
        # Mixing commutes with the convolution, and fewer channels are less work. Only the bias
        # has to come last.
        if self.narrows:
            convolve = cast(nn.Conv2d, self.tcn[0])
            y = _mixed(functional.conv2d(x, convolve.weight), matrix)
            y = self.tcn[1:](y + cast(Tensor, convolve.bias)[:, None, None])
        else:
            y = self.tcn(_mixed(x, matrix))
        out: Tensor = self.prelu(y + self.residual(x))
        return out


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.matmul(x.flatten(2), matrix).view(x.shape)


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
        x = history
        for layer in self.st_gcnns:
            x = layer(x)
        x = x.transpose(1, 2)
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
