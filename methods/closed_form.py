"""Methods fitted in closed form: linear interpolation plus the simplest corrections to it.

All are least squares on the windows of the train split, shrunk towards linear interpolation by
a penalty that is chosen on validation. They show how much of a trained network's gain a linear
map has as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import BadInput, Choice, Real, Samples, Search, Window
from methods.interpolation import Linear, NoOptions
from methods.least_squares import (
    FINE_PENALTIES,
    VALIDATION_SAMPLES,
    FittedTensors,
    Moments,
    Path,
    PenaltyOptions,
)
from methods.searching import CHOSEN_BY_FIT


class _ClosedForm(FittedTensors):
    """Linear interpolation, and fitted tensors that correct it."""

    source: ClassVar[str] = "ours"
    revision: ClassVar[int] = 1

    def __init__(self, window: Window, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__(shapes)
        self.window = window
        self._linear = Linear(NoOptions(), window)

    def _batches(self, source: Samples, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of keyframes (B, Q+1, P) and what linear interpolation lacks (B, T, P)."""
        for keyframes, truth in self._finite(source, most):
            yield keyframes, truth - self._linear.recover(keyframes)


class LinearOffset(_ClosedForm):
    """Linear interpolation plus one constant per pose value: its mean error on train, (P,)."""

    title: ClassVar[str] = "linear + offset"
    Options: ClassVar[type[Any]] = NoOptions
    search: ClassVar[Search] = Search(nothing="it is a mean, which has no options")

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
    # How far features are brought to one variance before they are penalised.
    _equalise = 0.0

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
        moments = Moments(centred=self._centred)
        for keyframes, correction in self._batches(train):
            moments.add(self._rows(keyframes), self._rows(correction))
        grid = sorted(self.options.penalties)
        path = Path(moments, equalise=self._equalise)
        errors = [0.0] * len(grid)
        for keyframes, correction in self._batches(validation, VALIDATION_SAMPLES):
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
    search: ClassVar[Search] = CHOSEN_BY_FIT
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
    search: ClassVar[Search] = Search(
        options={
            "equalise": Real(0.0, 1.0),
            "penalties": Choice((PenaltyOptions.penalties, FINE_PENALTIES)),
        }
    )

    @dataclass(frozen=True)
    class Options(PenaltyOptions):
        """Hyper-parameters.

        equalise: how far keyframe values are brought to one variance before they are penalised, 0
        not at all, 1 fully; penalties: candidates, relative to the mean variance of a feature.
        """

        equalise: float = 0.0

    def __init__(self, options: Options, window: Window) -> None:
        """options: candidate penalties, and equalise, in [0, 1]; window: any."""
        if not 0 <= options.equalise <= 1:
            raise BadInput("option equalise must lie in [0, 1]", found=options.equalise)
        self._equalise = options.equalise
        pose = window.pose
        super().__init__(options, window, window.keyframes * pose, window.frames * pose)

    def _rows(self, windows: Tensor) -> Tensor:
        return windows.flatten(1)

    def _frames(self, rows: Tensor) -> Tensor:
        return rows.view(-1, self.window.frames, self.window.pose)
