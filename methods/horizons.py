"""Prediction with a network for each horizon, or one for all: what STSGCN and STGAGCN share.

Axes: B clips, H frames of history, F frames of future, P = J*D pose values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench.contracts import Adopted, BadInput, Span
from methods.layers import check_history

_MM = 1000.0

Anchor = Literal["origin", "last"]


class HorizonPrediction(nn.Module, ABC):
    """Networks (N, D, T, V) -> (N, F, D, V), each for the frames up to a horizon.

    Subclasses say how a network is built and how its sizes are read from published weights.
    """

    title: ClassVar[str]
    Options: ClassVar[type[Any]]

    def __init__(self, options: Any, span: Span) -> None:
        """Build the networks.

        options: `horizons` are frames of future, ascending; none means one, the whole future;
        `unit`: the millimetres that a network's number of 1 stands for; `anchor`: what its
        positions are relative to, the hip or each joint's last known place. BadInput when the
        horizons do not ascend to the span's future, or when the unit is not positive.
        """
        super().__init__()
        horizons = tuple(options.horizons) or (span.future,)
        if list(horizons) != sorted(set(horizons)) or horizons[0] < 1:
            raise BadInput("horizons must ascend from 1 on", found=horizons)
        if horizons[-1] != span.future:
            raise BadInput(
                "the last horizon must be the whole future",
                found=f"horizons {horizons}",
                expected=f"{span.future} as the last",
            )
        self.span = span
        self.horizons = horizons
        self.per_horizon = len(horizons) > 1
        if not options.unit > 0:
            raise BadInput("the unit must be positive", found=options.unit)
        self.scale = _MM / options.unit
        self.anchor: Anchor = options.anchor
        self.networks = nn.ModuleDict(
            {str(horizon): self.network(options, span, horizon) for horizon in horizons}
        )

    @staticmethod
    @abstractmethod
    def network(options: Any, span: Span, horizon: int) -> nn.Module:
        """A new network (N, D, T, V) -> (N, horizon, D, V) with the published parameter names."""

    @staticmethod
    @abstractmethod
    def sizes(weights: Mapping[str, Tensor]) -> tuple[Mapping[str, Any], Span]:
        """The options and the span of a network with these weights.

        KeyError, IndexError or ValueError where they are of something else.
        """

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) metres -> (B, frames, P), from the network of the nearest horizon not before.

        BadInput for another shape, and for frames beyond the last horizon.
        """
        if not 1 <= frames <= self.span.future:
            raise BadInput(
                "no network looks so far",
                found=f"{frames} frames",
                expected=f"1 to {self.horizons[-1]}",
            )
        horizon = min(horizon for horizon in self.horizons if horizon >= frames)
        future: Tensor = self.networks[str(horizon)](self._scaled(history))
        moved: Tensor = future[:, :frames].mT.flatten(2) / self.scale
        if self.anchor == "last":
            moved = moved + history[:, -1:]
        return moved

    def loss(self, history: Tensor, future: Tensor) -> Tensor:
        """The sum over the networks of the mean joint error in millimetres up to their horizons.

        history: (B, H, P), future: (B, F, P), both in metres. The networks share no parameter:
        together they are trained as each alone.
        """
        given = self._scaled(history)
        if self.anchor == "last":
            future = future - history[:, -1:]
        wanted = self.scale * self._poses(future).mT
        errors: list[Tensor] = [
            (network(given) - wanted[:, :horizon]).norm(dim=2).mean()
            for horizon, network in zip(self.horizons, self.networks.values(), strict=True)
        ]
        loss: Tensor = torch.stack(errors).sum() * (_MM / self.scale)
        return loss

    @classmethod
    def adopt(cls, files: Mapping[str, Mapping[str, Tensor]]) -> list[Adopted]:
        """The methods that published weights, state dicts by file name, are of.

        Networks that differ in their horizon alone become one method. BadInput when two of them
        have the same horizon.
        """
        groups: list[tuple[Mapping[str, Any], Span, dict[int, str]]] = []
        for name, weights in sorted(files.items()):
            recognised = cls._recognised(weights)
            if recognised is None:
                continue
            options, span = recognised
            alike = replace(span, future=1)
            group = next((names for o, s, names in groups if (o, s) == (options, alike)), None)
            if group is None:
                group = {}
                groups.append((options, alike, group))
            if span.future in group:
                raise BadInput(
                    f"two files of {cls.title} weights for one horizon",
                    found=f"{group[span.future]} and {name} for {span.future} frames",
                    hint="keep each set of weights in a folder of its own",
                )
            group[span.future] = name
        return [
            Adopted(
                options={**options, "horizons": tuple(sorted(names))},
                geometry={"history": span.history, "future": max(names)},
                state={
                    f"networks.{horizon}.{key}": tensor
                    for horizon, name in sorted(names.items())
                    for key, tensor in files[name].items()
                },
                files=tuple(name for _, name in sorted(names.items())),
                joints=span.joints,
                dims=span.dims,
            )
            for options, span, names in groups
        ]

    @classmethod
    def _recognised(cls, weights: Mapping[str, Tensor]) -> tuple[Mapping[str, Any], Span] | None:
        """The sizes of the network, if these are exactly its weights."""
        try:
            options, span = cls.sizes(weights)
        except (KeyError, IndexError, ValueError, BadInput):
            return None
        with torch.device("meta"):
            network = cls.network(cls.Options(**options), span, span.future)
        own = {key: tensor.shape for key, tensor in network.state_dict().items()}
        same = own == {key: tensor.shape for key, tensor in weights.items()}
        return (options, span) if same else None

    def _scaled(self, history: Tensor) -> Tensor:
        """(B, H, P) metres -> (B, D, H, J) in the networks' unit, about their anchor."""
        check_history(history, self.span)
        if self.anchor == "last":
            history = history - history[:, -1:]
        scaled: Tensor = self.scale * self._poses(history).permute(0, 3, 1, 2)
        return scaled

    def _poses(self, flat: Tensor) -> Tensor:
        """(B, T, P) -> (B, T, J, D)."""
        return flat.reshape(*flat.shape[:2], self.span.joints, self.span.dims)
