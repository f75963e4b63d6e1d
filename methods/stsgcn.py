"""STSGCN: graph convolutions whose adjacency over frames and over joints is learned apart.

Source: Sofianos et al., Space-time-separable graph convolutional network for pose forecasting
(ICCV 2021), and its release (spec 4.1, 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from bench.contracts import Span
from methods.graph_layers import GraphNetwork, LearnedGraph, channels_of, span_of
from methods.horizons import Anchor, HorizonPrediction
from methods.layers import check_share


class STSGCN(HorizonPrediction):
    """Graph layers with one learned adjacency each, and a CNN over time."""

    title: ClassVar[str] = "STSGCN"
    source: ClassVar[str] = "Sofianos et al., ICCV 2021"
    revision: ClassVar[int] = 1

    @dataclass(frozen=True)
    class Options:
        """Hyper-parameters; the defaults are the release's, but for the horizons.

        horizons: a network for each of these numbers of frames, as published, or one for the
        whole future; unit: of the network's numbers, mm; anchor: what they are relative to, see
        `HorizonPrediction`; channels: C between the graph layers; dropout: after each graph layer.
        """

        horizons: tuple[int, ...] = ()
        unit: float = 1.0
        anchor: Anchor = "origin"
        channels: tuple[int, ...] = (64, 32, 64)
        dropout: float = 0.1

    def __init__(self, options: Options, span: Span) -> None:
        """BadInput for options out of range, and for horizons that do not end at the future."""
        check_share(options, "dropout")
        super().__init__(options, span)

    @staticmethod
    def network(options: Options, span: Span, horizon: int) -> GraphNetwork:
        """A network (N, D, T, V) -> (N, horizon, D, V), in the unit of the options."""
        return GraphNetwork(
            lambda _: LearnedGraph(span.history, span.joints),
            options.channels,
            span.dims,
            span.history,
            horizon,
            options.dropout,
        )

    @staticmethod
    def sizes(weights: Mapping[str, Tensor]) -> tuple[Mapping[str, Any], Span]:
        """The options and the span of a network with these weights; KeyError if it has none."""
        return {"channels": channels_of(weights)}, span_of(weights)
