"""Methods fitted in closed form: linear interpolation plus the simplest corrections to it.

All are least squares on the windows of the train split, shrunk towards linear interpolation by
a penalty that is chosen on validation. They show how much of a trained network's gain a linear
map has as well. Windows are read in batches, and only their second moments are kept.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import BadInput, Window, Samples
from methods.interpolation import Linear, NoOptions

_BATCH = 512
# Enough to tell penalties apart; trying all of them on a whole split outlasts the fit itself.
_VALIDATION_WINDOWS = 2048


@dataclass(frozen=True)
class PenaltyOptions:
    """penalties: candidates, relative to the mean variance of a feature."""

    penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)

    def __post_init__(self) -> None:
        if not self.penalties or not all(0 < value < math.inf for value in self.penalties):
            raise ValueError("penalties must be one or more finite numbers above zero")


class _ClosedForm:
    """Linear interpolation, and fitted tensors that correct it."""

    source: ClassVar[str] = "ours"
    revision: ClassVar[int] = 1

    def __init__(self, window: Window, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.window = window
        self._shapes = dict(shapes)
        self._fitted: dict[str, Tensor] = {}
        self._linear = Linear(NoOptions(), window)

    def state_dict(self) -> Mapping[str, Tensor]:
        """The fitted tensors, float32, by name; RuntimeError before `fit`."""
        return {name: self._tensor(name) for name in self._shapes}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take fitted tensors instead of fitting; BadInput when they belong to another window."""
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if found != self._shapes:
            raise BadInput(
                f"stored parameters do not fit {type(self).__name__} and this window",
                found=found,
                expected=self._shapes,
            )
        self._fitted = dict(state)

    def _tensor(self, name: str) -> Tensor:
        if name not in self._fitted:
            raise RuntimeError(f"{type(self).__name__} has to be fitted before it is used")
        return self._fitted[name]

    def _batches(
        self, source: Samples, most: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of keyframes (B, Q+1, P) and what linear interpolation lacks (B, T, P)."""
        if not len(source):
            raise BadInput(
                "there are no windows to fit on",
                hint=f"it takes clips of {self.window.frames} frames, or shorter windows",
            )
        for keyframes, truth in source.batches(_BATCH, most):
            correction = truth - self._linear.recover(keyframes)
            if not (keyframes.isfinite().all() and correction.isfinite().all()):
                raise BadInput(
                    f"{type(self).__name__} cannot be fitted",
                    found="a window that is not finite",
                    hint="fill missed detections first",
                )
            yield keyframes, correction


class LinearOffset(_ClosedForm):
    """Linear interpolation plus one constant per pose value: its mean error on train, (P,)."""

    title: ClassVar[str] = "linear + offset"
    Options: ClassVar[type[Any]] = NoOptions

    def __init__(self, options: NoOptions, window: Window) -> None:
        """options: none; window: any."""
        super().__init__(window, {"offset": (window.pose,)})
        self.options = options

    def fit(
        self,
        train: Samples,
        validation: Samples,  # noqa: ARG002, nothing is left to choose
    ) -> Mapping[str, float]:
        """Learn the offset on `train`."""
        sums, windows = [], 0
        for _, correction in self._batches(train):
            sums.append(correction.sum((0, 1), dtype=torch.float64))
            windows += len(correction)
        offset = torch.stack(sums).sum(0) / (windows * self.window.frames)
        self._fitted = {"offset": offset.float()}
        return {}

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P); RuntimeError before `fit`."""
        return self._linear.recover(keyframes) + self._tensor("offset").to(keyframes)


class _Regression(_ClosedForm, ABC):
    """Rows of features to rows of corrections by penalised least squares.

    A subclass says how windows become rows. One eigendecomposition of the features' second
    moments gives the solutions of all penalties.
    """

    Options: ClassVar[type[Any]] = PenaltyOptions
    _centred: ClassVar[bool]

    def __init__(
        self, options: PenaltyOptions, window: Window, features: int, outputs: int
    ) -> None:
        shapes: dict[str, tuple[int, ...]] = {"weight": (features, outputs)}
        if self._centred:
            shapes["bias"] = (outputs,)
        super().__init__(window, shapes)
        self.options = options

    @abstractmethod
    def _rows(self, windows: Tensor) -> Tensor:
        """(B, any frames, P) -> (rows, values of one row)."""

    @abstractmethod
    def _frames(self, rows: Tensor) -> Tensor:
        """(rows, outputs) -> (B, T, P)."""

    def fit(self, train: Samples, validation: Samples) -> Mapping[str, float]:
        """Learn on `train`; return the `penalty` with the least joint error on `validation`.

        `at_grid_end` is added where a wider grid of penalties might do better.
        """
        moments = _Moments(centred=self._centred)
        for keyframes, correction in self._batches(train):
            moments.add(self._rows(keyframes), self._rows(correction))
        grid = sorted(self.options.penalties)
        path = _Path(moments)
        errors = [0.0] * len(grid)
        for keyframes, correction in self._batches(validation, _VALIDATION_WINDOWS):
            rotated = path.rotate(self._rows(keyframes))
            for i, penalty in enumerate(grid):
                missing = correction - self._frames(path.predict(rotated, penalty))
                joints = missing.reshape(-1, self.window.joints, self.window.dims)
                errors[i] += float(joints.norm(dim=-1).sum(dtype=torch.float64))
        best = errors.index(min(errors))
        weight, bias = path.solution(grid[best])
        self._fitted = {"weight": weight.float()}
        if self._centred:
            self._fitted["bias"] = bias.float()
        chosen = {"penalty": grid[best]}
        if len(grid) > 1 and best in (0, len(grid) - 1):
            chosen["at_grid_end"] = 1.0
        return chosen

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) -> (B, T, P); RuntimeError before `fit`."""
        rows = self._rows(keyframes) @ self._tensor("weight").to(keyframes)
        if self._centred:
            rows = rows + self._tensor("bias").to(keyframes)
        return self._linear.recover(keyframes) + self._frames(rows)


class SharedFilter(_Regression):
    """One linear map (Q+1, T) over time for all pose values.

    Nothing else, not even an offset: it shows what smoothing over time alone can do.
    """

    title: ClassVar[str] = "shared filter"
    _centred = False

    def __init__(self, options: PenaltyOptions, window: Window) -> None:
        """options: candidate penalties; window: any."""
        super().__init__(options, window, window.keyframes, window.frames)

    def _rows(self, windows: Tensor) -> Tensor:
        return windows.transpose(1, 2).flatten(0, 1)

    def _frames(self, rows: Tensor) -> Tensor:
        return rows.view(-1, self.window.pose, self.window.frames).transpose(1, 2)


class Ridge(_Regression):
    """From all keyframes at once, (Q+1)*P values and an intercept, to the whole window, T*P.

    Under an infinite penalty it is linear interpolation plus an offset per frame and pose value.
    """

    title: ClassVar[str] = "ridge"
    _centred = True

    def __init__(self, options: PenaltyOptions, window: Window) -> None:
        """options: candidate penalties; window: any."""
        pose = window.pose
        super().__init__(options, window, window.keyframes * pose, window.frames * pose)

    def _rows(self, windows: Tensor) -> Tensor:
        return windows.flatten(1)

    def _frames(self, rows: Tensor) -> Tensor:
        return rows.view(-1, self.window.frames, self.window.pose)


class _Moments:
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


class _Path:
    """The solutions of penalised least squares for every penalty."""

    def __init__(self, moments: _Moments) -> None:
        self._mean_x, self._mean_y, xx, xy = moments.result()
        values, self._axes = torch.linalg.eigh(xx)
        self._values = values.clamp(min=0)
        # A penalty of one weighs as much as the variance of a feature. Features that never
        # vary have no moments either: any positive scale gives them zero weight.
        self._scale = float(xx.diagonal().mean()) or 1.0
        self._cross = self._axes.T @ xy
        self._cross32 = self._cross.float()

    def rotate(self, x: Tensor) -> Tensor:
        """(rows, features) -> the same on the eigenvectors, for `predict`."""
        rotated: Tensor = (x.float() - self._mean_x.float()) @ self._axes.float()
        return rotated

    def predict(self, rotated: Tensor, penalty: float) -> Tensor:
        """(rows, outputs) in float32 under a penalty."""
        rows: Tensor = (rotated * self._gains(penalty).float()) @ self._cross32
        return rows.add_(self._mean_y.float())

    def solution(self, penalty: float) -> tuple[Tensor, Tensor]:
        """Weight (features, outputs) and bias (outputs,) in float64 under a penalty."""
        weight: Tensor = self._axes @ (self._gains(penalty)[:, None] * self._cross)
        return weight, self._mean_y - self._mean_x @ weight

    def _gains(self, penalty: float) -> Tensor:
        gains: Tensor = 1 / (self._values + penalty * self._scale)
        return gains
