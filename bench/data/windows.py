"""Clips as windows of flat poses in model space, held as tensors on the device.

Model space is what methods see: 3D in metres relative to the root, 2D divided by the image's
width and height, rotations as they are (spec 3.1). Shapes as in `bench.contracts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import BadInput, Window
from bench.data.clips import DIMS, Array, Clip, Dataset, Split
from bench.data.missing import fill_missing


def window_of(dataset: Dataset, interval: int, intervals: int) -> Window:
    """The window geometry of a dataset for K and Q."""
    return Window(interval, intervals, len(dataset.skeleton.joints), DIMS[dataset.space])


def model_space(clip: Clip, poses: Array) -> Array:
    """Poses (T, J, D) of a clip in the dataset's unit -> model space, float32."""
    if clip.image is None:
        return poses
    return np.divide(poses, np.asarray(clip.image, np.float32), dtype=np.float32)


def training_starts(frames: Sequence[int], window: Window) -> NDArray[np.int64]:
    """First frames of the windows that one epoch draws, in the clips laid end to end.

    A clip of L frames gives L windows although only L - T + 1 differ: the early ones come
    twice, as in the published training (spec 3.2, q12). A clip shorter than T gives L times its
    one, zero-padded window; it must be laid out with T frames.
    """
    starts, first = [], 0
    for length in frames:
        distinct = max(length - window.frames + 1, 1)
        starts.append(first + np.arange(length) % distinct)
        first += max(length, window.frames)
    return np.concatenate(starts) if starts else np.empty(0, np.int64)


class Windows:
    """The windows of one split, gathered by index from poses that lie on the device.

    detected, truth: (N, P) float32 with the clips end to end, a clip shorter than T padded with
    zeros; starts: (n,) first frames; most: at most so many windows, evenly spread, when they are
    read by `batches`; every_frame: give all detected frames, as a refiner sees them, in place of
    keyframes. A `bench.contracts.Samples`.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        window: Window,
        device: str = "cpu",
        *,
        most: int | None = None,
        every_frame: bool = False,
    ) -> None:
        clips = dataset.clips[split]
        if not clips:
            raise BadInput(f"the {split} split of {dataset.name} is empty", hint="see docs/data.md")
        self.window = window
        self.most = most
        self.detected = _lay(clips, [clip.detected for clip in clips], window).to(device)
        self.truth = _lay(clips, [clip.truth for clip in clips], window).to(device)
        starts = training_starts([clip.frames for clip in clips], window)
        self.starts = torch.from_numpy(starts).to(device)
        self._incomplete = bool(torch.isnan(self.detected).any())
        self._all = torch.arange(window.frames, device=device)
        self._given = self._all if every_frame else self._all[:: window.interval]

    def __len__(self) -> int:
        """How many windows one epoch draws."""
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the poses lie."""
        return self.detected.device

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Window numbers (B,) -> keyframes (B, Q+1, P), or every frame, and truth (B, T, P)."""
        first = self.starts[index][:, None]
        given = self.detected[first + self._given]
        if self._incomplete:
            given = fill_missing(given, self.window.dims)
        return given, self.truth[first + self._all]

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (given, truth) in a fixed order, at most `most` windows, evenly spread."""
        count = min(limit for limit in (len(self), most, self.most) if limit is not None)
        index = torch.linspace(0, len(self) - 1, count, dtype=torch.float64).round().long()
        for part in torch.split(index.to(self.starts.device), size):
            yield self.gather(part)


def _lay(clips: Sequence[Clip], poses: Sequence[Array], window: Window) -> Tensor:
    """Clips end to end as (N, P) in model space; without a copy where they already lie so."""
    long_enough = all(clip.frames >= window.frames for clip in clips)
    if clips[0].image is None and long_enough:
        whole = _joined(poses)
        if whole is not None:
            return torch.from_numpy(whole.reshape(len(whole), -1))
    parts = []
    for clip, part in zip(clips, poses, strict=True):
        flat = model_space(clip, part).reshape(clip.frames, -1)
        lack = max(window.frames - clip.frames, 0)
        parts.append(np.pad(flat, ((0, lack), (0, 0))))
    return torch.from_numpy(np.concatenate(parts))


def _joined(parts: Sequence[Array]) -> Array | None:
    """The one array whose consecutive slices `parts` are, or None when they are not."""
    base = parts[0].base
    if not isinstance(base, np.ndarray) or base.shape[1:] != parts[0].shape[1:]:
        return None
    step = base.strides[0]
    address = [part.__array_interface__["data"][0] for part in parts]
    follow = all(
        second - first == len(part) * step
        for (first, second), part in zip(pairwise(address), parts, strict=False)
    )
    same = all(part.base is base and part.strides == base.strides for part in parts)
    whole = len(base) == sum(len(part) for part in parts)
    return base if follow and same and whole else None
