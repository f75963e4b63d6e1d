"""What STSGCN and STGAGCN are beside their graphs: options, networks, published sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from torch import Tensor, nn

from bench.contracts import Choice, Real, Span, Tunable
from methods.graph_layers import GraphNetwork, channels_of, span_of
from methods.horizons import Anchor, HorizonPrediction
from methods.layers import check_share


@dataclass(frozen=True)
class GraphOptions:
    """Hyper-parameters of both; `channels` of each release are its own.

    horizons: a network for each of these numbers of frames, as published, or one for the whole
    future; unit: of the network's numbers, mm; anchor: what they are relative to, see
    `HorizonPrediction`; channels: C between the graph layers; dropout: after each graph layer.
    """

    horizons: tuple[int, ...] = ()
    unit: float = 1.0
    anchor: Anchor = "origin"
    channels: tuple[int, ...] = (64, 32, 64)
    dropout: float = 0.1


GRAPH_SEARCH: Mapping[str, Tunable] = {
    "unit": Choice((1.0, 50.0)),
    "anchor": Choice(get_args(Anchor)),
    "dropout": Real(0.0, 0.3),
}
"""What `bench tune` may change of both; their channels are their own."""


class GraphPrediction(HorizonPrediction):
    """Prediction by a `GraphNetwork` for each horizon; subclasses say what its graphs are."""

    revision: ClassVar[int] = 3

    def __init__(self, options: Any, span: Span) -> None:
        """BadInput for options out of range, and for horizons that do not end at the future."""
        check_share(options, "dropout")
        super().__init__(options, span)

    @staticmethod
    @abstractmethod
    def graph(options: Any, span: Span, channels: int) -> nn.Module:
        """A new graph for a `GraphLayer` whose input has so many channels."""

    @classmethod
    def network(cls, options: Any, span: Span, horizon: int) -> GraphNetwork:
        """A network (N, D, T, V) -> (N, horizon, D, V), in the unit of the options."""
        return GraphNetwork(
            lambda channels: cls.graph(options, span, channels),
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
