"""From a method and a split to scores: windows recovered, merged and scored, clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import Fitted, Method, Recovery, Refiner, Trainable, Window
from bench.data.body import Shapes
from bench.data.clips import Array, Clip, Dataset, Split
from bench.data.missing import fill_missing
from bench.data.windows import Windows, model_space
from bench.protocols import FULL, Protocol, merge
from bench.results import ClipScore, Scored

_BATCH = 256


@torch.no_grad()
def evaluate(
    method: Method,
    dataset: Dataset,
    split: Split,
    protocol: Protocol,
    window: Window,
    *,
    device: str = "cpu",
    most: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[tuple[ClipScore, ...], Scored]:
    """Score a method on every clip of a split (or on `most`, evenly spread).

    Memory grows with the longest clip, not with the dataset. progress: called with (clips done,
    all clips).
    """
    clips = dataset.clips[split]
    if most is not None and most < len(clips):
        clips = tuple(clips[i] for i in np.linspace(0, len(clips) - 1, most).round().astype(int))
    scores, frames, used, padded, dropped, missed = [], 0, 0, 0, 0, 0
    for number, clip in enumerate(clips, 1):
        starts = protocol.starts(clip.frames, window, clip.name)
        length = protocol.scored(clip.frames, window)
        lack = max(length - clip.frames, 0)
        detected = _padded(model_space(clip, clip.detected), lack)
        truth = _padded(model_space(clip, clip.truth), lack)
        merged = merge(
            recover(method, torch.from_numpy(detected).flatten(1).to(device), starts, window),
            starts,
            length,
        )
        score = protocol.score(
            merged.cpu().numpy().reshape(length, *truth.shape[1:]),
            truth[:length],
            skeleton=dataset.skeleton,
            space=dataset.space,
            image=clip.image,
            box=None if clip.box is None else _padded(clip.box, lack)[:length],
            shapes=_shapes(dataset, clip, length, device),
        )
        scores.append(ClipScore(clip.name, clip.recording, length, score))
        frames += length
        used += len(np.unique(starts[:, None] + np.arange(0, window.frames, window.interval)))
        padded += lack
        dropped += max(clip.frames - length, 0)
        missed += clip.missed
        progress(number, len(clips))
    return tuple(scores), Scored(
        clips=len(scores),
        frames=frames,
        joints=len(dataset.skeleton.joints),
        missed=missed,
        padded=padded,
        dropped=dropped,
        sampled=1.0 if isinstance(method, Refiner) else used / frames,
    )


def recover(method: Method, poses: Tensor, starts: NDArray[np.int64], window: Window) -> Tensor:
    """Recover the windows of one clip: (F, P) poses, (N,) starts -> (N, T, P).

    A recovery method is handed the keyframes and nothing else, a refiner every frame. Missed
    detections are filled in, except for a refiner that learns nothing: the estimator itself has to
    show what it missed.
    """
    first = torch.from_numpy(starts).to(poses.device)[:, None]
    refines = isinstance(method, Refiner)
    fills = not refines or isinstance(method, (Fitted, Trainable))
    step = 1 if refines else window.interval
    index = first + torch.arange(0, window.frames, step, device=poses.device)
    parts = []
    for part in torch.split(index, _BATCH):
        given = poses[part]
        parts.append(_applied(method, fill_missing(given, window.dims) if fills else given))
    return torch.cat(parts)


@torch.no_grad()
def window_error(method: Recovery | Refiner, source: Windows, most: int | None) -> float:
    """Mean joint distance over a split's windows, unmerged, in model space: what selection sees.

    source: holds every frame where the method is a refiner.
    """
    total, count = 0.0, 0
    for given, truth in source.batches(_BATCH, most):
        error = _applied(method, given) - truth
        distance = error.view(*error.shape[:2], -1, source.window.dims).norm(dim=-1)
        total += float(distance.sum(dtype=torch.float64))
        count += distance.numel()
    return total / count


def full_rate(dataset: Dataset, split: Split = "test") -> dict[str, float]:
    """The estimator's own errors on all frames of a split, unwindowed, averaged over frames."""
    return FULL.summarise(
        FULL.score(
            model_space(clip, clip.detected),
            model_space(clip, clip.truth),
            skeleton=dataset.skeleton,
            space=dataset.space,
            image=clip.image,
            box=clip.box,
            shapes=_shapes(dataset, clip, clip.frames, "cpu"),
        )
        for clip in dataset.clips[split]
    )


def _applied(method: Method, given: Tensor) -> Tensor:
    """What a method makes of keyframes (B, Q+1, P), or of frames (B, T, P): (B, T, P)."""
    if isinstance(method, Refiner):
        return method.refine(given)
    if isinstance(method, Recovery):
        return method.recover(given)
    raise TypeError(f"{type(method).__name__} has neither recover nor refine")


def _shapes(dataset: Dataset, clip: Clip, length: int, device: str) -> Shapes | None:
    """What makes bodies of a clip's first `length` frames, zeros behind its last.

    A prediction has the shape detected at every frame, though its pose comes from the keyframes
    (spec 3.7 q15).
    """
    if dataset.body is None or clip.detected_shape is None or clip.truth_shape is None:
        return None
    lack = max(length - clip.frames, 0)
    return Shapes(
        dataset.body,
        _padded(clip.detected_shape, lack)[:length],
        _padded(clip.truth_shape, lack)[:length],
        device,
    )


def _padded(values: Array, lack: int) -> Array:
    """Frames with `lack` frames of zeros behind them."""
    if not lack:
        return values
    rest: Sequence[tuple[int, int]] = [(0, 0)] * (values.ndim - 1)
    return np.pad(values, ((0, lack), *rest))
