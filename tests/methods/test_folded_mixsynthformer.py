"""MixSynthFormer's folded form computes what MixSynthFormer does."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from bench.contracts import Window
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


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize(
    "options", [BOTH, ALONE, OTHERS, AROUND], ids=["both", "alone", "others", "around"]
)
def test_every_combination_of_options(moved, off, options: list[dict], window: Window) -> None:
    # Every combination in one window; in the other, whose frames are fewer than channels, a share.
    step = 1 if window.frames > 11 else 5
    for number, chosen in enumerate(options[::step]):
        built = Options(**{"width": 16, "depth": 1, **chosen})
        assert off(moved(MixSynthFormer, built, window, number)) <= 1e-5, chosen


@pytest.mark.parametrize("kind", ["quadratic", "cubic"])
def test_splines(moved, off, kind: str) -> None:
    options = Options(width=16, depth=3, interpolation=kind)
    assert off(moved(MixSynthFormer, options, WINDOWS["long"])) <= 1e-5


def test_double_precision_is_kept_and_agrees_further(moved, off) -> None:
    options = Options(width=16, depth=2)
    assert off(moved(MixSynthFormer, options, WINDOWS["long"]).double()) <= 1e-12


def test_what_is_never_used_is_left_out_and_training_mode_is_not_taken_over(moved) -> None:
    network = moved(MixSynthFormer, Options(width=16, depth=2, dropout=0.5), WINDOWS["long"])
    assert network.dead_parameters
    with torch.no_grad():
        expected = network.recover(torch.ones(2, 4, 15))
        folded = network.train().folded()
        assert network.training
        assert (folded(torch.ones(2, 4, 15)) - expected).abs().max() <= 1e-5
    assert not any("spatial.values" in name for name in folded.state_dict())
