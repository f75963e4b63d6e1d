"""MixSynthFormer and its ablations: interpolate, then refine with synthetic attention.

Source: paper section 3; what the paper states and what its release does differ in places, each
of which is an option here (spec 1.1-1.4). Axes: B windows, T frames, Q + 1 keyframes, P pose
values, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import BadInput, Window
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
from methods.layers import (
    Interpolation,
    check_keyframes,
    check_positive,
    check_share,
    interpolation_matrix,
    start_xavier,
    start_zero,
)


class MixSynthFormer(nn.Module):
    """Recovery by interpolation and L blocks of temporal and spatial synthetic attention."""

    title: ClassVar[str] = "MixSynthFormer"
    source: ClassVar[str] = "Sun et al., MixSynthFormer (the benchmark's paper), section 3"
    revision: ClassVar[int] = 1
    renames: ClassVar[Sequence[tuple[str, str]]] = (
        (r"^encoder_emb\.", "embed."),
        (r"^l_interp\.", "interpolate."),
        (r"^fc\.", "output."),
        (r"^encoder\.layers\.", "blocks."),
        (r"\.synth_att\.", ".attention."),
        (r"\.synth_token\.", ".temporal."),
        (r"\.synth_channel\.", ".spatial."),
        (r"\.dense\.", ".scores."),
        (r"\.se\.fc\.", ".gate."),
        (r"\.value_reduce\.", ".values."),
        (r"\.(query|key|value)_fc\.", r".\1."),
        (r"\.temporal\.attention$", ".temporal.matrix"),
        (r"\.reweight\.fc1\.", ".branch_weights.pairs.0."),
        (r"\.reweight\.fc2\.", ".branch_weights.pairs.2."),
        (r"\.attention\.proj\.", ".attention.output."),
        (r"\.ff\.fc1\.", ".feed.0."),
        (r"\.ff\.fc2\.", ".feed.3."),
    )

    @dataclass(frozen=True)
    class Options:
        """Hyper-parameters; the defaults are the release's model for Human3.6M.

        width: C; depth: L; expansion: of the feed-forward part; reduction_t, reduction_s: r_t and
        r_s; branches: which of the two attentions there are; attention: other attentions than
        'synthetic' are temporal only; random_softmax: normalise the matrix of 'random'; reweight:
        how the branches are summed (paper: per channel with ReLU; release: per frame with GELU;
        'none': a plain sum, and the only choice with one branch); gate: activations of the
        squeeze-and-excitation, whose names the paper's text swaps ('none': without it); bias: of
        the linear maps that the paper writes without; dead_weights: keep the release's maps that
        are never used; interpolation_start, output_start: the values training starts from ('zero':
        the model starts as its interpolation); final_norm: normalise before the output map;
        loss_sum: sum the absolute differences of a frame as in paper Eq. 16, not their mean.
        """

        width: int = 64
        depth: int = 4
        expansion: int = 2
        dropout: float = 0.1
        interpolation: Literal[Interpolation, "learned"] = "learned"
        interpolation_start: Literal["xavier", "linear"] = "xavier"
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
        final_norm: bool = True
        output_start: Literal["xavier", "zero"] = "xavier"
        loss_sum: bool = False

    def __init__(self, options: Options, window: Window) -> None:
        """BadInput for options that contradict one another or do not fit the window."""
        super().__init__()
        _check(options)
        self.window = window
        self.loss_sum = options.loss_sum
        self.interpolate: nn.Linear | None = None
        if options.interpolation == "learned":
            self.interpolate = nn.Linear(window.keyframes, window.frames)
        else:
            fixed = interpolation_matrix(options.interpolation, window)
            self.register_buffer("interpolation", fixed, persistent=False)
        self.embed = nn.Linear(window.pose, options.width, bias=options.bias)
        # Copies of one block, so that all blocks start with the same biases (spec 1.2).
        block = _Block(options, window)
        self.blocks = nn.Sequential(*(deepcopy(block) for _ in range(options.depth)))
        self.norm = nn.LayerNorm(options.width) if options.final_norm else nn.Identity()
        self.output = nn.Linear(options.width, window.pose, bias=options.bias)
        start_xavier(self)
        if options.output_start == "zero":
            start_zero(self.output)
        if self.interpolate is not None and options.interpolation_start == "linear":
            start_zero(self.interpolate)
            with torch.no_grad():
                self.interpolate.weight.copy_(interpolation_matrix("linear", window))

    @property
    def dead_parameters(self) -> frozenset[str]:
        """The names of the parameters that are kept but never used (option `dead_weights`)."""
        idle = tuple(
            f"{name}.values."
            for name, module in self.named_modules()
            if isinstance(module, SyntheticAttention) and not module.reduces
        )
        return frozenset(name for name, _ in self.named_parameters() if name.startswith(idle))

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) keyframes -> (B, T, P) recovered window; BadInput for another shape."""
        check_keyframes(keyframes, self.window)
        if self.interpolate is not None:
            rough = self.interpolate(keyframes.mT).mT
        else:
            rough = torch.matmul(self.get_buffer("interpolation"), keyframes)
        features = self.blocks(self.embed(rough))
        refined: Tensor = self.output(self.norm(features)) + rough
        return refined

    forward = recover

    def loss(self, keyframes: Tensor, truth: Tensor) -> Tensor:
        """Mean absolute difference to truth (B, T, P), summed over P if the options say so."""
        difference = functional.l1_loss(self.recover(keyframes), truth)
        return difference * self.window.pose if self.loss_sum else difference


