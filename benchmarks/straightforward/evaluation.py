"""Evaluation after spec 3.3 and 3.4: clip by clip, windows merged in a loop over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import Window
from bench.data.clips import Clip, Dataset, Skeleton
from benchmarks.straightforward import metrics
from benchmarks.straightforward.training import centred

_ALPHAS = (0.2, 0.1, 0.05)
_MM = 1000.0


@torch.no_grad()
def evaluate(
    model: nn.Module, dataset: Dataset, window: Window, *, detections: bool = True
) -> dict[str, dict[str, float]]:
    """Errors of the test split: `output` of the model and `input`, the detections themselves.

    detections: score these too, as the published evaluation does every time. Units as in
    `bench.metrics.METRICS`, PCK as a share.
    """
    model.eval()
    found: dict[str, list[Mapping[str, NDArray[np.float64]]]] = {"output": [], "input": []}
    for clip in dataset.clips["test"]:
        root = dataset.skeleton.root
        given, truth = (
            _windows(centred(poses.astype(np.float64), root, clip.image), window)
            for poses in (clip.detected, clip.truth)
        )
        sequences = {"output": merged(model(given), window)}
        if detections:
            sequences["input"] = merged(given, window)
        wanted = merged(truth, window)
        for name, poses in sequences.items():
            found[name].append(_errors(poses, wanted, clip, dataset.skeleton, window))
    return {name: _averaged(clips) for name, clips in found.items() if clips}


def _windows(poses: NDArray[np.float64], window: Window) -> Tensor:
    """The windows of a clip (L, J, D) that start every K frames, (N, T, P)."""
    flat = poses.reshape(len(poses), -1)
    flat = np.pad(flat, ((0, max(window.frames - len(flat), 0)), (0, 0)))
    parts = []
    for start in range(0, len(flat) - window.frames + 1, window.interval):
        parts.append(torch.from_numpy(flat[start : start + window.frames]))
    return torch.stack(parts)


def merged(windows: Tensor, window: Window) -> Tensor:
    """One sequence (F, P): at every frame the mean of the windows that cover it, in float32."""
    windows = windows.float()
    step, length = window.interval, window.frames
    frames = []
    for frame in range((len(windows) - 1) * step + length):
        covering = [
            windows[number, frame - number * step]
            for number in range(len(windows))
            if 0 <= frame - number * step < length
        ]
        frames.append(torch.stack(covering).mean(0))
    return torch.stack(frames)


def _errors(
    found: Tensor, wanted: Tensor, clip: Clip, skeleton: Skeleton, window: Window
) -> dict[str, NDArray[np.float64]]:
    """Errors of each frame, or in 2D the shares of right joints of the clip."""
    pred, truth = (
        poses.double().numpy().reshape(len(poses), window.joints, window.dims)
        for poses in (found, wanted)
    )
    if clip.image is None or clip.box is None:
        pair = centred(pred, skeleton.root, None), centred(truth, skeleton.root, None)
        return {
            "mpjpe": metrics.mpjpe(*pair) * _MM,
            "pampjpe": metrics.pampjpe(*pair) * _MM,
            "accel": metrics.accel(*pair) * _MM,
        }
    pixels = np.asarray(clip.image, np.float64)
    box = np.pad(clip.box, ((0, max(len(pred) - clip.frames, 0)), (0, 0))).astype(np.int32)
    pair = pred * pixels, truth * pixels
    return {f"pck@{alpha}": np.array([metrics.pck(*pair, box, alpha).mean()]) for alpha in _ALPHAS}


def _averaged(clips: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, float]:
    """Frames of all clips laid end to end and averaged; in 2D clips count once each."""
    return {name: float(np.concatenate([clip[name] for clip in clips]).mean()) for name in clips[0]}
