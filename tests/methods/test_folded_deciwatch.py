"""DeciWatch's folded form computes what DeciWatch does."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from bench.contracts import BadInput, Window
from methods.deciwatch import DeciWatch

WINDOWS = [Window(4, 3, 5, 3), Window(3, 1, 2, 2), Window(1, 4, 2, 2)]


def moved(options: DeciWatch.Options, window: Window, seed: int = 0) -> DeciWatch:
    """A network away from where training starts, its norms and biases too."""
    torch.manual_seed(seed)
    network = DeciWatch(options, window).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network


@pytest.mark.parametrize(
    ("norm", "cross", "kernel", "heads"),
    list(product(("pre", "post"), ("additive", "masked"), (1, 5), (1, 4))),
)
@pytest.mark.parametrize("window", WINDOWS, ids=["long", "one interval", "every frame"])
def test_every_option(window: Window, norm: str, cross: str, kernel: int, heads: int) -> None:
    options = DeciWatch.Options(
        width=16, depth=2, heads=heads, feed=24, kernel=kernel, norm=norm, cross_attention=cross
    )
    network = moved(options, window)
    keyframes = torch.randn(3, window.keyframes, window.pose)
    with torch.no_grad():
        expected = network.recover(keyframes)
        folded = network.folded()
        for given, wanted in ((keyframes, expected), (keyframes[:1], expected[:1])):
            assert (folded(given) - wanted).abs().max() <= 1e-5 * expected.abs().max()


def test_double_precision_is_kept_and_agrees_further() -> None:
    network = moved(DeciWatch.Options(width=16, depth=2, feed=24), WINDOWS[0]).double()
    keyframes = torch.randn(2, 4, 15, dtype=torch.float64)
    with torch.no_grad():
        expected, found = network.recover(keyframes), network.folded()(keyframes)
    assert found.dtype == torch.float64
    # The buffers of both are what float32 made of position codes and interpolation.
    assert (found - expected).abs().max() <= 1e-12


def test_a_wrong_shape_is_refused() -> None:
    folded = moved(DeciWatch.Options(width=8, depth=1, feed=8), WINDOWS[0]).folded()
    with pytest.raises(BadInput, match=r"found \(1, 5, 15\); expected \(B, 4, 15\)"):
        folded(torch.zeros(1, 5, 15))
