"""Clips end to end as one array: the very file they lie in, where they do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bench.data.clips import Array


def end_to_end(parts: Sequence[Array]) -> Tensor:
    """Poses (T_i, J, D) one after the other as (N, P); copied only where they lie apart.

    Prepared data lies together, so that this reads nothing: the memory map is read where it is
    gathered from, and processes share it.
    """
    whole = _base(parts)
    if whole is None:
        whole = np.concatenate(parts)
    return torch.from_numpy(whole.reshape(len(whole), -1))


def _base(parts: Sequence[Array]) -> Array | None:
    """The one array whose consecutive slices `parts` are, or None when they are not."""
    base = parts[0].base
    if not isinstance(base, np.ndarray) or base.shape[1:] != parts[0].shape[1:]:
        return None
    step = base.strides[0]
    address = [part.__array_interface__["data"][0] for part in parts]
    follow = all(
        second - first == len(part) * step
        for (first, second), part in zip(pairwise(address), parts, strict=False)
    )
    same = all(part.base is base and part.strides == base.strides for part in parts)
    whole = len(base) == sum(len(part) for part in parts)
    return base if follow and same and whole else None
