"""STSGCN: graph convolutions whose adjacency over frames and over joints is learned apart.

Source: Sofianos et al., Space-time-separable graph convolutional network for pose forecasting
(ICCV 2021), and its release (spec 4.1, 4.2).
"""

from __future__ import annotations

from typing import ClassVar

from bench.contracts import Choice, Search, Span
from methods.graph_layers import LearnedGraph
from methods.graph_prediction import GRAPH_SEARCH, GraphOptions, GraphPrediction
from methods.searching import TRAINING


class STSGCN(GraphPrediction):
    """Graph layers with one learned adjacency each, and a CNN over time.

    The defaults of the options are the release's, but for the horizons.
    """

    title: ClassVar[str] = "STSGCN"
    source: ClassVar[str] = "Sofianos et al., ICCV 2021"
    Options: ClassVar[type[GraphOptions]] = GraphOptions
    search: ClassVar[Search] = Search(
        options={**GRAPH_SEARCH, "channels": Choice(((32, 16, 32), (64, 32, 64), (128, 64, 128)))},
        training=TRAINING,
    )

    @staticmethod
    def graph(options: GraphOptions, span: Span, channels: int) -> LearnedGraph:  # noqa: ARG004
        """The same graph for any number of channels, whatever the input."""
        return LearnedGraph(span.history, span.joints)
