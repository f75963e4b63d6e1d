"""Batched matrix products whose sums are long, split so that all of a GPU has a part of them.

The gradient of a weight is a small matrix that sums over all rows of a batch. For one network
cuBLAS splits such a sum; where networks are stacked, or joints and frames have matrices of their
own, it is a batched product, which it leaves to as many multiprocessors as there are tiles of
results: a few. Axes: R products, M and N rows and columns of a result, K terms of a sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Of a result, what one multiprocessor works at; and about as many tiles as keep a large GPU busy.
_TILE = 32
_TILES = 256

# Shorter sums are not worth a second pass.
_SHORTEST = 512


class SplitSums(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it lasts, `torch.bmm` of few results and long sums adds up parts of them.

    The backward pass too. It is meant for a step that is captured, which then pays nothing for it.
    What a method compiles by itself stays as it is.
    """

    supports_higher_order_operators = True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Whether torch.compile may go on inside: it sees nothing of this."""
        return True

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What torch asks for each operation: the same, but for those products."""
        if func is torch.ops.aten.bmm.default:
            a, b = args
            parts = parts_of(a, b)
            if parts > 1:
                return in_parts(a, b, parts)
        return func(*args, **(kwargs or {}))


def parts_of(a: Tensor, b: Tensor) -> int:
    """In how many parts to sum a product (R, M, K) x (R, K, N); 1 where it is best left whole."""
    R, M, K = a.shape
    tiles = R * -(-M // _TILE) * -(-b.shape[2] // _TILE)
    most = min(_TILES // max(tiles, 1), K // _SHORTEST)
    return next((parts for parts in range(most, 1, -1) if K % parts == 0), 1)


def in_parts(a: Tensor, b: Tensor, parts: int) -> Tensor:
    """(R, M, K) x (R, K, N) -> (R, M, N), the K terms in so many parts, which must divide K.

    Parts have the type of the factors, so that sums in bfloat16 are rounded once more.
    """
    (R, M, K), N = a.shape, b.shape[2]
    terms = K // parts
    left = a.reshape(R, M, parts, terms).transpose(1, 2).reshape(R * parts, M, terms)
    return torch.bmm(left, b.reshape(R * parts, terms, N)).view(R, parts, M, N).sum(1)
