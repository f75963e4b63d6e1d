"""The closed-form methods against direct solutions, and where data leave them no choice."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench import registry
from bench.checks import Windows, keyframes_of, random_windows
from bench.contracts import BadInput, Window
from methods.closed_form import LinearOffset, PenaltyOptions, Ridge, SharedFilter
from methods.interpolation import Linear, NoOptions

WINDOW = Window(interval=3, intervals=4, joints=2, dims=3)
ALL = [(LinearOffset, NoOptions()), (SharedFilter, PenaltyOptions()), (Ridge, Ridge.Options())]


def linear(keyframes: Tensor, window: Window = WINDOW) -> Tensor:
    return Linear(NoOptions(), window).recover(keyframes)


def keyframes(windows: Windows) -> Tensor:
    return keyframes_of(windows.detected, windows.window)


def lacking(windows: Windows) -> Tensor:
    """What linear interpolation lacks, (N, T, P)."""
    return windows.truth - linear(keyframes(windows), windows.window)


def error(method: object, windows: Windows) -> float:
    off = method.recover(keyframes(windows)) - windows.truth
    return float(off.unflatten(-1, (windows.window.joints, -1)).norm(dim=-1).mean())


def test_offset_is_the_mean_error() -> None:
    window = Window(2, 1, 1, 2)  # frames 0 and 2 are keyframes
    detected = torch.zeros(2, 3, 2)
    truth = torch.tensor([[[1.0, 0], [1, 0], [1, 6]], [[2.0, 0], [2, 0], [5, 0]]])
    method = LinearOffset(NoOptions(), window)
    assert method.fit(Windows(window, detected, truth), Windows(window, detected, truth)) == {}
    assert method.state_dict()["offset"].tolist() == [2.0, 1.0]
    assert method.recover(torch.zeros(1, 2, 2))[0].tolist() == [[2.0, 1.0]] * 3


@settings(deadline=None, max_examples=10)
@given(
    interval=st.integers(1, 5),
    intervals=st.integers(1, 4),
    dims=st.sampled_from([2, 3, 6]),
    count=st.integers(2, 700),
    penalty=st.sampled_from([1e-3, 0.1, 3.0]),
    shift=st.sampled_from([0.0, 100.0]),
)
def test_ridge_solves_the_normal_equations(
    interval: int, intervals: int, dims: int, count: int, penalty: float, shift: float
) -> None:
    window = Window(interval, intervals, 2, dims)
    train = random_windows(window, count, seed=0)
    train = Windows(window, train.detected + shift, train.truth + shift)
    method = Ridge(Ridge.Options((penalty,)), window)
    assert method.fit(train, train) == {"penalty": penalty}

    x, y = keyframes(train).flatten(1).double(), lacking(train).flatten(1).double()
    centred = x - x.mean(0)
    gram = centred.T @ centred / count
    loaded = gram + penalty * gram.diagonal().mean() * torch.eye(len(gram))
    weight = torch.linalg.solve(loaded, centred.T @ (y - y.mean(0)) / count)
    state = method.state_dict()
    torch.testing.assert_close(state["weight"].double(), weight, rtol=1e-3, atol=1e-3)
    bias = y.mean(0) - x.mean(0) @ state["weight"].double()
    torch.testing.assert_close(state["bias"].double(), bias, rtol=1e-3, atol=1e-3 * (1 + shift))


def test_equalised_features_are_penalised_alike() -> None:
    """Fully equalised, ridge is the ridge of features that have a variance of one."""
    train, count = random_windows(WINDOW, 500, seed=0), 500
    scales = torch.linspace(0.5, 4, WINDOW.pose)
    train = Windows(WINDOW, train.detected * scales, train.truth * scales)
    method = Ridge(Ridge.Options((0.3,), equalise=1.0), WINDOW)
    method.fit(train, train)
    x, y = keyframes(train).flatten(1).double(), lacking(train).flatten(1).double()
    centred = x - x.mean(0)
    deviation = centred.square().mean(0).sqrt()
    unit = centred / deviation
    loaded = unit.T @ unit / count + 0.3 * torch.eye(unit.shape[1])
    weight = torch.linalg.solve(loaded, unit.T @ (y - y.mean(0)) / count) / deviation[:, None]
    torch.testing.assert_close(method.state_dict()["weight"].double(), weight, rtol=1e-3, atol=1e-3)
    plain = Ridge(Ridge.Options((0.3,)), WINDOW)
    plain.fit(train, train)
    assert (plain.state_dict()["weight"] - weight).abs().max() > 0.01


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_features_cannot_be_equalised_further_than_fully(share: float) -> None:
    with pytest.raises(BadInput, match=r"equalise must lie in \[0, 1\]"):
        Ridge(Ridge.Options(equalise=share), WINDOW)


def test_ridge_under_a_huge_penalty_is_linear_plus_offset() -> None:
    train, other = random_windows(WINDOW, 100, seed=0), random_windows(WINDOW, 5, seed=1)
    method = Ridge(Ridge.Options((1e12,)), WINDOW)
    method.fit(train, train)
    expected = linear(keyframes(other)) + lacking(train).mean(0)
    torch.testing.assert_close(method.recover(keyframes(other)), expected, rtol=0, atol=1e-5)


def test_shared_filter_solves_the_normal_equations() -> None:
    train = random_windows(WINDOW, 1200, seed=0)
    method = SharedFilter(PenaltyOptions((0.01,)), WINDOW)
    method.fit(train, train)
    x = keyframes(train).double().transpose(1, 2).flatten(0, 1)  # one row per pose value
    y = lacking(train).double().transpose(1, 2).flatten(0, 1)
    gram = x.T @ x / len(x)
    loaded = gram + 0.01 * gram.diagonal().mean() * torch.eye(len(gram))
    weight = torch.linalg.solve(loaded, x.T @ y / len(x))
    torch.testing.assert_close(method.state_dict()["weight"].double(), weight, rtol=1e-4, atol=1e-4)


def test_shared_filter_treats_all_pose_values_alike() -> None:
    train = random_windows(WINDOW, 100, seed=0)
    method = SharedFilter(PenaltyOptions(), WINDOW)
    method.fit(train, train)
    given = keyframes(random_windows(WINDOW, 4, seed=1))
    order = torch.randperm(WINDOW.pose)
    torch.testing.assert_close(method.recover(given[..., order]), method.recover(given)[..., order])
    assert method.recover(torch.zeros_like(given)).abs().max() == 0


def test_a_linear_truth_is_found() -> None:
    # Every frame is one matrix times the keyframes: nothing is left once it is known.
    generator = torch.Generator().manual_seed(0)
    map_ = torch.randn(
        WINDOW.keyframes * WINDOW.pose, WINDOW.frames * WINDOW.pose, generator=generator
    )

    def windows(count: int) -> Windows:
        detected = torch.randn(count, WINDOW.frames, WINDOW.pose, generator=generator)
        truth = keyframes_of(detected, WINDOW).flatten(1) @ map_ + 3
        return Windows(WINDOW, detected, truth.view(count, WINDOW.frames, WINDOW.pose))

    method = Ridge(Ridge.Options((1e-7, 1.0)), WINDOW)
    assert method.fit(windows(2000), windows(100)) == {"penalty": 1e-7, "at_grid_end": 1.0}
    assert error(method, windows(50)) < 1e-3


@pytest.mark.parametrize("cls", [SharedFilter, Ridge])
def test_chooses_what_validation_says(cls: type) -> None:
    train, validation = random_windows(WINDOW, 60, seed=0), random_windows(WINDOW, 300, seed=1)
    grid = (1e-6, 1e-4, 1e-2, 1.0, 100.0)
    errors = []
    for penalty in grid:
        one = cls(cls.Options((penalty,)), WINDOW)
        one.fit(train, validation)
        errors.append(error(one, validation))
    method = cls(cls.Options(grid[::-1]), WINDOW)
    chosen = method.fit(train, validation)
    assert chosen["penalty"] == grid[errors.index(min(errors))]
    assert ("at_grid_end" in chosen) == (chosen["penalty"] in (1e-6, 100.0))
    assert error(method, validation) == pytest.approx(min(errors), rel=1e-5)


@pytest.mark.parametrize(("cls", "options"), ALL)
def test_better_than_linear_where_the_detector_is_biased(cls: type, options: object) -> None:
    train, validation, test = (random_windows(WINDOW, n, seed=n) for n in (500, 200, 100))
    method = cls(options, WINDOW)
    method.fit(train, validation)
    assert error(method, test) < error(Linear(NoOptions(), WINDOW), test)


@pytest.mark.parametrize(("cls", "options"), ALL)
@pytest.mark.parametrize("dims", [2, 3, 6])
def test_fewer_windows_than_features(cls: type, options: object, dims: int) -> None:
    window = dataclasses.replace(WINDOW, dims=dims)
    method = cls(options, window)
    method.fit(random_windows(window, 2, seed=0), random_windows(window, 1, seed=1))
    assert method.recover(keyframes(random_windows(window, 3, seed=2))).isfinite().all()


@pytest.mark.parametrize(("cls", "options"), ALL)
def test_needs_fitting_first(cls: type, options: object) -> None:
    method = cls(options, WINDOW)
    for act in (method.state_dict, lambda: method.recover(torch.zeros(1, 5, 6))):
        with pytest.raises(RuntimeError, match="fitted before"):
            act()


@pytest.mark.parametrize(("cls", "options"), ALL)
def test_refuses_what_it_cannot_learn_from(cls: type, options: object) -> None:
    windows = random_windows(WINDOW, 3, seed=0)
    empty = Windows(WINDOW, windows.detected[:0], windows.truth[:0])
    with pytest.raises(BadInput, match="no windows"):
        cls(options, WINDOW).fit(empty, windows)
    windows.detected[1, 0, 0] = torch.nan
    with pytest.raises(BadInput, match=r"not finite.*fill missed detections"):
        cls(options, WINDOW).fit(windows, windows)


def test_refuses_the_parameters_of_another_window() -> None:
    with pytest.raises(
        BadInput, match=r"found \{'offset': \(3,\)\}; expected \{'offset': \(6,\)\}"
    ):
        LinearOffset(NoOptions(), WINDOW).load_state_dict({"offset": torch.zeros(3)})


@pytest.mark.parametrize("penalties", [[], [0.0], [-1.0, 1.0], [float("inf")]])
def test_refuses_penalties_that_are_none(penalties: list[float]) -> None:
    with pytest.raises(BadInput, match="finite numbers above zero"):
        registry.build("ridge", {"penalties": penalties}, WINDOW)
