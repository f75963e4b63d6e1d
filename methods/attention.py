"""The attentions that MixSynthFormer compares (paper 3.2, 3.3 and Table 5; spec 1.1-1.4).

Axes: B windows, T frames, C channels; an attention works on N tokens of D features, which are
the frames (N = T, D = C) in the temporal branch and the channels (N = C, D = T) in the spatial.
Pooling and softmax are modules, because profilers that hook modules count them (spec 1.6).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts import BadInput

Gate = Literal["relu-sigmoid", "sigmoid-relu", "none"]
Reweighting = Literal["channel", "frame", "none"]
Activation = Literal["relu", "gelu"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}


def _divided(size: int, ratio: int, what: str) -> int:
    """Divide, rounding down; or BadInput where nothing would be left."""
    if not 1 <= ratio <= size:
        raise BadInput(
            f"{what} must lie between 1 and the size it divides",
            found=ratio,
            expected=f"1 to {size}",
        )
    return size // ratio


class SyntheticAttention(nn.Module):
    """Attention whose weights are a linear map of the tokens themselves (paper Eqs. 10-14).

    d = N // reduction; weights A = softmax(S * gate(mean S)) over d, S = z Ws (N, d); values are
    z itself or, reduced, a linear map of the tokens to d. The gate scales whole rows of S: a
    temperature for every token. `dead` keeps the map of the values where nothing is reduced: it
    is never used, but published parameter counts include it.
    """

    def __init__(
        self,
        tokens: int,
        features: int,
        reduction: int,
        gate: Gate,
        ratio: int,
        bias: bool,
        dead: bool,
    ) -> None:
        super().__init__()
        reduced = _divided(tokens, reduction, "a reduction of the attention")
        self.reduces = reduction > 1
        self.scores = nn.Linear(features, reduced, bias=bias)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.softmax = nn.Softmax(-1)
        self.gate: nn.Sequential | None = None
        if gate != "none":
            squeezed = _divided(tokens, ratio, "gate_ratio")
            first, second = (_ACTIVATIONS[name]() for name in gate.split("-"))
            self.gate = nn.Sequential(
                nn.Linear(tokens, squeezed, bias=False),
                first,
                nn.Linear(squeezed, tokens, bias=False),
                second,
            )
        if self.reduces or dead:
            self.values = nn.Linear(tokens, reduced, bias=bias)

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        scores = self.scores(z)
        if self.gate is not None:
            scores = scores * self.gate(self.pool(scores).squeeze(-1)).unsqueeze(-1)
        values = self.values(z.mT).mT if self.reduces else z
        return torch.bmm(self.softmax(scores), values)

    def along(self, x: Tensor) -> Tensor:
        """What `forward` gives for features and tokens exchanged: (B, D, N) -> (B, D, N).

        Nothing is transposed, forwards or backwards, and products of small matrices come in the
        order in which they are fast: for training, since profilers count no map that they see.
        """
        scores, values = self.scores, x
        weights = scores.weight.expand(len(x), -1, -1)
        if scores.bias is None:
            logits = torch.bmm(weights, x)
        else:
            logits = torch.baddbmm(scores.bias[:, None].expand(len(x), -1, x.shape[2]), weights, x)
        if self.gate is not None:
            logits = logits * self.gate(logits.mean(1)).unsqueeze(1)
        if self.reduces:
            values = self.values(x)
        return torch.bmm(values, logits.softmax(1))


class VanillaAttention(nn.Module):
    """One head of scaled dot-product attention without an output map (spec 1.3)."""

    def __init__(self, features: int, bias: bool) -> None:
        super().__init__()
        self.query = nn.Linear(features, features, bias=bias)
        self.key = nn.Linear(features, features, bias=bias)
        self.value = nn.Linear(features, features, bias=bias)
        self.softmax = nn.Softmax(-1)
        self.scale = features**-0.5

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        scores = torch.bmm(self.query(z) * self.scale, self.key(z).mT)
        return torch.bmm(self.softmax(scores), self.value(z))


class RandomAttention(nn.Module):
    """One learned (N, N) matrix for every input; the release applies no softmax (spec 1.3)."""

    def __init__(self, tokens: int, features: int, softmax: bool, bias: bool) -> None:
        super().__init__()
        # Three dimensions, as published: Xavier then counts N**2 inputs and N outputs.
        self.matrix = nn.Parameter(torch.empty(1, tokens, tokens))
        self.value = nn.Linear(features, features, bias=bias)
        self.normalise = nn.Softmax(-1) if softmax else nn.Identity()
        nn.init.xavier_uniform_(self.matrix)

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return torch.matmul(self.normalise(self.matrix), self.value(z))


class DenseAttention(nn.Module):
    """Weights from two linear maps of each token, D to N to N (spec 1.3)."""

    def __init__(self, tokens: int, features: int, bias: bool) -> None:
        super().__init__()
        self.scores = nn.Sequential(
            nn.Linear(features, tokens, bias=bias), nn.ReLU(), nn.Linear(tokens, tokens, bias=bias)
        )
        self.softmax = nn.Softmax(-1)
        self.value = nn.Linear(features, features, bias=bias)

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return torch.bmm(self.softmax(self.scores(z)), self.value(z))


class BranchWeights(nn.Module):
    """Weighs the temporal against the spatial branch (paper Eqs. 7, 8; spec 1.4 items 1, 2).

    One pair of weights per channel, from features pooled over time (the paper), or one per
    frame, from features pooled over channels (the release).
    """

    def __init__(
        self, per: Literal["channel", "frame"], size: int, ratio: int, activation: Activation
    ) -> None:
        super().__init__()
        self.per = per
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.softmax = nn.Softmax(-1)
        hidden = _divided(size, ratio, "reweight_ratio")
        self.pairs = nn.Sequential(
            nn.Linear(size, hidden),
            _ACTIVATIONS[activation](),
            nn.Linear(hidden, 2 * size),
        )

    def forward(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Two (B, T, C) -> their weighted sum (B, T, C)."""
        both = temporal + spatial
        pooled = self.pool(both.mT if self.per == "channel" else both).squeeze(-1)
        pairs = self.pairs(pooled).unflatten(-1, (-1, 2))
        # The two weights of a pair sum to one.
        share = self.softmax(pairs)[..., 0].unsqueeze(1 if self.per == "channel" else 2)
        # On a GPU, softmax stays in float32 where the branches are in bfloat16.
        return torch.lerp(spatial, temporal, share.to(spatial.dtype))
