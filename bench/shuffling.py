"""The order in which training sees its samples, and how to get back to a place in it."""

from __future__ import annotations

import torch
from torch import Tensor


class Order:
    """Sample numbers: epochs shuffled anew, on the device; a batch may reach into the next epoch.

    before, tail, taken: what the present shuffle came from: the generator's state, the numbers left
    over from the epoch before, and how many have been taken since.
    """

    def __init__(self, count: int, seed: int, device: torch.device) -> None:
        """count: how many samples there are; nothing is shuffled yet."""
        self.count, self.device = count, device
        self.generator = torch.Generator().manual_seed(seed)
        self.before = self.generator.get_state()
        self.tail = torch.empty(0, dtype=torch.long)
        self.taken = 0
        self._numbers = self.tail.to(device)

    def take(self, size: int) -> Tensor:
        """The next (size,) sample numbers."""
        while len(self._numbers) - self.taken < size:
            self._shuffle(self._numbers[self.taken :].cpu())
        self.taken += size
        return self._numbers[self.taken - size : self.taken]

    def restore(self, before: Tensor, tail: Tensor, taken: int) -> None:
        """Go back to where another order was."""
        self.generator.set_state(before)
        self._shuffle(tail)
        self.taken = taken

    def _shuffle(self, tail: Tensor) -> None:
        self.tail, self.before, self.taken = tail, self.generator.get_state(), 0
        drawn = torch.randperm(self.count, generator=self.generator)
        self._numbers = torch.cat([tail, drawn]).to(self.device)
