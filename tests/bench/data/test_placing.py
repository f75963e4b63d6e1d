"""People placed elsewhere: what stays, what moves, and how detections follow."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import h36m
from bench.data.placing import _DETECTED, Placing, Scene, turn

NOWHERE = Placing(share=0.0, degrees=0.0, shift=0.0, scale=0.0)


def lens() -> np.ndarray:
    return np.array([1145.0, 1143.0, 512.5, 515.4, -0.2, 0.24, -0.002, -0.0009, -0.0014])


def scene(frames: int = 50, error: float = 5.0) -> Scene:
    """People on a floor 4 to 6 m before a camera that looks level, 1.6 m above it."""
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(frames, 17, 3)) * 300
    poses[:, 0] = 0
    hips = np.stack(
        [rng.uniform(-800, 800, frames), np.full(frames, 700.0), rng.uniform(4e3, 6e3, frames)], 1
    )
    seen = h36m.project((poses + hips[:, None])[:, _DETECTED], lens())
    return Scene(
        pixels=torch.from_numpy(seen + error * rng.normal(size=seen.shape)).float(),
        poses=torch.from_numpy(poses).float(),
        hips=torch.from_numpy(hips).float(),
        camera=torch.zeros(frames, dtype=torch.long),
        lenses=torch.from_numpy(lens()[None]).float(),
        up=torch.tensor([[0.0, -1.0, 0.0]]),
        floor=torch.tensor([[0.0, 1600.0, 0.0]]),
    )


def projected(poses: torch.Tensor, hips: torch.Tensor) -> torch.Tensor:
    return h36m.project((poses + hips[:, None])[:, _DETECTED], torch.from_numpy(lens()).float())


def test_the_detectors_joints_are_found_among_the_seventeen():
    assert [h36m.MOCAP_17[j] for j in _DETECTED] == list(h36m.MOCAP_DETECTED)


def test_nobody_moves_when_nobody_shall():
    here = scene()
    pixels, poses = here.placed(torch.arange(50), NOWHERE)
    torch.testing.assert_close(poses, here.poses)
    torch.testing.assert_close(pixels, here.pixels, rtol=0, atol=2e-3)


def test_turning_by_hand():
    point = torch.tensor([[[1.0, 2.0, 0.0]]])
    up = torch.tensor([[[0.0, 1.0, 0.0]]])
    quarter = turn(point, up, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(quarter, torch.tensor([[[0.0, 2.0, -1.0]]]), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.floats(-7, 7))
def test_a_turn_keeps_lengths_and_heights(angle):
    points, up = scene(4).poses, torch.tensor([[[0.0, -1.0, 0.0]]]).expand(4, 1, 3)
    turned = turn(points, up, torch.full((4,), angle))
    torch.testing.assert_close(turned.norm(dim=-1), points.norm(dim=-1), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(turned[..., 1], points[..., 1], rtol=1e-4, atol=1e-2)


def test_only_a_share_is_turned_and_no_further_than_asked():
    here = scene(2000)
    _, poses = here.placed(torch.arange(2000), Placing(0.3, 40, 0, 0))
    before = torch.atan2(here.poses[:, 1, 2], here.poses[:, 1, 0])
    after = torch.atan2(poses[:, 1, 2], poses[:, 1, 0])
    angle = torch.rad2deg(torch.remainder(after - before + math.pi, 2 * math.pi) - math.pi).abs()
    assert angle.max() <= 40.1
    assert (angle > 1e-2).float().mean() == pytest.approx(0.3, abs=0.04)


def test_a_scaled_person_keeps_the_feet_on_the_floor():
    here = scene(300)
    torch.manual_seed(0)
    pixels, poses = here.placed(torch.arange(300), Placing(0, 0, 0, 0.1))
    size = poses[:, 1].norm(dim=-1) / here.poses[:, 1].norm(dim=-1)
    assert size.std() == pytest.approx(0.1, abs=0.01)
    assert size.min() >= 1 - 0.1 * math.sqrt(3) - 1e-4
    # The hip is 900 mm above the floor: a person of 0.9 has it at 810 mm, so 90 mm lower.
    hips = here.hips + torch.tensor([0.0, 900.0, 0.0]) * (1 - size)[:, None]
    exact = scene(300, error=0.0)
    torch.manual_seed(0)
    pixels, poses = exact.placed(torch.arange(300), Placing(0, 0, 0, 0.1))
    torch.testing.assert_close(pixels, projected(poses, hips), rtol=0, atol=0.01)


def test_a_shift_is_along_the_floor_and_as_wide_as_asked():
    here = scene(2000, error=0.0)
    still = Scene(**{**vars(here), "poses": torch.zeros_like(here.poses)})
    still = Scene(**{**vars(still), "pixels": projected(still.poses, still.hips)})
    torch.manual_seed(3)
    pixels, poses = still.placed(torch.arange(2000), Placing(0, 0, 100, 0))
    assert not poses.any()
    # Undistorted, the row tells how far a point of known height has come: y / z = 700 / z.
    moved = (pixels[:, 0] - still.pixels[:, 0]).abs()
    assert 5 < moved[:, 0].mean() < 40
    assert moved[:, 1].mean() < moved[:, 0].mean() / 3


def test_a_detections_error_shrinks_with_the_distance():
    here, exact = scene(200), scene(200, error=0.0)
    index, far = torch.arange(200), Placing(0, 0, 800, 0)
    torch.manual_seed(5)
    noisy, _ = here.placed(index, far)
    torch.manual_seed(5)
    clean, _ = exact.placed(index, far)
    ratio = (noisy - clean) / (here.pixels - exact.pixels)
    # One factor for both coordinates of a joint: the old depth over the new one.
    torch.testing.assert_close(ratio[..., 0], ratio[..., 1], rtol=0.05, atol=0.05)
    assert ratio.std() > 0.05
    assert ratio.median() == pytest.approx(1.0, abs=0.1)


@pytest.mark.cuda
def test_placing_on_a_gpu():
    here = scene().to("cuda")
    pixels, poses = here.placed(torch.arange(50, device="cuda"), Placing(0.5, 60, 300, 0.04))
    assert pixels.device.type == poses.device.type == "cuda"
    assert pixels.isfinite().all()
