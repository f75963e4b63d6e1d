"""What folded forms share: a trained network for inference alone, its constants worked out before.

Constants are worked out in double precision. Axes: B windows, N rows (frames or channels), C
channels. One window comes without its batch axis: then each map is one call, and at so small a
size calls are what takes time.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts import Window
from methods.layers import check_keyframes

Network = TypeVar("Network", bound=nn.Module)


def exact(network: Network) -> Network:
    """A copy in double precision, for inference, to take constants from."""
    copy = deepcopy(network).double().eval()
    return copy.requires_grad_(False)


def like(network: nn.Module, folded: Network) -> Network:
    """A folded form in the type and on the device of the network that it stands for."""
    first = next(network.parameters())
    return folded.to(device=first.device, dtype=first.dtype).eval()


class FoldedRecovery(nn.Module):
    """Recovery by a folded network; one window goes through without its batch axis."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) keyframes -> (B, T, P) recovered window; BadInput for another shape."""
        check_keyframes(keyframes, self.window)
        if len(keyframes) == 1:
            return self._recover(keyframes[0])[None]
        return self._recover(keyframes)

    def _recover(self, keyframes: Tensor) -> Tensor:
        """(..., Q+1, P) -> (..., T, P)."""
        raise NotImplementedError


class _Map(nn.Module):
    """A linear map, its weight and bias."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)


class Columns(_Map):
    """A linear map of each row: (..., N, C) -> (..., N, D).

    weight: (D, C); bias: (D,).
    """

    @classmethod
    def of(cls, linear: nn.Linear) -> Columns:
        """A linear layer's own map."""
        return cls(linear.weight, linear.bias)

    @classmethod
    def after(cls, norm: nn.Module, linear: nn.Linear) -> Columns:
        """What a layer makes of `norm`'s output, from what that normalised: scale and shift fold.

        norm: a `LayerNorm`, or an identity.
        """
        if not isinstance(norm, nn.LayerNorm):
            return cls.of(linear)
        return cls(linear.weight * norm.weight, linear.weight @ norm.bias + offset(linear))

    def forward(self, x: Tensor) -> Tensor:
        """(..., N, C) -> (..., N, D)."""
        return functional.linear(x, self.weight, self.bias)

    def onto(self, sum_: Tensor, x: Tensor) -> Tensor:
        """The map of x (..., N, C), without its bias, added to (..., N, D)."""
        if x.ndim == 2:
            return torch.addmm(sum_, x, self.weight.mT)
        return functional.linear(x, self.weight) + sum_


class Rows(_Map):
    """A linear map of each column: (..., N, C) -> (..., M, C).

    weight: (M, N); bias: (M, 1) or (M, C).
    """

    @classmethod
    def of(cls, linear: nn.Linear) -> Rows:
        """A linear layer's map, applied over the rows."""
        bias: Tensor | None = linear.bias
        return cls(linear.weight, None if bias is None else bias[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """(..., N, C) -> (..., M, C)."""
        if x.ndim == 3 and x.shape[-1] == 1:
            # One column for each window: one product for the batch, instead of one for each.
            bias = None if self.bias is None else self.bias[:, 0]
            return functional.linear(x.squeeze(-1), self.weight, bias).unsqueeze(-1)
        if self.bias is None:
            return torch.matmul(self.weight, x)
        if x.ndim == 2:
            return torch.addmm(self.bias, self.weight, x)
        weight = self.weight.expand(len(x), -1, -1)
        return torch.baddbmm(self.bias.expand(len(x), -1, -1), weight, x)


def offset(linear: nn.Linear) -> Tensor:
    """A linear layer's bias, zeros where it has none: (D,)."""
    bias: Tensor | None = linear.bias
    return linear.weight.new_zeros(len(linear.weight)) if bias is None else bias


def normalised(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 of each row: a layer norm without scale and shift."""
    return functional.layer_norm(x, x.shape[-1:])
