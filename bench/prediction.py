"""From a prediction method and a split to scores: histories continued and scored, clip by clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import Prediction, Span
from bench.data.clips import Clip, Dataset, Split
from bench.data.histories import Histories
from bench.horizons import HorizonProtocol, horizons
from bench.results import ClipScore, Scored

_BATCH = 256


@torch.no_grad()
def evaluate(
    method: Prediction,
    dataset: Dataset,
    split: Split,
    protocol: HorizonProtocol,
    span: Span,
    *,
    device: str = "cpu",
    most: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[tuple[ClipScore, ...], Scored]:
    """Score a method on the protocol's draws from every clip of a split.

    most: from so many clips alone, evenly spread.

    A method that says it is `per_horizon` has a model for each, and is asked for each horizon that
    its future reaches; any other is asked once, for the furthest. progress: called with (clips
    done, all clips).
    """
    reach = horizons(dataset.fps, span.future)
    furthest = max(reach.values())
    asked = {frames: frames for frames in reach.values()}
    if not getattr(method, "per_horizon", False):
        asked = dict.fromkeys(asked, furthest)
    drawn = list(protocol.starts(dataset.clips[split]))
    if most is not None and most < len(drawn):
        chosen = np.linspace(0, len(drawn) - 1, most).round().astype(int)
        drawn = [drawn[i] for i in chosen]
    scores, count = [], 0
    for number, (clip, starts) in enumerate(drawn, 1):
        history, future = draw(clip, starts, span, device)
        truth = future.cpu().numpy().reshape(*future.shape[:2], span.joints, span.dims)
        futures = {
            frames: torch.cat([method.predict(h, frames) for h in torch.split(history, _BATCH)])
            for frames in dict.fromkeys(asked.values())
        }
        values = {}
        for metric, frames in reach.items():
            predicted = futures[asked[frames]][:, :frames].cpu().numpy()
            errors = protocol.errors(
                predicted.reshape(truth[:, :frames].shape), truth[:, :frames], dataset.skeleton
            )
            values[metric] = float(errors.mean()), float(len(errors))
        scores.append(ClipScore(clip.name, clip.recording, len(starts), values))
        count += len(starts)
        progress(number, len(drawn))
    skeleton = dataset.skeleton
    return tuple(scores), Scored(
        clips=count,
        frames=count * span.future,
        joints=sum(skeleton.copies or [1] * len(skeleton.joints)) + skeleton.fixed,
    )


def draw(
    clip: Clip, starts: NDArray[np.int64], span: Span, device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """History (N, H, P) and future (N, F, P) around the frames (N,) where a future begins."""
    index = starts[:, None] + np.arange(-span.history, span.future)
    poses = torch.from_numpy(clip.truth.reshape(clip.frames, -1)[index]).to(device)
    return poses[:, : span.history], poses[:, span.history :]


@torch.no_grad()
def future_error(method: Prediction, source: Histories, most: int | None) -> float:
    """Mean joint distance over all future frames of a split's samples: what selection sees."""
    span, total, count = source.span, 0.0, 0
    for history, future in source.batches(_BATCH, most):
        error = method.predict(history, span.future) - future
        distance = error.view(*error.shape[:2], -1, span.dims).norm(dim=-1)
        total += float(distance.sum(dtype=torch.float64))
        count += distance.numel()
    return total / count
