"""DeciWatch for inference: the same function, from merged constants and fewer products.

The encoder's keys and values are made at keyframes alone, because it sees no others. Products of
position codes with weights are constant: what attends takes one map of the frames plus a
constant, and all layers of the decoder one map of the memory. The convolution over interpolated
frames is a map of the denoised keyframes. Scales and shifts of layer norms, where those come
first, and the factor of the dot products fold into maps; biases of values pass through weights
that sum to one. Axes: B windows, T frames, Q + 1 keyframes, P pose values, C channels, N tokens
of the encoder, H heads; one window comes without its batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.deciwatch import CrossLayer, Layer
from methods.folding import Columns, FoldedRecovery, Rows, exact, like, normalised, offset
from methods.layers import MultiHeadAttention

if TYPE_CHECKING:
    from methods.deciwatch import DeciWatch


class FoldedDeciWatch(FoldedRecovery):
    """Denoise the keyframes, spread them over the window, refine it."""

    memory_bias: Tensor | None

    def __init__(self, network: DeciWatch) -> None:
        """network: trained; later changes of its weights have no effect here."""
        super().__init__(network.window)
        source = exact(network)
        encoder, decoder = source.encoder, source.decoder
        place = source.token_position
        # Every so many tokens there is a keyframe; those between are zero.
        self.spacing = self.window.interval // source.step
        at_keyframes = torch.eye(len(place)).to(place)[:, :: self.spacing]
        self.embed = Columns(encoder.embed.weight)
        self.tokens = Rows(at_keyframes, encoder.embed.bias.expand(len(place), -1).clone())
        bias = source.token_bias[:, :: self.spacing].clone()
        self.encoder = nn.ModuleList(
            _EncoderLayer(cast(Layer, layer), place, self.spacing, bias) for layer in encoder.layers
        )
        self.normalises = isinstance(encoder.norm, nn.LayerNorm)
        self.denoise = Columns.after(encoder.norm, encoder.output)
        self.taps, self.spread = _spread(source)
        output = Columns.after(decoder.norm, decoder.output)
        shift = cast(Tensor, output.bias)
        self.rough = Rows(source.interpolation, shift.expand(self.window.frames, -1).clone())
        layers = [cast(CrossLayer, layer) for layer in decoder.layers]
        # The memory's keys and values in every layer, from what the last norm normalised.
        seen = [part for layer in layers for part in _parts(layer.cross, encoder.norm, place)[1:]]
        self.memory = _Placed(seen)
        hidden = source.memory_bias[:1]
        self.register_buffer("memory_bias", hidden.clone() if self.spacing > 1 else None)
        self.decoder = nn.ModuleList(_DecoderLayer(layer, source.position) for layer in layers)
        self.output = Columns(output.weight)
        like(network, self)

    def _recover(self, keyframes: Tensor) -> Tensor:
        """(..., Q+1, P) -> (..., T, P)."""
        x = self.tokens(self.embed(keyframes))
        for layer in self.encoder:
            x = layer(x)
        if self.normalises:
            x = normalised(x)
        denoised = self.denoise(x[..., :: self.spacing, :]) + keyframes
        seen = self.memory(x)
        # (..., Q+1, kernel*C) -> (..., (Q+1)*kernel, C)
        taps = self.taps(denoised)
        taps = taps.reshape(*taps.shape[:-2], -1, x.shape[-1])
        x = self.spread(taps)
        for layer, keys, values in zip(self.decoder, seen[0::2], seen[1::2], strict=True):
            x = layer(x, keys, values, self.memory_bias)
        return self.output.onto(self.rough(denoised), normalised(x))


def _spread(source: DeciWatch) -> tuple[Columns, Rows]:
    """Interpolation and convolution of keyframes (..., Q+1, P) as two maps.

    The first gives every tap of every keyframe, (..., Q+1, kernel*C); the second sums those rows
    (..., (Q+1)*kernel, C) into the window (..., T, C).
    """
    convolution, matrix = source.decoder.embed, source.interpolation
    reach, kernel = convolution.kernel_size[0] // 2, convolution.kernel_size[0]
    # Tap k of frame t reads frame t + k - reach; beyond the window there is nothing.
    padded = functional.pad(matrix, (0, 0, reach, reach))
    shifted = torch.stack([padded[tap : tap + len(matrix)] for tap in range(kernel)], -1)
    weight = convolution.weight.permute(2, 0, 1).flatten(0, 1)
    bias = cast(Tensor, convolution.bias)
    return Columns(weight), Rows(shifted.flatten(1), bias.expand(len(matrix), -1).clone())


Part = tuple[Tensor, Tensor]
"""The weight (D, C) of a map, and what is added to each row, (N, D)."""


def _parts(attention: MultiHeadAttention, norm: nn.Module, place: Tensor) -> tuple[Part, ...]:
    """Maps to queries (with the factor of the dot products), keys and values.

    norm: what precedes, and has only normalised: its scale and shift fold; place: (N, C), added
    for queries and keys. The values' bias is left out: it passes through to `_merge`.
    """
    scale, shift = torch.ones_like(place[0]), torch.zeros_like(place[0])
    if isinstance(norm, nn.LayerNorm):
        scale, shift = norm.weight, norm.bias
    query, key, value = attention.project.chunk(3)
    offsets = cast(Tensor, attention.project_bias).chunk(3)
    factor = (len(query) // attention.heads) ** -0.5
    placed = [(w, (place + shift) @ w.mT + b) for w, b in zip((query, key), offsets, strict=False)]
    (query, at_query), (key, at_key) = placed
    at_value = (shift @ value.mT).expand(len(place), -1)
    return (
        (factor * query * scale, factor * at_query),
        (key * scale, at_key),
        (value * scale, at_value),
    )


def _merge(attention: MultiHeadAttention) -> Columns:
    """The output map, with what the values' bias comes to."""
    values = cast(Tensor, attention.project_bias).chunk(3)[2]
    weight = attention.merge.weight
    return Columns(weight, weight @ values + offset(attention.merge))


