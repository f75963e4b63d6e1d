"""Missed detections: what stands in for them in the keyframes that a method sees."""

from __future__ import annotations

import torch
from torch import Tensor


def fill_missing(keyframes: Tensor, dims: int) -> Tensor:
    """Replace missed detections (NaN) in keyframes by what the same window's keyframes tell.

    keyframes: (B, Q+1, P); dims: D. A coordinate is interpolated linearly between the nearest
    keyframes that have it, and held constant beyond the first and the last one. A coordinate that
    no keyframe has becomes the mean of the other joints' same coordinate in its keyframe, or 0
    where there is none. Returns (B, Q+1, P). Never waits for a GPU.
    """
    missed = keyframes.isnan()
    # Asking a GPU would stop it, and cannot be part of a captured graph.
    if keyframes.device.type == "cpu" and not missed.any():
        return keyframes
    count = keyframes.shape[1]
    place = torch.arange(count, device=keyframes.device)[None, :, None].expand_as(keyframes)
    before = place.masked_fill(missed, -1).cummax(1).values
    after = place.masked_fill(missed, count).flip(1).cummin(1).values.flip(1)
    # Beyond the first and the last detection both neighbours are the same one.
    left = torch.where(before < 0, after, before).clamp(max=count - 1)
    right = torch.where(after >= count, before, after).clamp(min=0)
    share = (place - left) / (right - left).clamp(min=1)
    low, high = keyframes.gather(1, left), keyframes.gather(1, right)
    filled = torch.where(missed, low + share.to(low) * (high - low), keyframes)
    joints = filled.reshape(*filled.shape[:-1], -1, dims)
    centre = joints.nanmean(-2, keepdim=True).nan_to_num(0.0)
    return torch.where(joints.isnan(), centre, joints).flatten(-2)
