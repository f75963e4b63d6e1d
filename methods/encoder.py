"""MixSynthFormer's encoder: blocks of synthetic attention and feed-forward maps.

Source: paper 3.1-3.4; what the paper states and what its release does differ in places, each of
which is an option here (spec 1.1-1.4). Axes: B windows, T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from bench.contracts import BadInput, Choice, Real, Tunable, Whole
from methods.attention import (
    Activation,
    BranchWeights,
    DenseAttention,
    Gate,
    RandomAttention,
    Reweighting,
    SyntheticAttention,
    VanillaAttention,
)
from methods.layers import Dropout, check_positive, check_share


@dataclass(frozen=True)
class EncoderOptions:
    """Hyper-parameters of the encoder; the defaults are the release's model for Human3.6M.

    width: C; depth: L; expansion: of the feed-forward part; reduction_t, reduction_s: r_t and
    r_s; branches: which of the two attentions there are; attention: other attentions than
    'synthetic' are temporal only; random_softmax: normalise the matrix of 'random'; reweight:
    how the branches are summed (paper: per channel with ReLU; release: per frame with GELU;
    'none': a plain sum, and the only choice with one branch); gate: activations of the
    squeeze-and-excitation, whose names the paper's text swaps ('none': without it); bias: of
    the linear maps that the paper writes without; dead_weights: keep the release's maps that
    are never used.
    """

    width: int = 64
    depth: int = 4
    expansion: int = 2
    dropout: float = 0.1
    attention: Literal["synthetic", "vanilla", "random", "dense"] = "synthetic"
    random_softmax: bool = False
    branches: Literal["both", "temporal", "spatial"] = "both"
    reduction_t: int = 4
    reduction_s: int = 1
    gate: Gate = "relu-sigmoid"
    gate_ratio: int = 4
    reweight: Reweighting = "frame"
    reweight_activation: Activation = "gelu"
    reweight_ratio: int = 4
    bias: bool = True
    dead_weights: bool = True


_REWEIGHTED = {"reweight": ("channel", "frame")}

ENCODER_SEARCH: Mapping[str, Tunable] = {
    "width": Choice((16, 32, 64, 128)),
    "depth": Whole(1, 5),
    "expansion": Choice((1, 2, 4)),
    "dropout": Real(0.0, 0.3),
    "reduction_t": Choice((1, 2, 4, 8)),
    "reduction_s": Choice((1, 2, 4, 8)),
    "gate": Choice(("relu-sigmoid", "sigmoid-relu", "none")),
    "reweight": Choice(("channel", "frame", "none")),
    "reweight_activation": Choice(("relu", "gelu"), when=_REWEIGHTED),
    "reweight_ratio": Choice((2, 4, 8), when=_REWEIGHTED),
}
"""What `bench tune` may change of the encoder."""


def encoder_blocks(options: EncoderOptions, frames: int) -> nn.Sequential:
    """L blocks for windows of T frames, (B, T, C) -> (B, T, C).

    BadInput for options that contradict one another or do not fit the window.
    """
    check_positive(options, "width", "depth", "expansion")
    check_share(options, "dropout")
    check_use(
        options,
        attention=(
            options.attention == "synthetic" or options.branches == "temporal",
            "it is temporal only: set branches to temporal",
        ),
        random_softmax=(
            not options.random_softmax or options.attention == "random",
            "it belongs to attention random",
        ),
        reweight=(
            options.reweight == "none" or options.branches == "both",
            "there is one branch only: set reweight to none",
        ),
    )
    # Copies of one block, so that all blocks start with the same biases (spec 1.2).
    block = Block(options, frames)
    return nn.Sequential(*(deepcopy(block) for _ in range(options.depth)))


def check_use(options: object, **uses: tuple[bool, str]) -> None:
    """BadInput for an option set where another one leaves it without use.

    uses: by option, whether it is of use, and a hint if not.
    """
    for option, (used, hint) in uses.items():
        if not used:
            raise BadInput(
                f"option {option} is of no use here", found=getattr(options, option), hint=hint
            )


def idle_parameters(model: nn.Module) -> frozenset[str]:
    """The names of the parameters that are kept but never used (option `dead_weights`)."""
    idle = tuple(
        f"{name}.values."
        for name, module in model.named_modules()
        if isinstance(module, SyntheticAttention) and not module.reduces
    )
    return frozenset(name for name, _ in model.named_parameters() if name.startswith(idle))


class Block(nn.Module):
    """Attention and feed-forward, each added to its input and normalised (paper Eqs. 3, 4)."""

    def __init__(self, options: EncoderOptions, frames: int) -> None:
        super().__init__()
        width, hidden = options.width, options.width * options.expansion
        self.attention = MixSynthAttention(options, frames)
        self.dropout = Dropout(options.dropout)
        self.norm1 = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            Dropout(options.dropout),
            nn.Linear(hidden, width),
            Dropout(options.dropout),
        )
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.norm1(x + self.dropout(self.attention(x)))
        thought: Tensor = self.norm2(x + self.feed(x))
        return thought


class MixSynthAttention(nn.Module):
    """The temporal and the spatial branch, weighed, summed and mapped (paper Eqs. 6-9)."""

    def __init__(self, options: EncoderOptions, frames: int) -> None:
        super().__init__()
        width, bias = options.width, options.bias
        shared = (options.gate, options.gate_ratio, bias, options.dead_weights)
        self.temporal: nn.Module | None = None
        self.spatial: SyntheticAttention | None = None
        self.branch_weights: BranchWeights | None = None
        if options.attention == "vanilla":
            self.temporal = VanillaAttention(width, bias)
        elif options.attention == "random":
            self.temporal = RandomAttention(frames, width, options.random_softmax, bias)
        elif options.attention == "dense":
            self.temporal = DenseAttention(frames, width, bias)
        elif options.branches != "spatial":
            self.temporal = SyntheticAttention(frames, width, options.reduction_t, *shared)
        if options.branches != "temporal":
            self.spatial = SyntheticAttention(width, frames, options.reduction_s, *shared)
        if options.reweight != "none":
            size = width if options.reweight == "channel" else frames
            self.branch_weights = BranchWeights(
                options.reweight, size, options.reweight_ratio, options.reweight_activation
            )
        self.output = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        branches = []
        if self.temporal is not None:
            branches.append(self.temporal(x))
        if self.spatial is not None:
            branches.append(self.spatial.along(x) if self.training else self.spatial(x.mT).mT)
        if self.branch_weights is not None:
            branches = [self.branch_weights(*branches)]
        output: Tensor = self.output(sum(branches[1:], start=branches[0]))
        return output
