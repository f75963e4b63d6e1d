"""DeciWatch's folded form computes what DeciWatch does."""

from __future__ import annotations

from itertools import product

import pytest

from bench.contracts import Window
from methods.deciwatch import DeciWatch

WINDOWS = [Window(4, 3, 5, 3), Window(3, 1, 2, 2), Window(1, 4, 2, 2)]


@pytest.mark.parametrize(
    ("norm", "cross", "kernel", "heads"),
    list(product(("pre", "post"), ("additive", "masked"), (1, 5), (1, 4))),
)
@pytest.mark.parametrize("window", WINDOWS, ids=["long", "one interval", "every frame"])
def test_every_option(
    moved, off, window: Window, norm: str, cross: str, kernel: int, heads: int
) -> None:
    options = DeciWatch.Options(
        width=16, depth=2, heads=heads, feed=24, kernel=kernel, norm=norm, cross_attention=cross
    )
    assert off(moved(DeciWatch, options, window)) <= 1e-5


def test_double_precision_is_kept_and_agrees_further(moved, off) -> None:
    options = DeciWatch.Options(width=16, depth=2, feed=24)
    assert off(moved(DeciWatch, options, WINDOWS[0]).double()) <= 1e-12
