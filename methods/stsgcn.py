"""STSGCN: graph convolutions whose adjacency over frames and over joints is learned apart.

Source: Sofianos et al., Space-time-separable graph convolutional network for pose forecasting
(ICCV 2021), and its release (spec 4.1, 4.2).
"""

from __future__ import annotations

from typing import ClassVar

from bench.contracts import Span
from methods.graph_layers import LearnedGraph
from methods.graph_prediction import GraphOptions, GraphPrediction


class STSGCN(GraphPrediction):
    """Graph layers with one learned adjacency each, and a CNN over time.

    The defaults of the options are the release's, but for the horizons.
    """

    title: ClassVar[str] = "STSGCN"
    source: ClassVar[str] = "Sofianos et al., ICCV 2021"
    Options: ClassVar[type[GraphOptions]] = GraphOptions

    @staticmethod
    def graph(options: GraphOptions, span: Span, channels: int) -> LearnedGraph:  # noqa: ARG004
        """The same graph for any number of channels, whatever the input."""
        return LearnedGraph(span.history, span.joints)
