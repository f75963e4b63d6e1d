"""siMLPe: linear maps over time and joints, layer normalisation, and nothing else.

Source: Guo et al., "Back to MLP: a simple baseline for human motion prediction", WACV 2023;
spec 5.3. Axes: B histories, H frames of history, P pose values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import Adopted, BadInput, Choice, Search, Span, Whole
from methods.layers import check_history, check_positive, cosines, joint_distance, random_words
from methods.searching import TRAINING

_PUBLISHED = (r"^motion_transformer\.transformer\.", "motion_mlp.mlps.")
_BLOCK = re.compile(r"^motion_mlp\.mlps\.(\d+)\.")

# What the shapes of published weights do not tell: poses are 3D, and were asked for a second.
_DIMS, _FUTURE = 3, 25


class SiMLPe(nn.Module):
    """Predicts `step` frames at once, and further ones from its own predictions.

    It works on the history's cosine coefficients over time, and starts as standing still.
    """

    title: ClassVar[str] = "siMLPe"
    source: ClassVar[str] = "Guo et al., Back to MLP, WACV 2023"
    revision: ClassVar[int] = 2
    search: ClassVar[Search] = Search(
        options={"blocks": Whole(4, 48, step=4), "step": Choice((1, 2, 5, 10))},
        training=TRAINING,
    )

    @dataclass(frozen=True)
    class Options:
        """blocks: how many; step: frames predicted at once and trained on, at most H and F."""

        blocks: int = 48
        step: int = 10

    def __init__(self, options: Options, span: Span) -> None:
        """BadInput for options below one."""
        super().__init__()
        check_positive(options, "blocks", "step")
        self.words: Callable[[int], Tensor] | None = None
        self.span = span
        self.step = min(options.step, span.history, span.future)
        self.motion_fc_in = nn.Linear(span.pose, span.pose)
        self.motion_mlp = _Blocks(options.blocks, span)
        self.motion_fc_out = nn.Linear(span.pose, span.pose)
        _start_near_zero(self.motion_fc_out)
        self.register_buffer("dct", cosines(span.history), persistent=False)

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) history -> (B, frames, P), step by step; BadInput for another shape."""
        check_history(history, self.span)
        known = history
        while known.shape[1] < self.span.history + frames:
            known = torch.cat([known, self._next(known[:, -self.span.history :])], dim=1)
        return known[:, self.span.history :][:, :frames]

    def network(self, x: Tensor) -> Tensor:
        """(H, B, P) cosine coefficients -> those of the displacement from the last frame."""
        refined: Tensor = self.motion_fc_out(self.motion_mlp.mlps(self.motion_fc_in(x)))
        return refined

    def loss(self, history: Tensor, future: Tensor) -> Tensor:
        """Mean joint error of the first step, plus that of its frame-to-frame differences.

        While training, half of the clips, drawn at random, run backwards.
        """
        clips = torch.cat([history, future[:, : self.step]], dim=1)
        if self.training:
            backwards = random_words(self, len(clips), clips.device) < 0
            clips = torch.where(backwards[:, None, None], clips.flip(1), clips)
        missing = self._next(clips[:, : -self.step]) - clips[:, -self.step :]
        error = joint_distance(missing, self.span.dims).mean()
        if self.step > 1:
            error = error + joint_distance(missing.diff(dim=1), self.span.dims).mean()
        return error

    @classmethod
    def adopt(cls, files: Mapping[str, Mapping[str, Tensor]]) -> list[Adopted]:
        """The models in published files (spec 5.3), one per file; other files are passed over.

        files: state dicts by file name. History, blocks and joints are read from the shapes,
        all of which must be those of such a model.
        """
        adopted = []
        for name, weights in files.items():
            state = {re.sub(*_PUBLISHED, key): value for key, value in weights.items()}
            recognised = cls._recognised(state)
            if recognised is None:
                continue
            blocks, span = recognised
            adopted.append(
                Adopted(
                    options={"blocks": blocks},
                    geometry={"history": span.history, "future": span.future},
                    state=state,
                    files=(name,),
                    joints=span.joints,
                    dims=span.dims,
                )
            )
        return adopted

    @classmethod
    def _recognised(cls, state: Mapping[str, Tensor]) -> tuple[int, Span] | None:
        """The number of blocks and the span of a model in 3D, if these are exactly its weights."""
        blocks = len({found[1] for key in state if (found := _BLOCK.match(key))})
        try:
            history = state["motion_mlp.mlps.0.fc0.fc.weight"].shape[0]
            joints = state["motion_fc_in.weight"].shape[0] // _DIMS
            with torch.device("meta"):
                model = cls(cls.Options(blocks), Span(history, _FUTURE, joints, _DIMS))
        except (KeyError, IndexError, BadInput):
            return None
        own = {key: tensor.shape for key, tensor in model.state_dict().items()}
        same = own == {key: tensor.shape for key, tensor in state.items()}
        return (blocks, model.span) if same else None

    def _next(self, history: Tensor) -> Tensor:
        """(B, H, P) -> the next `step` frames (B, step, P)."""
        dct = self.get_buffer("dct")
        # Time leads, so that every map over it is a single matrix product.
        by_time = history.transpose(0, 1).contiguous()
        refined = self.network(_over_time(dct, by_time))
        # The transform is orthonormal: its inverse is its transpose.
        moved = _over_time(dct.T[: self.step], refined)
        return moved.transpose(0, 1) + history[:, -1:]


class _Linear(nn.Module):
    """A linear map over time, held under the published key `fc`."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.fc = nn.Linear(frames, frames)
        _start_near_zero(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        """(H, B, P) -> (H, B, P)."""
        return _over_time(self.fc.weight, x, self.fc.bias)


class _Norm(nn.Module):
    """Layer normalisation over the pose values, with the published keys and shapes."""

    def __init__(self, pose: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, pose, 1))
        self.beta = nn.Parameter(torch.zeros(1, pose, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(H, B, P) -> (H, B, P)."""
        return functional.layer_norm(x, x.shape[-1:], self.alpha.flatten(), self.beta.flatten())


class _Block(nn.Module):
    """Adds to its input a normalised linear map over time."""

    def __init__(self, frames: int, pose: int) -> None:
        super().__init__()
        self.fc0 = _Linear(frames)
        self.norm0 = _Norm(pose)

    def forward(self, x: Tensor) -> Tensor:
        """(H, B, P) -> (H, B, P)."""
        added: Tensor = x + self.norm0(self.fc0(x))
        return added


class _Blocks(nn.Module):
    """The blocks under the published key `mlps`."""

    def __init__(self, blocks: int, span: Span) -> None:
        super().__init__()
        self.mlps = nn.Sequential(*(_Block(span.history, span.pose) for _ in range(blocks)))


def _over_time(matrix: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """(M, H) times (H, B, P), plus a bias (M,) -> (M, B, P)."""
    flat = x.flatten(1)
    mixed = matrix @ flat if bias is None else torch.addmm(bias[:, None], matrix, flat)
    return mixed.view(-1, *x.shape[1:])


def _start_near_zero(layer: nn.Linear) -> None:
    """Xavier-uniform weights with a gain of 1e-8 and no bias (spec 5.3)."""
    nn.init.xavier_uniform_(layer.weight, gain=1e-8)
    nn.init.zeros_(layer.bias)
