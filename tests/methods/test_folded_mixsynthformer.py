"""MixSynthFormer's folded form computes what MixSynthFormer does."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from bench.contracts import BadInput, Window
from methods.encoder import idle_parameters
from methods.mixsynthformer import MixSynthFormer

Options = MixSynthFormer.Options
WINDOWS = {"long": Window(4, 3, 5, 3), "short": Window(10, 1, 3, 2)}

BOTH = [
    {"gate": gate, "reweight": reweight, "reweight_activation": activation, "bias": bias,
     "reduction_t": reduction_t, "reduction_s": reduction_s}
    for gate, (reweight, activation), bias, (reduction_t, reduction_s) in product(
        ("relu-sigmoid", "sigmoid-relu", "none"),
        (("frame", "gelu"), ("frame", "relu"), ("channel", "gelu"), ("channel", "relu"),
         ("none", "gelu")),
        (True, False),
        ((4, 1), (1, 4), (1, 1), (2, 2)),
    )
]  # fmt: skip
ALONE = [
    {"branches": branch, "reweight": "none", "gate": gate, "bias": bias, "reduction_t": reduction,
     "reduction_s": reduction}
    for branch, gate, bias, reduction in product(
        ("temporal", "spatial"), ("relu-sigmoid", "none"), (True, False), (1, 3)
    )
]  # fmt: skip
OTHERS = [
    {"attention": attention, "random_softmax": softmax, "branches": "temporal", "reweight": "none",
     "bias": bias}
    for (attention, softmax), bias in product(
        (("vanilla", False), ("dense", False), ("random", False), ("random", True)), (True, False)
    )
]  # fmt: skip
AROUND = [
    {"interpolation": "linear"},
    {"interpolation": "nearest"},
    {"interpolation": "linear", "final_norm": False, "bias": False},
    {"final_norm": False},
    {"interpolation_start": "linear", "output_start": "zero"},
    {"dead_weights": False, "expansion": 3},
]


def moved(options: Options, window: Window, seed: int = 0) -> MixSynthFormer:
    """A network away from where training starts, its norms and biases too."""
    torch.manual_seed(seed)
    network = MixSynthFormer(options, window).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize(
    "options", [BOTH, ALONE, OTHERS, AROUND], ids=["both", "alone", "others", "around"]
)
def test_every_combination_of_options(options: list[dict], window: Window) -> None:
    for number, chosen in enumerate(options):
        network = moved(Options(**{"width": 16, "depth": 2, **chosen}), window, number)
        keyframes = torch.randn(3, window.keyframes, window.pose)
        with torch.no_grad():
            expected = network.recover(keyframes)
            folded = network.folded()
            for given, wanted in ((keyframes, expected), (keyframes[:1], expected[:1])):
                off = (folded(given) - wanted).abs().max() / expected.abs().max()
                assert off <= 1e-5, chosen


@pytest.mark.parametrize("kind", ["quadratic", "cubic"])
def test_splines(kind: str) -> None:
    network = moved(Options(width=16, depth=1, interpolation=kind), WINDOWS["long"])
    keyframes = torch.randn(2, 4, 15)
    with torch.no_grad():
        expected, found = network.recover(keyframes), network.folded()(keyframes)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_what_is_never_used_is_left_out_and_training_mode_is_not_taken_over() -> None:
    network = moved(Options(width=16, depth=2, dropout=0.5), WINDOWS["long"])
    assert idle_parameters(network)
    with torch.no_grad():
        expected = network.recover(torch.ones(2, 4, 15))
        folded = network.train().folded()
        assert network.training
        assert (folded(torch.ones(2, 4, 15)) - expected).abs().max() <= 1e-5
    assert not any("spatial.values" in name for name in folded.state_dict())


def test_double_precision_is_kept_and_agrees_further() -> None:
    network = moved(Options(width=16, depth=2), WINDOWS["long"]).double()
    keyframes = torch.randn(2, 4, 15, dtype=torch.float64)
    with torch.no_grad():
        expected, found = network.recover(keyframes), network.folded()(keyframes)
    assert found.dtype == torch.float64
    assert (found - expected).abs().max() <= 1e-12


def test_a_wrong_shape_is_refused() -> None:
    folded = moved(Options(width=8, depth=1), WINDOWS["long"]).folded()
    with pytest.raises(BadInput, match=r"found \(1, 5, 15\); expected \(B, 4, 15\)"):
        folded(torch.zeros(1, 5, 15))
