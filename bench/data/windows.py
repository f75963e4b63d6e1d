"""Clips as windows of flat poses in model space, held as tensors on the device.

Model space is what methods see: 3D in metres relative to the root, 2D divided by the image's
width and height, rotations as they are (spec 3.1). Shapes as in `bench.contracts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import BadInput, Window
from bench.data.clips import DIMS, Dataset, Split, missed
from bench.data.joined import end_to_end
from bench.data.missing import fill_missing


def window_of(dataset: Dataset, interval: int, intervals: int) -> Window:
    """The window geometry of a dataset for K and Q."""
    return Window(interval, intervals, len(dataset.skeleton.joints), DIMS[dataset.space])


def training_starts(frames: Sequence[int], window: Window) -> NDArray[np.int64]:
    """First frames of the windows that one epoch draws, in the clips laid end to end.

    A clip of L frames gives L windows although only L - T + 1 differ: the early ones come
    twice, as in the published training (spec 3.2, q12). A clip shorter than T gives L times its
    one window, which reaches beyond its end and is to be padded with zeros there.
    """
    starts, first = [], 0
    for length in frames:
        distinct = max(length - window.frames + 1, 1)
        starts.append(first + np.arange(length) % distinct)
        first += length
    return np.concatenate(starts) if starts else np.empty(0, np.int64)


class Windows:
    """The windows of one split, gathered by index from poses that lie on the device.

    detected, truth: (N, P) float32 with the clips end to end in the dataset's unit, on a CPU the
    memory-mapped files themselves; what is gathered is brought into model space, and padded with
    zeros where a clip is shorter than T. starts: (n,) first frames; most: at most so many windows,
    evenly spread, when they are read by `batches`; every_frame: give all detected frames, as a
    refiner sees them, in place of keyframes. A `bench.contracts.Samples`.
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
        self.detected = end_to_end([clip.detected for clip in clips]).to(device)
        self.truth = end_to_end([clip.truth for clip in clips]).to(device)
        frames = np.array([clip.frames for clip in clips])
        self.starts = torch.from_numpy(training_starts(frames.tolist(), window)).to(device)
        self._incomplete = missed(dataset, split) > 0
        self._all = torch.arange(window.frames, device=device)
        self._given = self._all if every_frame else self._all[:: window.interval]
        self._clip: Tensor | None = None
        self._last: Tensor | None = None
        self._size: Tensor | None = None
        if frames.min() < window.frames:
            self._last = torch.from_numpy(np.cumsum(frames) - 1).to(device)
        if clips[0].image is not None:
            size = np.array([clip.image for clip in clips], np.float32)
            self._size = torch.from_numpy(np.tile(size, window.joints)).to(device)
        if self._last is not None or self._size is not None:
            self._clip = torch.from_numpy(np.repeat(np.arange(len(clips)), frames)).to(device)

    def __len__(self) -> int:
        """How many windows one epoch draws."""
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the poses lie."""
        return self.starts.device

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Window numbers (B,) -> keyframes (B, Q+1, P), or every frame, and truth (B, T, P).

        On a GPU nothing waits for it, so that this can be part of a captured graph.
        """
        given = self._taken(self.detected, index, self._given)
        if self._incomplete:
            given = fill_missing(given, self.window.dims)
        return given, self._taken(self.truth, index, self._all)

    def _taken(self, poses: Tensor, index: Tensor, steps: Tensor) -> Tensor:
        """Frames (S,) of windows (B,) in model space: (B, S, P)."""
        frame = self.starts[index][:, None] + steps
        if self._clip is None:
            return poses[frame]
        clip = self._clip[index]
        if self._last is None:
            taken = poses[frame]
        else:
            last = self._last[clip][:, None]
            taken = poses[torch.minimum(frame, last)]
            taken = taken.masked_fill((frame > last)[..., None], 0.0)
        return taken if self._size is None else taken / self._size[clip][:, None]

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (given, truth) in a fixed order, at most `most` windows, evenly spread."""
        count = min(limit for limit in (len(self), most, self.most) if limit is not None)
        index = torch.linspace(0, len(self) - 1, count, dtype=torch.float64).round().long()
        for part in torch.split(index.to(self.starts.device), size):
            yield self.gather(part)