class _Block(nn.Module):
    """Attention and feed-forward, each added to its input and normalised (paper Eqs. 3, 4)."""

    def __init__(self, options: MixSynthFormer.Options, window: Window) -> None:
        super().__init__()
        width, hidden = options.width, options.width * options.expansion
        self.attention = _MixSynthAttention(options, window)
        self.dropout = nn.Dropout(options.dropout)
        self.norm1 = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(options.dropout),
            nn.Linear(hidden, width),
            nn.Dropout(options.dropout),
        )
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.norm1(x + self.dropout(self.attention(x)))
        thought: Tensor = self.norm2(x + self.feed(x))
        return thought


class _MixSynthAttention(nn.Module):
    """The temporal and the spatial branch, weighed, summed and mapped (paper Eqs. 6-9)."""

    def __init__(self, options: MixSynthFormer.Options, window: Window) -> None:
        super().__init__()
        frames, width, bias = window.frames, options.width, options.bias
        shared = (options.gate, options.gate_ratio, bias, options.dead_weights)
        self.temporal: nn.Module | None = None
        self.spatial: nn.Module | None = None
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
            branches.append(self.spatial(x.mT).mT)
        if self.branch_weights is not None:
            branches = [self.branch_weights(*branches)]
        output: Tensor = self.output(sum(branches[1:], start=branches[0]))
        return output


def _check(options: MixSynthFormer.Options) -> None:
    """BadInput for options out of range, or set where another option leaves them without use."""
    check_positive(options, "width", "depth", "expansion")
    check_share(options, "dropout")
    for option, used, hint in (
        (
            "attention",
            options.attention == "synthetic" or options.branches == "temporal",
            "it is temporal only: set branches to temporal",
        ),
        (
            "random_softmax",
            not options.random_softmax or options.attention == "random",
            "it belongs to attention random",
        ),
        (
            "reweight",
            options.reweight == "none" or options.branches == "both",
            "there is one branch only: set reweight to none",
        ),
        (
            "interpolation_start",
            options.interpolation_start == "xavier" or options.interpolation == "learned",
            "it belongs to interpolation learned",
        ),
    ):
        if not used:
            raise BadInput(
                f"option {option} is of no use here", found=getattr(options, option), hint=hint
            )
