"""Gaussian and Kalman smoothing: motions that are kept, direct solutions, and what is chosen."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from bench import registry
from bench.checks import Windows, keyframes_of, random_windows
from bench.contracts import BadInput, Window
from methods.interpolation import Linear, NoOptions
from methods.smoothing import Gaussian, Kalman, constant, smoothed

WINDOW = Window(interval=5, intervals=8, joints=2, dims=3)
MODELS = {"velocity": 2, "acceleration": 3}


def gaussian(sigma: float, window: Window = WINDOW) -> Gaussian:
    method = Gaussian(Gaussian.Options(), window)
    method.load_state_dict({"sigma": torch.tensor(sigma)})
    return method


def kalman(ratio: float, model: str = "velocity", window: Window = WINDOW) -> Kalman:
    method = Kalman(Kalman.Options(model=model), window)
    method.load_state_dict({"ratio": torch.tensor(ratio)})
    return method


def keyframes(count: int = 3) -> Tensor:
    return keyframes_of(random_windows(WINDOW, count, seed=0).detected, WINDOW)


def linear(given: Tensor) -> Tensor:
    return Linear(NoOptions(), WINDOW).recover(given)


def test_no_width_is_linear_interpolation() -> None:
    torch.testing.assert_close(gaussian(0.0).recover(keyframes()), linear(keyframes()))


def test_far_from_the_ends_it_is_the_filter_of_scipy() -> None:
    line = linear(keyframes().double())
    # Four sigmas and a half frame are 8: what lies beyond the ends reaches no further.
    expected = gaussian_filter1d(line.numpy(), 2.0, axis=1, mode="constant")
    found = gaussian(2.0).recover(keyframes().double())
    np.testing.assert_allclose(found[:, 8:-8], expected[:, 8:-8], atol=1e-12)
    assert (found - line).abs().max() > 1e-3


@pytest.mark.parametrize("sigma", [0.5, 3.0, 15.0])
def test_a_gaussian_keeps_straight_motions_and_ends(sigma: float) -> None:
    time = torch.arange(WINDOW.frames, dtype=torch.float64)[:, None]
    straight = (0.3 - 0.02 * time).repeat(1, 1, WINDOW.pose)
    method = gaussian(sigma)
    torch.testing.assert_close(method.recover(keyframes_of(straight, WINDOW)), straight)
    found, given = method.recover(keyframes()), keyframes()
    torch.testing.assert_close(found[:, [0, -1]], given[:, [0, -1]])


def test_beyond_the_end_a_motion_is_reflected_in_its_last_pose() -> None:
    # By hand: a corner one frame before the end is seen a second time, upside down, beyond it.
    window = Window(interval=1, intervals=20, joints=1, dims=1)
    bump = torch.zeros(1, 21, 1, dtype=torch.float64)
    bump[0, 19] = 1
    weights = gaussian_filter1d(np.eye(41)[20], 1.0)[16:25]
    found = gaussian(1.0, window).recover(bump)[0, :, 0]
    assert found[19].item() == pytest.approx(weights[4] - weights[6])
    assert found[18].item() == pytest.approx(weights[5] - weights[7])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 1.0])
def test_a_kalman_smoother_keeps_what_its_model_keeps(model: str, ratio: float) -> None:
    every = Window(interval=1, intervals=40, joints=1, dims=1)
    time = torch.arange(every.frames, dtype=torch.float64)[None, :, None] / every.frames
    method = kalman(ratio, model, every)
    for motion in (0 * time + 0.7, 0.7 - 2 * time):
        torch.testing.assert_close(method.recover(motion), motion, rtol=0, atol=1e-6)
    bent = time**2
    kept = (method.recover(bent) - bent).abs().max() < 1e-6
    assert kept == (model == "acceleration")


def solved(measured: np.ndarray, step: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Least squares for all states at once: every measurement and every step weighs its part."""
    frames, order = len(measured), len(step)
    precision = np.linalg.inv(noise)
    matrix, right = np.zeros((frames * order,) * 2), np.zeros((frames * order, measured.shape[1]))
    for t in range(frames):
        at = slice(t * order, (t + 1) * order)
        matrix[t * order, t * order] += 1
        right[t * order] += measured[t]
        if t + 1 < frames:
            after = slice((t + 1) * order, (t + 2) * order)
            matrix[at, at] += step.T @ precision @ step
            matrix[after, after] += precision
            matrix[at, after] -= step.T @ precision
            matrix[after, at] -= precision @ step
    return np.linalg.solve(matrix, right)[::order]


