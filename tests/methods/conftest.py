"""What tests of folded forms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.contracts import BadInput, Window


@pytest.fixture
def moved() -> Callable[..., Any]:
    """Build a network and move it away from where training starts, norms and biases too."""

    def build(kind: type[Any], options: Any, window: Window, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        network = kind(options, window).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return network

    return build


@pytest.fixture
def off() -> Callable[[Any], float]:
    """How far a folded form is from its network: relative, the worse of a batch and one window.

    It also has to keep the type, and to refuse keyframes of another window.
    """

    def compare(network: Any) -> float:
        kind = next(network.parameters()).dtype
        window = network.window
        keyframes = torch.randn(3, window.keyframes, window.pose, dtype=kind)
        with torch.no_grad():
            expected = network.recover(keyframes)
            folded = network.folded()
            found = [folded(keyframes) - expected, folded(keyframes[:1]) - expected[:1]]
        assert all(each.dtype == kind for each in found)
        wrong = window.keyframes + 1
        with pytest.raises(BadInput, match=rf"found \(1, {wrong}, "):
            folded(torch.zeros(1, wrong, window.pose))
        return max(float(each.abs().max()) for each in found) / float(expected.abs().max())

    return compare
