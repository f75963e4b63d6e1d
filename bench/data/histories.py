"""Clips as histories and futures, gathered by index from poses that lie on the device.

On a CPU these are the memory-mapped files themselves.
Shapes as in `bench.contracts`: H frames of history, F of future, P values of a flat pose in metres.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bench.contracts import BadInput, Span
from bench.data.clips import DIMS, Dataset, Split
from bench.data.joined import end_to_end


def span_of(dataset: Dataset, history: int, future: int) -> Span:
    """The geometry of a prediction on a dataset."""
    return Span(history, future, len(dataset.skeleton.joints), DIMS[dataset.space])


class Histories:
    """Every stretch of H + F frames of one split, at stride 1; a `bench.contracts.Samples`.

    starts: (n,) first frames in the clips laid end to end; most: at most so many samples, evenly
    spread, when they are read by `batches`. Clips shorter than H + F give none. BadInput when
    none is left.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        span: Span,
        device: str = "cpu",
        *,
        most: int | None = None,
    ) -> None:
        clips = dataset.clips[split]
        ends = np.cumsum([clip.frames for clip in clips])
        starts = [
            np.arange(end - clip.frames, end - span.frames + 1)
            for clip, end in zip(clips, ends, strict=True)
        ]
        if not sum(map(len, starts)):
            raise BadInput(
                f"the {split} split of {dataset.name} has no clip that is long enough",
                found=f"at most {max((clip.frames for clip in clips), default=0)} frames",
                expected=f"{span.frames}",
                hint="use a shorter history or future",
            )
        self.span = span
        self.most = most
        self.poses = end_to_end([clip.truth for clip in clips]).to(device)
        self.starts = torch.from_numpy(np.concatenate(starts)).to(device)
        self._steps = torch.arange(span.frames, device=device)

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the poses lie."""
        return self.poses.device

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Sample numbers (B,) -> history (B, H, P) and future (B, F, P)."""
        poses = self.poses[self.starts[index][:, None] + self._steps]
        return poses[:, : self.span.history], poses[:, self.span.history :]

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (history, future) in a fixed order, at most `most` samples, evenly spread."""
        count = min(limit for limit in (len(self), most, self.most) if limit is not None)
        index = torch.linspace(0, len(self) - 1, count, dtype=torch.float64).round().long()
        for part in torch.split(index.to(self.device), size):
            yield self.gather(part)
