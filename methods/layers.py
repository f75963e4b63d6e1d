"""Parts that the trainable methods share: fixed interpolation, multi-head attention, start values.

Axes: B windows, T frames, Q + 1 keyframes, P pose values, C channels; H heads or, in `Span`,
frames of history.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from scipy.interpolate import interp1d
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import BadInput, Noisy, Span, Window

Interpolation = Literal["nearest", "linear", "quadratic", "cubic"]

_FEWEST: dict[Interpolation, int] = {"nearest": 2, "linear": 2, "quadratic": 3, "cubic": 4}


def interpolation_matrix(kind: Interpolation, window: Window) -> Tensor:
    """The (T, Q+1) float32 matrix that turns keyframes into a window (spec 3.4, last item).

    Interpolation on a fixed grid is linear in the keyframes: scipy's `interp1d` is asked once,
    in float64, what each unit keyframe contributes to each frame. BadInput where the window has
    fewer keyframes than the kind needs.
    """
    if window.keyframes < _FEWEST[kind]:
        raise BadInput(
            f"{kind} interpolation needs more keyframes",
            found=window.keyframes,
            expected=f"at least {_FEWEST[kind]} in a window",
            hint=f"raise the number of intervals to {_FEWEST[kind] - 1} or interpolate linearly",
        )
    at = np.arange(window.keyframes) * window.interval
    matrix = interp1d(at, np.eye(window.keyframes), kind=kind, axis=0)(np.arange(window.frames))
    return torch.as_tensor(matrix, dtype=torch.float32)


def cosines(frames: int) -> Tensor:
    """The orthonormal discrete cosine transform over so many frames, (frames, frames)."""
    i = torch.arange(frames, dtype=torch.float64)
    rows = torch.cos(math.pi * i[:, None] * (i + 0.5) / frames) * math.sqrt(2 / frames)
    rows[0] /= math.sqrt(2)
    return rows.float()


def check_keyframes(keyframes: Tensor, window: Window) -> None:
    """BadInput unless keyframes are (B, Q+1, P) of this window."""
    if keyframes.ndim != 3 or keyframes.shape[1:] != (window.keyframes, window.pose):
        raise BadInput(
            "keyframes do not fit the window",
            found=tuple(keyframes.shape),
            expected=f"(B, {window.keyframes}, {window.pose})",
        )


def check_history(history: Tensor, span: Span) -> None:
    """BadInput unless a history is (B, H, P) of this span."""
    if history.ndim != 3 or history.shape[1:] != (span.history, span.pose):
        raise BadInput(
            "the history does not fit the span",
            found=tuple(history.shape),
            expected=f"(B, {span.history}, {span.pose})",
        )


def check_frames(frames: int, span: Span) -> None:
    """BadInput unless so many frames, 1 to F, can be predicted by a method made for this span."""
    if not 1 <= frames <= span.future:
        raise BadInput(
            "cannot predict so many frames",
            found=frames,
            expected=f"1 to {span.future}",
            hint="give the method a longer future",
        )


def joint_distance(difference: Tensor, dims: int) -> Tensor:
    """Length of each joint's part of differences of flat poses: (..., P) -> (..., J)."""
    joints = difference.reshape(*difference.shape[:-1], -1, dims)
    lengths: Tensor = torch.linalg.vector_norm(joints, dim=-1)
    return lengths


def check_positive(options: object, *names: str) -> None:
    """BadInput unless each of these options is at least 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise BadInput(f"option {name} must be at least 1", found=getattr(options, name))


def check_share(options: object, *names: str) -> None:
    """BadInput unless each of these options lies in [0, 1), as a dropout probability does."""
    for name in names:
        if not 0 <= getattr(options, name) < 1:
            raise BadInput(f"option {name} must lie in [0, 1)", found=getattr(options, name))


def start_xavier(model: nn.Module) -> None:
    """Draw every parameter of two and more dimensions Xavier-uniform (spec 1.2, 2.1)."""
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            nn.init.xavier_uniform_(parameter)


def start_zero(*layers: nn.Linear | nn.Conv1d) -> None:
    """Set weights and biases to zero, so that what these layers add starts as nothing."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


class Dropout(nn.Module):
    """Dropout that compares 16 random bits per value, a third of the time of torch's on a CPU.

    A `bench.contracts.Noisy`. The share that is dropped is `share` to 1/65536, and what is kept is
    scaled by exactly that share.
    """

    words: Callable[[int], Tensor] | None

    def __init__(self, share: float) -> None:
        """share: of the values that are dropped, in [0, 1)."""
        super().__init__()
        self.words = None
        self.share = share
        dropped = round(share * 2**16)
        self.least = dropped - 2**15
        self.scale = 2**16 / (2**16 - dropped)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; what is given comes back as it is where nothing is trained."""
        if not self.training or not self.share:
            return x
        words = random_words(self, x.numel(), x.device).view(x.shape)
        at_least = _at_least if torch.compiler.is_compiling() and not x.is_cuda else torch.ge
        kept = torch.where(at_least(words, self.least), self.scale, 0.0)
        return x * kept.to(x.dtype)

    def extra_repr(self) -> str:
        """The share, as torch prints it."""
        return f"{self.share}"


@torch.library.custom_op("methods::at_least", mutates_args=())
def _at_least(words: Tensor, least: int) -> Tensor:
    """Compare int16 words in a pass of its own.

    torch.compile has no vectors of them on a CPU: what it fuses with this would be computed one
    value after another.
    """
    return words >= least


@_at_least.register_fake
def _(words: Tensor, least: int) -> Tensor:  # noqa: ARG001
    return torch.empty_like(words, dtype=torch.bool)


@_at_least.register_vmap
def _(
    _: Any, dims: tuple[int | None, None], words: Tensor, least: int
) -> tuple[Tensor, int | None]:
    return _at_least(words, least), dims[0]


def random_words(module: Noisy, count: int, device: torch.device) -> Tensor:
    """(count,) int16, every value as likely as any other: the harness's, or torch's own."""
    if module.words:
        return module.words(count)
    draws = torch.empty(-(-count // 4), dtype=torch.long, device=device)
    return draws.random_(-(2**63), None).view(torch.int16)[:count]


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with H heads, from C channels and back to C.

    `project` (3*H*head, C) holds the rows of queries, keys and values in this order.
    """

    def __init__(self, width: int, heads: int, head: int, bias: bool = True) -> None:
        super().__init__()
        inner = heads * head
        self.heads = heads
        self.project = nn.Parameter(torch.empty(3 * inner, width))
        self.project_bias = nn.Parameter(torch.zeros(3 * inner)) if bias else None
        self.merge = nn.Linear(inner, width, bias=bias)
        nn.init.xavier_uniform_(self.project)
        if bias:
            nn.init.zeros_(self.merge.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Queries (B, N, C), keys and values (B, M, C) -> (B, N, C).

        bias: (N, M), added to the logits; minus infinity hides a key from a query.
        """
        shares = self.project.chunk(3)
        biases = (None,) * 3 if self.project_bias is None else self.project_bias.chunk(3)
        q, k, v = (
            self._split(functional.linear(x, share, offset))
            for x, share, offset in zip((query, key, value), shares, biases, strict=True)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return functional.linear(
            mixed.transpose(1, 2).flatten(2), self.merge.weight, self.merge.bias
        )

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, H*head) -> (B, H, N, head)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
