"""People of raw Human3.6M put elsewhere in the room, with the detections they would have had there.

A lifter that is trained on few subjects learns where they stood and which way they faced. Here the
true pose is turned about the vertical, moved over the floor and scaled; the detection moves as the
projection of the truth does, and keeps its own error, nearer when the person is further away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.h36m import MOCAP_17, MOCAP_DETECTED, project

# The detector's joints among the 17 of a pose.
_DETECTED = [MOCAP_17.index(joint) for joint in MOCAP_DETECTED]


@dataclass(frozen=True)
class Placing:
    """How far people are moved.

    share: of the frames that are turned; degrees: a turn is uniform up to so many either way;
    shift: standard deviation over the floor in each direction, mm; scale: of the body's size,
    uniform with this standard deviation.
    """

    share: float
    degrees: float
    shift: float
    scale: float


@dataclass(frozen=True, eq=False)
class Scene:
    """What was in front of the cameras, frame by frame.

    pixels: (N, 16, 2) detections; poses: (N, 17, 3) mm relative to the hip, camera frame; hips:
    (N, 3) mm, camera frame; camera: (N,) row of the next three; lenses: (C, 9) as
    `bench.data.h36m.Camera.lens`; up: (C, 3) the vertical and floor: (C, 3) mm a point of the
    floor, both in the camera's frame.
    """

    pixels: Tensor
    poses: Tensor
    hips: Tensor
    camera: Tensor
    lenses: Tensor
    up: Tensor
    floor: Tensor

    def to(self, device: str) -> Scene:
        """The same on another device."""
        return Scene(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def placed(self, index: Tensor, placing: Placing) -> tuple[Tensor, Tensor]:
        """Frames (B,) drawn anew: detections (B, 16, 2) px and poses (B, 17, 3) mm.

        Draws from torch's global generator.
        """
        poses, hips, camera = self.poses[index], self.hips[index][:, None], self.camera[index]
        up, floor = self.up[camera][:, None], self.floor[camera][:, None]
        count, device = len(index), index.device
        angle = (torch.rand(count, device=device) * 2 - 1) * math.radians(placing.degrees)
        angle = angle * (torch.rand(count, device=device) < placing.share)
        size = 1 + placing.scale * math.sqrt(3) * (torch.rand(count, 1, 1, device=device) * 2 - 1)
        moved = turn(poses, up, angle) * size
        shift = torch.randn(count, 1, 3, device=device) * placing.shift
        shift = shift - up * (shift * up).sum(-1, keepdim=True)
        # A smaller person's hip is nearer the floor.
        height = ((hips - floor) * up).sum(-1, keepdim=True)
        place = hips + up * (size - 1) * height + shift
        lens = self.lenses[camera][:, None]
        before, after = (poses + hips)[:, _DETECTED], (moved + place)[:, _DETECTED]
        error = self.pixels[index] - project(before, lens)
        return project(after, lens) + error * (before[..., 2:] / after[..., 2:]), moved


def turn(points: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Points (B, J, 3) turned about unit axes (B, 1, 3) through the origin by (B,) radians."""
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    along = axis * (points * axis).sum(-1, keepdim=True)
    across = torch.linalg.cross(axis.expand_as(points), points)
    turned: Tensor = along + (points - along) * cos + across * sin
    return turned
