"""From a method and a split to scores: windows of many clips recovered, merged and scored at once.

Clips are laid end to end, a stretch of them at a time. Axes: C clips, F scored frames of all of
them, N windows of T frames, P = J*D values of a flat pose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import (
    FOREIGN_ERRORS,
    BadInput,
    Fitted,
    Method,
    Recovery,
    Refiner,
    Trainable,
    Window,
)
from bench.data.clips import Dataset, Split
from bench.data.missing import fill_missing
from bench.data.stretches import Stretch, stretches
from bench.data.windows import Windows
from bench.protocols import FULL, Protocol, Score, merge
from bench.results import ClipScore, Scored

Apply = Callable[[Tensor], Tensor]
"""Keyframes (B, Q+1, P), or frames (B, T, P) for a refiner -> (B, T, P)."""

# At most so many windows, of so many frames, are recovered at a time: on a CPU what stays in its
# cache and in memory that the process keeps (with the widest network of the presets, twice as many
# can take twice as long, as its memory goes back and forth), or enough to keep a GPU busy.
_WINDOWS, _CPU_FRAMES = 64, 4096
_GPU_FRAMES = 1 << 17

# A network that has so many frames to recover is worth a second of making it faster first.
_MANY_FRAMES = 100_000

# How far its faster form may be from it, relative to the largest value.
_AGREEMENT = 1e-5


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
    all clips), a stretch of clips at a time.
    """
    clips = dataset.clips[split]
    if most is not None and most < len(clips):
        clips = tuple(clips[i] for i in np.linspace(0, len(clips) - 1, most).round().astype(int))
    every_start = [protocol.starts(clip.frames, window, clip.name) for clip in clips]
    lengths = np.array([starts[-1] + window.frames for starts in every_start], np.int64)
    scores: list[ClipScore] = []
    used = 0
    recovered = window.frames * sum(map(len, every_start))
    apply = _fast(method, window, device) if recovered >= _MANY_FRAMES else _applied(method)
    for stretch in stretches(dataset, clips, lengths):
        starts = np.concatenate(
            [
                first + own
                for first, own in zip(stretch.first, every_start[len(scores) :], strict=False)
            ]
        )
        windows = recover(method, stretch, starts, window, device, apply)
        merged = merge(windows, starts, stretch.frames)
        scored = _scores(stretch, merged.cpu().numpy(), dataset, protocol, device)
        scores += [
            ClipScore(clip.name, clip.recording, length, score)
            for clip, length, score in zip(
                stretch.clips, stretch.lengths.tolist(), scored, strict=True
            )
        ]
        shown = np.zeros(stretch.frames, np.bool_)
        shown[starts[:, None] + np.arange(0, window.frames, window.interval)] = True
        used += int(shown.sum())
        progress(len(scores), len(clips))
    own = np.array([clip.frames for clip in clips], np.int64)
    frames = int(lengths.sum())
    return tuple(scores), Scored(
        clips=len(scores),
        frames=frames,
        joints=len(dataset.skeleton.joints),
        missed=sum(clip.missed for clip in clips),
        padded=int(np.maximum(lengths - own, 0).sum()),
        dropped=int(np.maximum(own - lengths, 0).sum()),
        sampled=1.0 if isinstance(method, Refiner) else used / frames,
    )


def recover(
    method: Method,
    stretch: Stretch,
    starts: NDArray[np.int64],
    window: Window,
    device: str,
    apply: Apply | None = None,
) -> Iterator[Tensor]:
    """Recover the windows that start at frames (N,) of a stretch: some (B, T, P) at a time.

    apply: what the method does, where it is not done as it is.

    A recovery method is handed the keyframes and nothing else, a refiner every frame. Missed
    detections are filled in, except for a refiner that learns nothing: the estimator itself has to
    show what it missed.
    """
    refines = isinstance(method, Refiner)
    fills = not refines or isinstance(method, (Fitted, Trainable))
    fills = fills and bool(np.isnan(stretch.detected).any())
    apply = apply or _applied(method)
    poses = torch.from_numpy(stretch.detected).flatten(1).to(device)
    step = 1 if refines else window.interval
    first = torch.from_numpy(starts).to(device)[:, None]
    index = first + torch.arange(0, window.frames, step, device=device)
    for part in torch.split(index, _batch(window, poses.device)):
        given = poses[part]
        yield apply(fill_missing(given, window.dims) if fills else given)


@torch.no_grad()
def window_error(method: Recovery | Refiner, source: Windows, most: int | None) -> float:
    """Mean joint distance over a split's windows, unmerged, in model space: what selection sees.

    source: holds every frame where the method is a refiner.
    """
    apply = _applied(method)
    total, count = torch.zeros((), dtype=torch.float64, device=source.device), 0
    for given, truth in source.batches(_batch(source.window, source.device), most):
        error = apply(given) - truth
        distance = error.view(*error.shape[:2], -1, source.window.dims).norm(dim=-1)
        total += distance.sum(dtype=torch.float64)
        count += distance.numel()
    # Asked for once: the device is never waited for in between.
    return float(total) / count


def full_rate(dataset: Dataset, split: Split = "test") -> dict[str, float]:
    """The estimator's own errors on all frames of a split, unwindowed, averaged over frames."""
    clips = dataset.clips[split]
    lengths = np.array([clip.frames for clip in clips], np.int64)
    return FULL.summarise(
        score
        for stretch in stretches(dataset, clips, lengths)
        for score in _scores(stretch, stretch.detected, dataset, FULL, "cpu")
    )


def _scores(
    stretch: Stretch, poses: NDArray[np.float32], dataset: Dataset, protocol: Protocol, device: str
) -> Sequence[Score]:
    """The scores of a stretch's clips for predicted poses (F, ...) in model space."""
    return protocol.scores(
        poses.reshape(stretch.truth.shape),
        stretch.truth,
        stretch.lengths,
        skeleton=dataset.skeleton,
        space=dataset.space,
        images=stretch.images,
        box=stretch.box,
        shapes=stretch.shapes(dataset.body, device),
    )


def _batch(window: Window, device: torch.device) -> int:
    """How many windows a method is handed at a time."""
    if device.type == "cpu":
        return max(min(_CPU_FRAMES // window.frames, _WINDOWS), 1)
    return max(_GPU_FRAMES // window.frames, 1)


def _fast(method: Method, window: Window, device: str) -> Apply:
    """What a network does, in ONNX Runtime where that is there, and gives the same."""
    run = _applied(method)
    if device != "cpu" or not isinstance(method, nn.Module):
        return run
    from bench.folding import in_batches

    given = window.frames if isinstance(method, Refiner) else window.keyframes
    shape = (_batch(window, torch.device(device)), given, window.pose)
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    try:
        fast = in_batches(method, batch, torch.get_num_threads())
        expected, found = run(batch), fast(batch)
    except (*FOREIGN_ERRORS, BadInput):
        # Nobody promised that there is a faster form.
        return run
    off = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)
    return fast if off <= _AGREEMENT else run


def _applied(method: Method) -> Apply:
    """What makes (B, T, P) of keyframes (B, Q+1, P), or of frames (B, T, P)."""
    if isinstance(method, Refiner):
        return method.refine
    if isinstance(method, Recovery):
        return method.recover
    raise TypeError(f"{type(method).__name__} has neither recover nor refine")
