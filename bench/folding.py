"""What a method does, as a function that runs fast: its folded form, alone or in ONNX Runtime.

Shapes as in `bench.contracts`: a function takes keyframes (B, Q+1, P), or frames (B, T, P) for a
refiner, and gives (B, T, P).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.contracts import BadInput, Foldable

if TYPE_CHECKING:
    from torch import Tensor


def plain(method: Any) -> Callable[[Tensor], Tensor]:
    """What a method of recovery or a refiner does, as it is."""
    function: Callable[[Tensor], Tensor] = getattr(method, "refine", None) or method.recover
    return function


def folded(method: Any) -> Callable[[Tensor], Tensor]:
    """The method's form for inference; its weights are those of now.

    BadInput where the method has none, or none under its options.
    """
    if not isinstance(method, Foldable):
        raise BadInput("it has no folded form")
    return method.folded()


def in_batches(method: Any, batch: Tensor, threads: int) -> Callable[[Tensor], Tensor]:
    """What a method does in ONNX Runtime, folded if it can be, for batches of one size at most.

    batch: float32 on the CPU, as large as the largest will be; smaller ones are filled up, so that
    one model does for all. Making it takes a second: it is for many batches. BadInput without
    ONNX Runtime, or where the method has no such form.
    """
    import torch

    from bench.exporting import session, to_onnx

    run = plain(method)
    if isinstance(method, Foldable):
        method = run = folded(method)
    function = session(to_onnx(method, run, batch), threads)
    size = len(batch)

    def recovered(given: Tensor) -> Tensor:
        if len(given) > size:
            raise BadInput("a batch too large", found=len(given), expected=f"at most {size}")
        full = given
        if len(given) < size:
            full = torch.cat([given, given.new_zeros(size - len(given), *given.shape[1:])])
        return torch.from_numpy(function(full.numpy()))[: len(given)]

    return recovered
