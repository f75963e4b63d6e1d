"""MixSynthFormer and its ablations: interpolate, then refine with synthetic attention.

Source: paper section 3; what the paper states and what its release does differ in places, each
of which is an option here (spec 1.1-1.4). Axes: B windows, T frames, Q + 1 keyframes, P pose
values, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import Choice, Search, Window
from methods.encoder import (
    ENCODER_SEARCH,
    EncoderOptions,
    check_use,
    encoder_blocks,
    idle_parameters,
)
from methods.layers import (
    Interpolation,
    check_keyframes,
    check_positive,
    interpolation_matrix,
    start_xavier,
    start_zero,
)
from methods.searching import TRAINING


class MixSynthFormer(nn.Module):
    """Recovery by interpolation and L blocks of temporal and spatial synthetic attention."""

    title: ClassVar[str] = "MixSynthFormer"
    source: ClassVar[str] = "Sun et al., MixSynthFormer (the benchmark's paper), section 3"
    revision: ClassVar[int] = 2
    search: ClassVar[Search] = Search(
        options={
            **ENCODER_SEARCH,
            "interpolation": Choice(("linear", "learned")),
            "interpolation_start": Choice(
                ("xavier", "linear"), when={"interpolation": ("learned",)}
            ),
            "final_norm": Choice((True, False)),
        },
        training=TRAINING,
    )
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
    class Options(EncoderOptions):
        """Hyper-parameters; the defaults are the release's model for Human3.6M.

        interpolation_start, output_start: the values training starts from ('zero': the model
        starts as its interpolation); final_norm: normalise before the output map; loss_sum: sum
        the absolute differences of a frame as in paper Eq. 16, not their mean; the others:
        `EncoderOptions`.
        """

        interpolation: Literal[Interpolation, "learned"] = "learned"
        interpolation_start: Literal["xavier", "linear"] = "xavier"
        final_norm: bool = True
        output_start: Literal["xavier", "zero"] = "xavier"
        loss_sum: bool = False

    def __init__(self, options: Options, window: Window) -> None:
        """BadInput for options that contradict one another or do not fit the window."""
        super().__init__()
        check_positive(options, "width", "depth", "expansion")
        check_use(
            options,
            interpolation_start=(
                options.interpolation_start == "xavier" or options.interpolation == "learned",
                "it belongs to interpolation learned",
            ),
        )
        self.window = window
        self.loss_sum = options.loss_sum
        self.interpolate: nn.Linear | None = None
        if options.interpolation == "learned":
            self.interpolate = nn.Linear(window.keyframes, window.frames)
        else:
            fixed = interpolation_matrix(options.interpolation, window)
            self.register_buffer("interpolation", fixed, persistent=False)
        self.embed = nn.Linear(window.pose, options.width, bias=options.bias)
        self.blocks = encoder_blocks(options, window.frames)
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
        return idle_parameters(self)

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

    def folded(self) -> nn.Module:
        """The same recovery for inference alone, from merged constants: with the weights of now."""
        from methods.folded_mixsynthformer import FoldedMixSynthFormer

        return FoldedMixSynthFormer(self)

    def loss(self, keyframes: Tensor, truth: Tensor) -> Tensor:
        """Mean absolute difference to truth (B, T, P), summed over P if the options say so."""
        difference = functional.l1_loss(self.recover(keyframes), truth)
        return difference * self.window.pose if self.loss_sum else difference
