"""Training after the published recipe: a window per item, and the clip re-centred for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from bench.data.clips import Clip

Poses = NDArray[np.float64]


def centred(poses: Poses, root: tuple[int, ...], image: tuple[int, int] | None) -> Poses:
    """A clip (T, J, D) as the model sees it: relative to its root, or divided by the image's size.

    Source: spec 3.1, 3.2.
    """
    if image is not None:
        return poses / np.asarray(image, np.float64)
    moved: Poses = poses - poses[:, list(root)].mean(axis=1, keepdims=True)
    return moved


class WindowDataset(Dataset[tuple[Poses, Poses]]):
    """As many windows as frames: number i starts in the clip that holds frame i (spec 3.2)."""

    def __init__(self, clips: Sequence[Clip], root: tuple[int, ...], frames: int) -> None:
        """frames: T, of a window."""
        self.detected = [clip.detected.astype(np.float64) for clip in clips]
        self.truth = [clip.truth.astype(np.float64) for clip in clips]
        self.images = [clip.image for clip in clips]
        self.root = root
        self.frames = frames
        self.ends = np.cumsum([clip.frames for clip in clips])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> tuple[Poses, Poses]:
        """Detected and true poses of one window, (T, P) each, in float64."""
        number = int(np.searchsorted(self.ends, index, side="right"))
        truth, detected = self.truth[number], self.detected[number]
        begin = int(self.ends[number]) - len(truth)
        start = (index - begin) % max(len(truth) - self.frames + 1, 1)
        given, wanted = (
            self._window(centred(poses, self.root, self.images[number]), start)
            for poses in (detected, truth)
        )
        return given, wanted

    def _window(self, poses: Poses, start: int) -> Poses:
        """(T, P), with zeros behind the end of a clip that is shorter than a window."""
        part = poses[start : start + self.frames].reshape(-1, poses.shape[1] * poses.shape[2])
        return np.pad(part, ((0, self.frames - len(part)), (0, 0)))


class Training:
    """A model, its optimiser and its batches: `step` makes one step after the other (spec 1.7)."""

    def __init__(
        self, model: nn.Module, data: WindowDataset, *, batch: int, lr: float, device: str = "cpu"
    ) -> None:
        self.model = model.to(device).train()
        self.device = device
        self.optimiser = torch.optim.Adam(model.parameters(), lr=lr, amsgrad=True)
        self.loader = DataLoader(data, batch_size=batch, shuffle=True, num_workers=0)
        self._batches = self._endless()

    def step(self) -> float:
        """Train on the next batch; its loss."""
        given, wanted = next(self._batches)
        given, wanted = given.to(self.device), wanted.to(self.device)
        loss = functional.l1_loss(self.model(given), wanted)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader
