"""Prediction by ridge regression: as far as a linear map of the recent motion can see.

Ours. Axes: B histories, H frames of history, F frames of future, P pose values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.contracts import BadInput, Real, Samples, Search, Span, Whole
from methods.layers import check_frames, check_history, check_positive, cosines, joint_distance
from methods.least_squares import (
    VALIDATION_SAMPLES,
    FittedTensors,
    Moments,
    Path,
    PenaltyOptions,
)


class DCTRidge(FittedTensors):
    """Cosine coefficients of the last steps, of all joints at once, to the future's residual.

    A step is the difference of two neighbouring frames and the residual that to the last frame:
    where a joint is does not matter, only how it moves. Every frame of the future is a regression
    with a penalty of its own, which under an infinite penalty is the last frame plus an offset.
    """

    title: ClassVar[str] = "DCT ridge"
    source: ClassVar[str] = "ours"
    revision: ClassVar[int] = 1
    search: ClassVar[Search] = Search(
        options={
            "steps": Whole(2, 25),
            "coefficients": Whole(2, 25),
            "equalise": Real(0.0, 1.0),
        }
    )

    @dataclass(frozen=True)
    class Options(PenaltyOptions):
        """Hyper-parameters, chosen on the validation subject of Human3.6M.

        steps: how many of the last steps are seen, all of a shorter history; coefficients: how
        many of their cosine coefficients, the slowest first, are kept at most; equalise: how far
        features are brought to one variance before they are penalised, 0 not at all, 1 fully;
        penalties: candidates, relative to the mean variance of a feature.
        """

        penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0)
        steps: int = 10
        coefficients: int = 10
        equalise: float = 0.5

    def __init__(self, options: Options, span: Span) -> None:
        """BadInput for options out of range, and for a history of one frame, which has no step."""
        check_positive(options, "steps", "coefficients")
        if span.history < 2:
            raise BadInput("the history is too short", found="1 frame", expected="at least 2")
        if not 0 <= options.equalise <= 1:
            raise BadInput("option equalise must lie in [0, 1]", found=options.equalise)
        self.options = options
        self.span = span
        self._steps = min(options.steps, span.history - 1)
        self._dct = cosines(self._steps)[: options.coefficients]
        features, outputs = len(self._dct) * span.pose, span.future * span.pose
        super().__init__({"weight": (features, outputs), "bias": (outputs,)})

    def fit(self, train: Samples, validation: Samples) -> Mapping[str, float]:
        """Learn on `train`; choose every frame's penalty by joint error on `validation`.

        Returns `penalty_1` to `penalty_F`, by frame of the future, and `at_grid_end`, how many of
        them a wider grid might better.
        """
        moments = Moments(centred=True)
        for history, future in self._finite(train):
            moments.add(self._features(history), (future - history[:, -1:]).flatten(1))
        path = Path(moments, equalise=self.options.equalise)
        grid = sorted(self.options.penalties)
        errors = torch.zeros(len(grid), self.span.future, dtype=torch.float64)
        for history, future in self._finite(validation, VALIDATION_SAMPLES):
            rotated = path.rotate(self._features(history))
            residual = future - history[:, -1:]
            for i, penalty in enumerate(grid):
                missing = path.predict(rotated, penalty).view_as(residual) - residual
                errors[i] += joint_distance(missing, self.span.dims).double().sum((0, 2)).cpu()
        chosen = errors.argmin(0).tolist()
        self._fitted = self._joined(path, [grid[i] for i in chosen])
        penalties = {f"penalty_{frame}": grid[i] for frame, i in enumerate(chosen, 1)}
        at_end = sum(i in (0, len(grid) - 1) for i in chosen) if len(grid) > 1 else 0
        return penalties | {"at_grid_end": float(at_end)}

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) -> (B, frames, P); BadInput for another shape or for more frames than F."""
        check_history(history, self.span)
        check_frames(frames, self.span)
        outputs = frames * self.span.pose
        weight = self._tensor("weight").to(history)[:, :outputs]
        bias = self._tensor("bias").to(history)[:outputs]
        residual = torch.addmm(bias, self._features(history), weight)
        return history[:, -1:] + residual.view(-1, frames, self.span.pose)

    def _features(self, history: Tensor) -> Tensor:
        """(B, H, P) -> the steps' coefficients (B, coefficients * P)."""
        steps = history[:, -self._steps - 1 :].diff(dim=1)
        return torch.matmul(self._dct.to(history), steps).flatten(1)

    def _joined(self, path: Path, penalties: list[float]) -> dict[str, Tensor]:
        """Weight and bias of all frames of the future, each under its own penalty."""
        weight = torch.empty(self._shapes["weight"])
        bias = torch.empty(self._shapes["bias"])
        for penalty in set(penalties):
            frames = torch.tensor([own == penalty for own in penalties])
            outputs = frames.repeat_interleave(self.span.pose)
            one_weight, one_bias = path.solution(penalty)
            weight[:, outputs] = one_weight.float().cpu()[:, outputs]
            bias[outputs] = one_bias.float().cpu()[outputs]
        return {"weight": weight, "bias": bias}