@pytest.mark.parametrize("order", MODELS.values())
@pytest.mark.parametrize("ratio", [1e-3, 0.1, 10.0])
def test_both_passes_are_the_least_squares_solution(order: int, ratio: float) -> None:
    step, noise = constant(order)
    measured = np.random.default_rng(0).normal(size=(9, 4))
    found = smoothed(measured, step, ratio * noise)
    np.testing.assert_allclose(found, solved(measured, step, ratio * noise), atol=1e-5)
    # It smooths, and the less noise it expects of the motion, the more.
    assert np.abs(np.diff(found, 2, axis=0)).sum() < np.abs(np.diff(measured, 2, axis=0)).sum()


def test_models_by_hand() -> None:
    step, noise = constant(3)
    np.testing.assert_allclose(step, [[1, 1, 0.5], [0, 1, 1], [0, 0, 1]])
    np.testing.assert_allclose(
        noise, [[1 / 20, 1 / 8, 1 / 6], [1 / 8, 1 / 3, 1 / 2], [1 / 6, 1 / 2, 1]]
    )
    step, noise = constant(2)
    np.testing.assert_allclose(step, [[1, 1], [0, 1]])
    np.testing.assert_allclose(noise, [[1 / 3, 1 / 2], [1 / 2, 1]])


def jittery(count: int, seed: int, noise: float = 0.05) -> Windows:
    """Slow motion under noise."""
    windows = random_windows(WINDOW, count, seed)
    generator = torch.Generator().manual_seed(seed)
    extra = torch.randn(windows.truth.shape, generator=generator)
    return Windows(WINDOW, windows.truth + noise * extra, windows.truth)


@pytest.mark.parametrize(("cls", "name"), [(Gaussian, "sigma"), (Kalman, "ratio")])
def test_the_parameter_with_the_least_validation_error_is_kept(cls: type, name: str) -> None:
    validation = jittery(100, 1)
    given, truth = keyframes_of(validation.detected, WINDOW), validation.truth
    method = cls(cls.Options(), WINDOW)
    chosen = method.fit(jittery(3, 2), validation)

    def error(method: object) -> float:
        return float((method.recover(given) - truth).unflatten(-1, (2, 3)).norm(dim=-1).mean())

    (candidates,) = (v for v in vars(method.options).values() if isinstance(v, tuple))
    one = {"sigma": gaussian, "ratio": kalman}[name]
    errors = {value: error(one(value)) for value in candidates}
    assert chosen == {name: min(errors, key=errors.__getitem__)}
    assert error(method) == pytest.approx(min(errors.values()))
    assert error(method) < 0.95 * error(Linear(NoOptions(), WINDOW))
    assert float(method.state_dict()[name]) == pytest.approx(chosen[name])


def test_perfect_keyframes_are_left_alone() -> None:
    still = torch.randn(1, 1, WINDOW.pose).expand(4, WINDOW.frames, WINDOW.pose)
    line = linear(torch.randn(4, WINDOW.keyframes, WINDOW.pose))
    method = Gaussian(Gaussian.Options(), WINDOW)
    # Nothing lies beyond no smoothing: that is no end of the grid.
    assert method.fit(Windows(WINDOW, still, still), Windows(WINDOW, line, line)) == {"sigma": 0.0}


def test_an_end_of_the_grid_is_told() -> None:
    few = Gaussian(Gaussian.Options(sigmas=(2.0, 0.5)), WINDOW)
    assert few.fit(jittery(3, 2), jittery(50, 1)) == {"sigma": 2.0, "at_grid_end": 1.0}
    assert Gaussian(Gaussian.Options(sigmas=(2.0,)), WINDOW).fit(jittery(3, 2), jittery(5, 1)) == {
        "sigma": 2.0
    }


@pytest.mark.parametrize("cls", [Gaussian, Kalman])
def test_needs_fitting_first(cls: type) -> None:
    method = cls(cls.Options(), WINDOW)
    for act in (method.state_dict, lambda: method.recover(keyframes())):
        with pytest.raises(RuntimeError, match="fitted before"):
            act()


@pytest.mark.parametrize("cls", [Gaussian, Kalman])
def test_refuses_what_it_cannot_choose_on(cls: type) -> None:
    windows = jittery(3, 0)
    empty = Windows(WINDOW, windows.detected[:0], windows.truth[:0])
    with pytest.raises(BadInput, match="no windows"):
        cls(cls.Options(), WINDOW).fit(windows, empty)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian", {"sigmas": []}),
        ("gaussian", {"sigmas": [-1.0]}),
        ("kalman", {"ratios": [0.0]}),
        ("kalman", {"ratios": [float("inf")]}),
    ],
)
def test_refuses_parameters_that_are_none(name: str, options: dict) -> None:
    with pytest.raises(BadInput, match="one or more finite numbers"):
        registry.build(name, options, WINDOW)