class _Placed(nn.Module):
    """Several maps of the same rows in one: (..., N, C) -> several (..., N, D)."""

    added: Tensor

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        weights, added = zip(*parts, strict=True)
        self.map = Columns(torch.cat(weights))
        self.count = len(parts)
        self.register_buffer("added", torch.cat(added, -1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.map.onto(self.added, x).chunk(self.count, -1)


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
    """Queries (..., N, C), keys and values (..., M, C) -> (..., N, C), by H heads."""
    q, k, v = (x.view(*x.shape[:-1], heads, -1).transpose(-3, -2) for x in (query, key, value))
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
    return mixed.transpose(-3, -2).flatten(-2)


class _Layer(nn.Module):
    """What both kinds of layers share: parts are added, and normalised before or after."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.before = layer.before
        self.heads = layer.attention.heads
        self.merge = _merge(layer.attention)
        first, _, _, last = cast("tuple[nn.Linear, ...]", tuple(layer.feed))
        self.first = Columns.after(self.folds(layer.norm_feed), first)
        self.last = Columns.of(last)
        self.norm_attention, self.norm_feed = layer.norm_attention, layer.norm_feed

    def folds(self, norm: nn.LayerNorm) -> nn.Module:
        """What of a norm folds into the map after it: all but the normalising, or nothing."""
        return norm if self.before else nn.Identity()

    def enter(self, x: Tensor) -> Tensor:
        """What a part is given."""
        return normalised(x) if self.before else x

    def leave(self, x: Tensor, norm: nn.Module) -> Tensor:
        """The sum of a part's input and output, as the next part finds it."""
        left: Tensor = x if self.before else norm(x)
        return left

    def think(self, x: Tensor) -> Tensor:
        """The feed-forward part: (..., N, C) -> (..., N, C)."""
        thought = self.last(functional.leaky_relu(self.first(self.enter(x)), 0.01))
        return self.leave(x + thought, self.norm_feed)


class _EncoderLayer(_Layer):
    """Self-attention to keyframes, and feed-forward."""

    bias: Tensor

    def __init__(self, layer: Layer, place: Tensor, spacing: int, bias: Tensor) -> None:
        """place: (N, C); spacing: tokens from keyframe to keyframe; bias: (N, Q+1)."""
        super().__init__(layer)
        self.spacing = spacing
        query, *seen = _parts(layer.attention, self.folds(layer.norm_attention), place)
        self.query = _Placed([query])
        self.seen = _Placed([(weight, added[::spacing]) for weight, added in seen])
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., N, C) -> (..., N, C)."""
        u = self.enter(x)
        (query,) = self.query(u)
        key, value = self.seen(u[..., :: self.spacing, :])
        attended = self.merge(_attend(query, key, value, self.heads, self.bias))
        return self.think(self.leave(x + attended, self.norm_attention))


class _DecoderLayer(_Layer):
    """Self-attention, cross-attention to keys and values of the memory, and feed-forward."""

    def __init__(self, layer: CrossLayer, place: Tensor) -> None:
        """place: (T, C)."""
        super().__init__(layer)
        own = _parts(layer.attention, self.folds(layer.norm_attention), place)
        self.own = _Placed(own)
        self.query = _Placed(_parts(layer.cross, self.folds(layer.norm_cross), place)[:1])
        self.merge_cross = _merge(layer.cross)
        self.norm_cross = layer.norm_cross

    def forward(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """(..., T, C), keys and values (..., N, C), bias (1, N) -> (..., T, C)."""
        own_query, own_key, own_value = self.own(self.enter(x))
        attended = self.merge(_attend(own_query, own_key, own_value, self.heads, None))
        x = self.leave(x + attended, self.norm_attention)
        (query,) = self.query(self.enter(x))
        attended = self.merge_cross(_attend(query, key, value, self.heads, bias))
        return self.think(self.leave(x + attended, self.norm_cross))
