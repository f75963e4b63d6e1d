"""SmoothNet's two uses, its loss and its start; outputs and sizes: test_reference_numbers.py."""

from dataclasses import replace

import pytest
import torch

from bench import registry
from bench.checks import random_windows
from bench.contracts import BadInput, Window
from methods.interpolation import Linear, NoOptions
from methods.layers import cosines
from methods.smoothnet import SmoothNet, SmoothNetAfterLinear, SmoothNetOptions

WINDOW = Window(interval=4, intervals=5, joints=2, dims=3)
SMALL = SmoothNetOptions(width=16, inner=8, blocks=2, dropout=0.0)
SKIP = SmoothNetOptions(width=16, inner=8, blocks=2, dropout=0.0, skip=1.0)


def test_after_linear_is_the_same_network_on_the_interpolated_window() -> None:
    torch.manual_seed(0)
    every, sparse = SmoothNet(SMALL, WINDOW), SmoothNetAfterLinear(SMALL, WINDOW)
    sparse.load_state_dict(every.state_dict())
    keyframes = random_windows(WINDOW, 3, seed=0).detected[:, ::4]
    line = Linear(NoOptions(), WINDOW).recover(keyframes)
    torch.testing.assert_close(sparse.recover(keyframes), every.refine(line))


def test_pose_values_are_smoothed_alone_and_alike() -> None:
    method = SmoothNet(SMALL, WINDOW)
    frames = random_windows(WINDOW, 2, seed=0).detected
    order = torch.randperm(WINDOW.pose)
    found = method.refine(frames)
    torch.testing.assert_close(method.refine(frames[..., order]), found[..., order])
    other = frames.clone()
    other[..., 1:] += 1
    torch.testing.assert_close(method.refine(other)[..., 0], found[..., 0])


def test_with_a_skip_it_starts_from_its_input() -> None:
    windows = random_windows(WINDOW, 3, seed=0)
    torch.testing.assert_close(SmoothNet(SKIP, WINDOW).refine(windows.detected), windows.detected)
    keyframes = windows.detected[:, ::4]
    line = Linear(NoOptions(), WINDOW).recover(keyframes)
    torch.testing.assert_close(SmoothNetAfterLinear(SKIP, WINDOW).recover(keyframes), line)


def test_with_a_part_of_a_skip_it_starts_from_the_slow_part_of_its_input() -> None:
    # A fifth of 21 frequencies is five: those of 0 to 4 half-waves pass, the next does not.
    options = SmoothNetOptions(width=16, inner=8, blocks=2, skip=0.2)
    waves = cosines(21)[:, :, None].repeat(1, 1, WINDOW.pose)
    with torch.no_grad():
        found = SmoothNet(options, WINDOW).refine(waves)
    torch.testing.assert_close(found[:5], waves[:5])
    assert found[5:].abs().max() < 1e-6


@pytest.mark.parametrize("skip", [0.0, 0.3, 1.0])
def test_learning_makes_it_smoother_than_its_input(skip: float) -> None:
    windows = random_windows(WINDOW, 64, seed=0)
    torch.manual_seed(0)
    method = SmoothNet(replace(SMALL, skip=skip), WINDOW)
    optimiser = torch.optim.Adam(method.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        method.loss(windows.detected, windows.truth).backward()
        optimiser.step()
    test = random_windows(WINDOW, 32, seed=1)
    with torch.no_grad():
        found = method.refine(test.detected)
    assert (found - test.truth).abs().mean() < 0.7 * (test.detected - test.truth).abs().mean()
    assert found.diff(n=2, dim=1).abs().mean() < test.detected.diff(n=2, dim=1).abs().mean()


def test_the_loss_by_hand() -> None:
    # One pose value, three frames off by 1, 0 and 3: positions 4/3, second difference 1 - 0 + 3.
    window = Window(interval=1, intervals=2, joints=1, dims=1)
    truth = torch.zeros(1, 3, 1)
    frames = torch.tensor([1.0, 0, 3])[None, :, None]
    for method in (SmoothNet(SKIP, window), SmoothNetAfterLinear(SKIP, window)):
        assert method.loss(frames, truth).item() == pytest.approx(4 / 3 + 0.1 * 4)


def test_each_is_registered_by_what_it_sees() -> None:
    assert registry.sees("smoothnet") == "frames"
    assert registry.sees("smoothnet-linear") == "keyframes"
    assert {registry.kind(name) for name in ("smoothnet", "smoothnet-linear")} == {"trainable"}


def test_frames_of_another_window_are_refused() -> None:
    with pytest.raises(BadInput, match=r"found \(1, 20, 6\); expected \(B, 21, 6\)"):
        SmoothNet(SMALL, WINDOW).refine(torch.zeros(1, 20, 6))
    with pytest.raises(BadInput, match=r"found \(1, 21, 6\); expected \(B, 6, 6\)"):
        SmoothNetAfterLinear(SMALL, WINDOW).recover(torch.zeros(1, 21, 6))


def test_two_frames_are_too_few() -> None:
    with pytest.raises(
        BadInput, match="too few frames for SmoothNet; found 2; expected at least 3"
    ):
        SmoothNet(SMALL, Window(1, 1, 2, 3))


@pytest.mark.parametrize("skip", [-0.1, 1.5])
def test_a_skip_is_a_share(skip: float) -> None:
    with pytest.raises(BadInput, match=r"skip must lie in \[0, 1\]"):
        registry.build("smoothnet", {"skip": skip}, WINDOW)


@pytest.mark.parametrize(("option", "value"), [("inner", 0), ("blocks", 0), ("dropout", 1.0)])
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(BadInput, match=f"option {option} must"):
        SmoothNet(SmoothNetOptions(**{option: value}), WINDOW)
