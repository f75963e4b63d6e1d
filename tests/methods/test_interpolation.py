"""The interpolators against scipy, by hand, and against the clock."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from bench.contracts import BadInput, Window
from methods.interpolation import Cubic, Estimator, Linear, Nearest, NoOptions, Quadratic

KINDS = {"nearest": Nearest, "linear": Linear, "quadratic": Quadratic, "cubic": Cubic}
NEEDED = {"nearest": 2, "linear": 2, "quadratic": 3, "cubic": 4}


def scipy_says(keyframes: np.ndarray, window: Window, kind: str) -> np.ndarray:
    times = np.arange(window.keyframes) * window.interval
    return interp1d(times, keyframes, axis=1, kind=kind)(np.arange(window.frames))


def recover(kind: str, keyframes: list[float], interval: int) -> list[float]:
    window = Window(interval, len(keyframes) - 1, 1, 1)
    given = torch.tensor(keyframes, dtype=torch.float64)[None, :, None]
    return KINDS[kind](NoOptions(), window).recover(given)[0, :, 0].tolist()


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_equals_scipy(kind: str, data: st.DataObject) -> None:
    window = Window(
        interval=data.draw(st.integers(1, 16), "K"),
        intervals=data.draw(st.integers(NEEDED[kind] - 1, 15), "Q"),
        joints=data.draw(st.integers(1, 6), "J"),
        dims=data.draw(st.sampled_from([1, 2, 3, 6]), "D"),
    )
    batch = data.draw(st.integers(1, 5), "B")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    keyframes = rng.normal(0.0, 10.0, (batch, window.keyframes, window.pose))

    recovered = KINDS[kind](NoOptions(), window).recover(torch.from_numpy(keyframes))

    assert recovered.dtype == torch.float64
    np.testing.assert_allclose(
        recovered.numpy(), scipy_says(keyframes, window, kind), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("interval", [2, 4, 10])
def test_nearest_rounds_half_down(interval: int) -> None:
    window = Window(interval, 3, 1, 1)
    keyframes = np.arange(4.0)[None, :, None]
    frames = recover("nearest", [0.0, 1.0, 2.0, 3.0], interval)
    assert frames == scipy_says(keyframes, window, "nearest")[0, :, 0].tolist()
    assert [frames[interval // 2 + interval * q] for q in range(3)] == [0.0, 1.0, 2.0]


def test_by_hand() -> None:
    assert recover("nearest", [1.0, 5.0], 3) == [1.0, 1.0, 5.0, 5.0]
    assert recover("linear", [0.0, 4.0, 2.0], 2) == [0.0, 2.0, 4.0, 3.0, 2.0]
    parabola = [float(t * t) for t in range(7)]
    assert recover("quadratic", parabola[::2], 2) == pytest.approx(parabola)
    cubic = [float(t**3 - 4 * t) for t in range(10)]
    assert recover("cubic", cubic[::3], 3) == pytest.approx(cubic)


@pytest.mark.parametrize("kind", KINDS)
def test_keeps_float32(kind: str) -> None:
    window = Window(10, 10, 17, 3)
    keyframes = np.random.default_rng(0).normal(size=(3, 11, 51)).astype(np.float32)
    recovered = KINDS[kind](NoOptions(), window).recover(torch.from_numpy(keyframes))
    assert recovered.dtype == torch.float32
    np.testing.assert_allclose(recovered, scipy_says(keyframes, window, kind), atol=2e-6)


@pytest.mark.parametrize(("kind", "intervals"), [("quadratic", 1), ("cubic", 1), ("cubic", 2)])
def test_too_few_keyframes(kind: str, intervals: int) -> None:
    line = rf"{kind}.*found {intervals + 1} .*expected at least {NEEDED[kind]}"
    with pytest.raises(BadInput, match=line):
        KINDS[kind](NoOptions(), Window(10, intervals, 2, 3))


def test_linear_passes_gradients() -> None:
    keyframes = torch.zeros(1, 3, 1, requires_grad=True)
    Linear(NoOptions(), Window(2, 2, 1, 1)).recover(keyframes).sum().backward()
    assert keyframes.grad.flatten().tolist() == [1.5, 2.0, 1.5]


def test_estimator_says_what_it_is_given() -> None:
    frames = torch.rand(2, 5, 6)
    assert torch.equal(Estimator(NoOptions(), Window(2, 2, 2, 3)).refine(frames), frames)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "least"), [(np.float32, 8.0), (np.float64, 3.0)])
@pytest.mark.parametrize("kind", ["linear", "quadratic", "cubic"])
def test_faster_than_scipy(
    kind: str, dtype: type, least: float, capsys: pytest.CaptureFixture[str]
) -> None:
    # Poses are float32, and there the factor is promised; float64 moves twice the memory.
    window = Window(10, 10, 17, 3)
    keyframes = np.random.default_rng(0).normal(size=(256, 11, 51)).astype(dtype)
    tensor = torch.from_numpy(keyframes)
    method = KINDS[kind](NoOptions(), window)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def seconds(run: Callable[[], object]) -> float:
        # Of this thread, so that what else the machine does counts for neither side.
        times = []
        for _ in range(7):
            start = time.thread_time()
            run()
            times.append(time.thread_time() - start)
        return statistics.median(times)

    try:
        ratios = [
            seconds(lambda: scipy_says(keyframes, window, kind))
            / seconds(lambda: method.recover(tensor))
            for _ in range(7)
        ]
    finally:
        torch.set_num_threads(threads)
    ratio = statistics.median(ratios)
    with capsys.disabled():
        print(f"\n{kind} {np.dtype(dtype).name}: {ratio:.1f} times as fast as interp1d")
    assert ratio >= least
