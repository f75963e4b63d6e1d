"""STGAGCN: graph convolutions whose adjacency is a mixture, weighed by gates for each clip.

Source: Zhong et al., Spatio-temporal gating-adjacency GCN for human motion prediction (CVPR
2022), and its release, called GAGCN there (spec 5.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import Choice, Real, Search, Span
from methods.graph_layers import uniform
from methods.graph_prediction import GRAPH_SEARCH, GraphOptions, GraphPrediction
from methods.layers import check_positive, check_share
from methods.searching import TRAINING


class STGAGCN(GraphPrediction):
    """Graph layers with gated mixtures of adjacencies, and a CNN over time."""

    title: ClassVar[str] = "STGAGCN"
    source: ClassVar[str] = "Zhong et al., CVPR 2022"
    search: ClassVar[Search] = Search(
        options={
            **GRAPH_SEARCH,
            "channels": Choice(((16, 16), (32, 32), (32, 64, 32))),
            "spatial_experts": Choice((1, 2, 4)),
            "temporal_experts": Choice((1, 2, 3)),
            "gate_width": Choice((16, 64, 256)),
            "gate_dropout": Real(0.0, 0.7),
        },
        training=TRAINING,
    )

    @dataclass(frozen=True)
    class Options(GraphOptions):
        """Hyper-parameters; the defaults are the release's, but for horizons and test_dropout.

        spatial_experts, temporal_experts: how many adjacencies are mixed; gate_width: of the
        gates' hidden layers; gate_dropout: the probability to drop (the release takes a
        probability to keep, 0.7, for it); test_dropout: whether gates drop in evaluation too, as in
        the release, which makes predictions random; the others: `GraphOptions`.
        """

        channels: tuple[int, ...] = (32, 64, 64, 64, 32)
        spatial_experts: int = 4
        temporal_experts: int = 3
        gate_width: int = 256
        gate_dropout: float = 0.7
        test_dropout: bool = False

    def __init__(self, options: Options, span: Span) -> None:
        """BadInput for options out of range, and for horizons that do not end at the future."""
        check_positive(options, "spatial_experts", "temporal_experts", "gate_width")
        check_share(options, "gate_dropout")
        super().__init__(options, span)

    @staticmethod
    def graph(options: Options, span: Span, channels: int) -> GatedGraph:
        """A graph whose gates read a layer's input of so many channels."""
        return GatedGraph(channels, span, options)

    @staticmethod
    def sizes(weights: Mapping[str, Tensor]) -> tuple[Mapping[str, Any], Span]:
        """The options and the span of a network with these weights; KeyError if it has none."""
        options, span = GraphPrediction.sizes(weights)
        gates = "st_gcnns.0.gcn.gating_layer"
        return {
            **options,
            "spatial_experts": len(weights[f"{gates}2.weight"]),
            "temporal_experts": len(weights[f"{gates}5.weight"]),
            "gate_width": len(weights[f"{gates}0.weight"]),
        }, span


class GatedGraph(nn.Module):
    """Mixtures of learned adjacencies, over joints and over frames, weighed by the input."""

    def __init__(self, channels: int, span: Span, options: STGAGCN.Options) -> None:
        super().__init__()
        T, V = span.history, span.joints
        self.A = uniform(V**-0.5, options.spatial_experts, T, V, V)
        self.T = uniform(T**-0.5, options.temporal_experts, V, T, T)
        self.dropout = options.gate_dropout
        self.always = options.test_dropout
        inner, width = channels * T * V, options.gate_width
        self.gating_layer0 = nn.Linear(inner, width)
        self.gating_layer1 = nn.Linear(width, width)
        self.gating_layer2 = nn.Linear(width, options.spatial_experts)
        self.gating_layer3 = nn.Linear(inner, width)
        self.gating_layer4 = nn.Linear(width, width)
        self.gating_layer5 = nn.Linear(width, options.temporal_experts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What `mixed` mixes frames and joints of each clip by, for a layer's (T, V, N, C)."""
        flat = x.permute(2, 3, 0, 1).flatten(1)
        spatial = self._shares(flat, self.gating_layer0, self.gating_layer1, self.gating_layer2)
        temporal = self._shares(flat, self.gating_layer3, self.gating_layer4, self.gating_layer5)
        return (
            torch.einsum("nk,kvtq->nvtq", temporal, self.T),
            torch.einsum("nk,ktvw->ntvw", spatial, self.A),
        )

    def _shares(self, x: Tensor, first: nn.Linear, second: nn.Linear, last: nn.Linear) -> Tensor:
        """(N, C*T*V) -> (N, K), the experts' shares, which sum to one."""
        x = functional.elu(first(self._dropped(x)))
        x = functional.elu(second(self._dropped(x)))
        return functional.softmax(last(self._dropped(x)), dim=1)

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training or self.always)
