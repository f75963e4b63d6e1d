"""MixSynthFormer for inference: the same function of the keyframes, from merged constants.

The interpolation and the embedding become one map of the keyframes; the final layer norm's scale
and shift fold into the output map, its bias into the interpolation. Axes: B windows, T frames,
Q + 1 keyframes, P pose values, C channels; one window goes through without its batch axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from methods.encoder import Block
from methods.folded_encoder import FoldedBlock
from methods.folding import Columns, FoldedRecovery, Rows, exact, like, normalised, offset

if TYPE_CHECKING:
    from methods.mixsynthformer import MixSynthFormer


class FoldedMixSynthFormer(FoldedRecovery):
    """Interpolate and embed in one, then refine by folded blocks."""

    def __init__(self, network: MixSynthFormer) -> None:
        """network: trained; later changes of its weights have no effect here."""
        super().__init__(network.window)
        source = exact(network)
        if source.interpolate is None:
            matrix = source.get_buffer("interpolation")
            start = matrix.new_zeros(self.window.frames)
        else:
            matrix, start = source.interpolate.weight, source.interpolate.bias
        embed, output = source.embed, Columns.after(source.norm, source.output)
        # What keyframes become is interpolated, not what they were: Q + 1 rows are mapped, not T.
        self.embed = Columns(embed.weight)
        self.spread = Rows(matrix, torch.outer(start, embed.weight.sum(1)) + offset(embed))
        shift = torch.zeros(self.window.pose).to(matrix) if output.bias is None else output.bias
        self.rough = Rows(matrix, start[:, None] + shift)
        self.blocks = nn.Sequential(*(FoldedBlock(cast(Block, block)) for block in source.blocks))
        self.normalises = isinstance(source.norm, nn.LayerNorm)
        self.output = Columns(output.weight)
        like(network, self)

    def _recover(self, keyframes: Tensor) -> Tensor:
        """(..., Q+1, P) -> (..., T, P)."""
        features = self.blocks(self.spread(self.embed(keyframes)))
        if self.normalises:
            features = normalised(features)
        return self.output.onto(self.rough(keyframes), features)
