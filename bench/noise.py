"""Random words for modules that ask for them, so that seeds trained at once draw as each alone.

Axes: R runs that are trained at once, n words of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from bench.contracts import Noisy

_PER_DRAW = 4
# Every 64-bit number is as likely as any other.
_LOWEST = -(2**63)


class Noise:
    """A pool of random words for every run, filled anew at each step, each from its own generator.

    pool: (R, n) int16. A generator is filled with one draw a step, however many modules ask, so
    that the words of a run do not depend on how many runs there are.
    """

    def __init__(self, seeds: Sequence[int], words: int, device: torch.device) -> None:
        """seeds: one for each run; words: n, as `words_of` counts them; none is drawn yet."""
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        draws = -(-words // _PER_DRAW)
        self._draws = torch.zeros(len(seeds), draws, dtype=torch.long, device=device)
        self.pool = self._draws.view(torch.int16)

    def renew(self) -> None:
        """Go on with new generators from where the old ones are.

        Those that a capture failed with stay as they were in it, and refuse to draw outside of it.
        """
        old = self.generators
        self.generators = [torch.Generator(generator.device) for generator in old]
        for new, generator in zip(self.generators, old, strict=True):
            new.set_state(generator.get_state())

    def refill(self) -> None:
        """Draw the words of the next step."""
        for run, generator in zip(self._draws, self.generators, strict=True):
            run.random_(_LOWEST, None, generator=generator)


@contextmanager
def supplied(method: nn.Module, words: Tensor) -> Iterator[None]:
    """While this lasts, the method's modules take the (n,) words, one after another."""
    taken = 0

    def take(count: int) -> Tensor:
        nonlocal taken
        taken += count
        return words[taken - count : taken]

    with _source(method, take):
        yield


def words_of(method: nn.Module, loss: Callable[[], Tensor]) -> int:
    """How many words one step's loss asks for; a step that draws is not taken, nothing changes."""
    asked = 0

    def count(words: int) -> Tensor:
        nonlocal asked
        asked += words
        return torch.zeros(words, dtype=torch.int16, device=next(method.parameters()).device)

    # What keeps statistics of what it sees must not see this.
    kept = {name: buffer.clone() for name, buffer in method.named_buffers()}
    with torch.no_grad(), _source(method, count):
        loss()
        for name, buffer in method.named_buffers():
            buffer.copy_(kept[name])
    return asked


def noisy(method: nn.Module) -> list[Noisy]:
    """The modules of a method that take their random words from the harness."""
    # Not isinstance: a compiler cannot follow how a protocol's is found out.
    return [cast(Noisy, module) for module in method.modules() if hasattr(module, "words")]


@contextmanager
def _source(method: nn.Module, words: Callable[[int], Tensor]) -> Iterator[None]:
    modules = noisy(method)
    for module in modules:
        module.words = words
    try:
        yield
    finally:
        for module in modules:
            module.words = None
