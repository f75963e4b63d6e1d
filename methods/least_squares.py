"""Penalised least squares from running second moments, and what fitted methods share.

Samples are read in batches, and only their moments are kept. One eigendecomposition of the
features' moments gives the solutions of all penalties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contracts import BadInput, Samples

BATCH = 512
# Enough to tell penalties apart; trying all of them on a whole split outlasts the fit itself.
VALIDATION_SAMPLES = 2048


@dataclass(frozen=True)
class PenaltyOptions:
    """penalties: candidates, relative to the mean variance of a feature."""

    penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)

    def __post_init__(self) -> None:
        if not self.penalties or not all(0 < value < math.inf for value in self.penalties):
            raise ValueError("penalties must be one or more finite numbers above zero")


FINE_PENALTIES = tuple(round(10 ** (step / 6 - 4), 6) for step in range(25))
"""Six candidates to each factor of ten, from 1e-4 to 1."""


class FittedTensors:
    """Named tensors of known shapes that `fit` finds, or that are loaded instead."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)
        self._fitted: dict[str, Tensor] = {}

    def state_dict(self) -> Mapping[str, Tensor]:
        """The fitted tensors, float32, by name; RuntimeError before `fit`."""
        return {name: self._tensor(name) for name in self._shapes}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take fitted tensors instead of fitting; BadInput when they have other shapes."""
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if found != self._shapes:
            raise BadInput(
                f"stored parameters do not fit {type(self).__name__} as it is built",
                found=found,
                expected=self._shapes,
            )
        self._fitted = dict(state)

    def _tensor(self, name: str) -> Tensor:
        if name not in self._fitted:
            raise RuntimeError(f"{type(self).__name__} has to be fitted before it is used")
        return self._fitted[name]

    def _finite(self, samples: Samples, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of a split; BadInput unless there are some and all of them are finite."""
        if not len(samples):
            raise BadInput(
                "there are no windows to fit on", hint="it takes longer clips or shorter windows"
            )
        for given, wanted in samples.batches(BATCH, most):
            if not (given.isfinite().all() and wanted.isfinite().all()):
                raise BadInput(
                    f"{type(self).__name__} cannot be fitted",
                    found="a window that is not finite",
                    hint="fill missed detections first",
                )
            yield given, wanted


class Moments:
    """Running second moments in float64 of features x and outputs y, row by row.

    centred: about the means, which then stand for an unpenalised intercept.
    """

    def __init__(self, *, centred: bool) -> None:
        self._centred = centred
        self._rows = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """x: (rows, features); y: (rows, outputs)."""
        x, y = x.float(), y.float()
        if not self._rows:
            self._start(x, y)
        x, y = x - self._origin_x, y - self._origin_y
        self._rows += len(x)
        self._sum_x += x.sum(0, dtype=torch.float64)
        self._sum_y += y.sum(0, dtype=torch.float64)
        self._xx += x.T @ x
        self._xy += x.T @ y

    def _start(self, x: Tensor, y: Tensor) -> None:
        # Float32 products about a point amid the data lose nothing to a large mean. That point
        # is no mean itself: rounding would give constant features a variance.
        self._origin_x = x[0] if self._centred else torch.zeros_like(x[0])
        self._origin_y = y[0] if self._centred else torch.zeros_like(y[0])
        self._sum_x = torch.zeros_like(x[0], dtype=torch.float64)
        self._sum_y = torch.zeros_like(y[0], dtype=torch.float64)
        self._xx = self._sum_x.new_zeros(x.shape[1], x.shape[1])
        self._xy = self._sum_x.new_zeros(x.shape[1], y.shape[1])

    def result(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean x, mean y (zero unless centred), mean x x^T, mean x y^T about those."""
        xx, xy = self._xx / self._rows, self._xy / self._rows
        if not self._centred:
            return self._origin_x.double(), self._origin_y.double(), xx, xy
        x, y = self._sum_x / self._rows, self._sum_y / self._rows
        return self._origin_x + x, self._origin_y + y, xx - x.outer(x), xy - x.outer(y)


class Path:
    """The solutions of penalised least squares for every penalty."""

    def __init__(self, moments: Moments, *, equalise: float = 0.0) -> None:
        """equalise: how far features are brought to one variance first: 0 not at all, 1 fully."""
        self._mean_x, self._mean_y, xx, xy = moments.result()
        variances = xx.diagonal()
        # Features that never vary have no moments either: any positive scale leaves their
        # weights at zero.
        self._scale_x = torch.where(variances > 0, variances, 1.0) ** (-equalise / 2)
        xx = self._scale_x[:, None] * xx * self._scale_x
        values, self._axes = torch.linalg.eigh(xx)
        self._values = values.clamp(min=0)
        # A penalty of one weighs as much as the variance of a feature.
        self._unit = float(xx.diagonal().mean()) or 1.0
        self._cross = self._axes.T @ (self._scale_x[:, None] * xy)
        self._cross32 = self._cross.float()

    def rotate(self, x: Tensor) -> Tensor:
        """(rows, features) -> the same on the eigenvectors, for `predict`."""
        scaled = (x.float() - self._mean_x.float()) * self._scale_x.float()
        rotated: Tensor = scaled @ self._axes.float()
        return rotated

    def predict(self, rotated: Tensor, penalty: float) -> Tensor:
        """(rows, outputs) in float32 under a penalty."""
        rows: Tensor = (rotated * self._gains(penalty).float()) @ self._cross32
        return rows.add_(self._mean_y.float())

    def solution(self, penalty: float) -> tuple[Tensor, Tensor]:
        """Weight (features, outputs) and bias (outputs,) in float64 under a penalty."""
        rotated = self._axes @ (self._gains(penalty)[:, None] * self._cross)
        weight: Tensor = self._scale_x[:, None] * rotated
        return weight, self._mean_y - self._mean_x @ weight

    def _gains(self, penalty: float) -> Tensor:
        gains: Tensor = 1 / (self._values + penalty * self._unit)
        return gains
