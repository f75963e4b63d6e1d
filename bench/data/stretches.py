"""Clips laid end to end as a protocol scores them, some at a time.

Axes: C clips, F frames of all of them, J joints in D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.body import BodyModel, Shapes
from bench.data.clips import Array, Clip, Dataset

# Frames at a time, more only where one clip alone has more: enough that nothing is done often,
# and few enough for a cache.
_FRAMES = 8192


@dataclass(frozen=True, eq=False)
class Stretch:
    """Clips end to end, each cut or padded with zeros to so many frames.

    lengths: (C,) frames of each; detected, truth: (F, J, D) float32 in model space; images: (C, 2)
    and box: (F, 4) for 2D alone; detected_shape, truth_shape: (F, 10) for clips with body shapes.
    """

    clips: tuple[Clip, ...]
    lengths: NDArray[np.int64]
    detected: Array
    truth: Array
    images: NDArray[np.int64] | None = None
    box: Array | None = None
    detected_shape: Array | None = None
    truth_shape: Array | None = None

    @property
    def frames(self) -> int:
        """F, the number of frames."""
        return len(self.truth)

    @property
    def first(self) -> NDArray[np.int64]:
        """(C,) where each clip begins."""
        return np.cumsum(self.lengths) - self.lengths

    def shapes(self, model: BodyModel | None, device: str) -> Shapes | None:
        """What makes bodies of the frames, or None without a model or shapes.

        A prediction has the shape detected at every frame, though its pose comes from the
        keyframes (spec 3.7 q15).
        """
        if model is None or self.detected_shape is None or self.truth_shape is None:
            return None
        return Shapes(model, self.detected_shape, self.truth_shape, device)


def stretches(
    dataset: Dataset, clips: Sequence[Clip], lengths: NDArray[np.int64]
) -> Iterator[Stretch]:
    """All clips in order, some at a time, each with so many (C,) frames."""
    start = 0
    while start < len(clips):
        fitting = int(np.searchsorted(np.cumsum(lengths[start:]), _FRAMES, side="right"))
        part = slice(start, start + max(fitting, 1))
        yield _laid(dataset, tuple(clips[part]), lengths[part])
        start = part.stop


def _laid(dataset: Dataset, clips: tuple[Clip, ...], lengths: NDArray[np.int64]) -> Stretch:
    """One stretch."""
    detected = _padded([clip.detected for clip in clips], lengths)
    truth = _padded([clip.truth for clip in clips], lengths)
    images = box = None
    if dataset.space == "2d":
        images = np.array([clip.image for clip in clips], np.int64)
        size = np.repeat(images.astype(np.float32), lengths, axis=0)[:, None]
        detected, truth = detected / size, truth / size
        box = _padded([clip.box for clip in clips if clip.box is not None], lengths)
    shapes = [[getattr(clip, f"{what}_shape") for clip in clips] for what in ("detected", "truth")]
    shaped = dataset.body is not None and all(s is not None for side in shapes for s in side)
    return Stretch(
        clips,
        lengths,
        detected,
        truth,
        images,
        box,
        *((_padded(side, lengths) for side in shapes) if shaped else ()),
    )


def _padded(parts: Sequence[Array], lengths: NDArray[np.int64]) -> Array:
    """Arrays (T_i, ...) end to end, each cut or padded with zeros to so many frames."""
    pieces = []
    for part, length in zip(parts, lengths.tolist(), strict=True):
        pieces.append(part[:length])
        if length > len(part):
            pieces.append(np.zeros((length - len(part), *part.shape[1:]), part.dtype))
    return np.concatenate(pieces)
