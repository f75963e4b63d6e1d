"""Dropout: what it drops, and that fusing it changes nothing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from bench.noise import supplied
from methods.layers import Dropout


def test_what_lies_below_the_share_is_dropped_and_the_rest_scaled() -> None:
    dropout = Dropout(0.25)
    words = torch.tensor([-(2**15), -(2**14) - 1, -(2**14), 2**15 - 1], dtype=torch.int16)
    with supplied(dropout, words):
        found = dropout(torch.full((2, 2), 3.0))
    assert found.tolist() == [[0.0, 0.0], [4.0, 4.0]]


def test_the_mean_stays() -> None:
    torch.manual_seed(0)
    found = Dropout(0.3)(torch.ones(100_000))
    assert found.mean() == pytest.approx(1, abs=0.01)
    assert (found == 0).float().mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("share", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_done_where_nothing_is_to_be_dropped(share: float, training: bool) -> None:
    x = torch.ones(3)
    assert Dropout(share).train(training)(x) is x


@pytest.mark.compiler
@pytest.mark.parametrize("shape", [(7, 33), (2, 3, 5)])
def test_fused_it_is_the_same(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, layer = torch.randn(shape), nn.Linear(shape[-1], 20)
    words = torch.randint(-(2**15), 2**15, (x.numel() // shape[-1] * 20,)).short()
    dropout = Dropout(0.4)

    def loss(x: Tensor, words: Tensor) -> Tensor:
        with supplied(dropout, words):
            dropped: Tensor = dropout(layer(x))
        return dropped.square().mean()

    def learned(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, words: Tensor) -> Tensor:
        layer.zero_grad()
        function(x, words).sum().backward()
        assert layer.weight.grad is not None
        return layer.weight.grad

    expected = learned(loss, x, words)
    torch.testing.assert_close(learned(torch.compile(loss, dynamic=False), x, words), expected)
    # Of several at once, each with words of its own.
    both = torch.stack([x, x + 1]), torch.stack([words, words.flip(0)])
    expected = learned(vmap(loss), *both)
    torch.testing.assert_close(learned(torch.compile(vmap(loss), dynamic=False), *both), expected)
