"""Training: every rule worked out by hand on a method with one weight and a constant gradient."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bench.config import Training
from bench.contracts import Window
from bench.data.clips import Clip, Dataset
from bench.data.skeletons import BODY_14
from bench.data.windows import Windows
from bench.evaluation import window_error
from bench.training import Diverged, train
from methods.smoothnet import SmoothNet, SmoothNetOptions

WINDOW = Window(interval=5, intervals=2, joints=14, dims=3)


def source(frames: int = 20, device: str = "cpu", every_frame: bool = False) -> Windows:
    """As many windows as frames."""
    rng = np.random.default_rng(3)
    poses = rng.normal(0, 0.3, (2, frames, 14, 3)).astype(np.float32)
    clip = Clip("a", "a", detected=poses[0], truth=poses[1])
    clips = {"train": (clip,), "validation": (clip,), "test": (clip,)}
    dataset = Dataset("d", "D", "E", "3d", 30, BODY_14, clips, "made here")
    return Windows(dataset, "train", WINDOW, device, every_frame=every_frame)


class Slope(nn.Module):
    """Its loss is its weight: with Adam every step lowers it by the rate, from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.drawn: list[int] = []

    def loss(self, keyframes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        assert keyframes.shape[1:] == (3, 42)
        assert truth.shape[1:] == (11, 42)
        assert self.training
        self.drawn.append(len(keyframes))
        return self.weight * 1


class Network(nn.Module):
    """Random weights, and dropout that draws at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(3 * 42, 11 * 42))

    def loss(self, keyframes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return (self.layers(keyframes.flatten(1)) - truth.flatten(1)).abs().mean()


def fit(method, settings, *, windows=None, seed=0, evaluations=1, judge=None, **rest):
    return train(
        method,
        windows or source(),
        settings,
        seed=seed,
        evaluations=evaluations,
        judge=judge,
        **rest,
    )


def trained_network(seed: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    network = Network().to(device)
    torch.rand(seed + 1)  # whatever was drawn before must not matter
    fit(network, Training(batch=8, windows=50), windows=source(device=device), seed=seed)
    return network.state_dict()


def test_a_seed_gives_the_same_weights_bit_for_bit_and_another_one_others():
    first, again, other = trained_network(1), trained_network(1), trained_network(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.cuda
def test_training_on_the_gpu_is_that_on_the_cpu():
    torch.manual_seed(7)
    weights = Slope().cuda()
    done = fit(
        weights, Training(batch=10, lr=1, decay=0.5, epochs=2), windows=source(device="cuda")
    )
    assert float(weights.weight.detach()) == pytest.approx(-3, rel=1e-5)
    assert done.selected == 40
    assert all(value.is_cuda for value in trained_network(1, "cuda").values())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"windows": 53}, [8] * 6 + [5]),
        ({"epochs": 3}, [8] * 7 + [4]),
        ({"windows": 5, "epochs": 3}, [5]),
        ({"epochs": 1}, [8, 8, 4]),
    ],
)
def test_exactly_so_many_windows_are_drawn(settings, expected):
    method = Slope()
    fit(method, Training(batch=8, **settings))
    assert method.drawn == expected


def test_every_epoch_draws_every_window_once_in_an_order_of_its_own():
    class Watched(Windows):
        def gather(self, index):
            seen.extend(index.tolist())
            return super().gather(index)

    seen: list[int] = []
    windows = source()
    windows.__class__ = Watched
    fit(Slope(), Training(batch=8, windows=53), windows=windows)
    epochs = [seen[:20], seen[20:40]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(20))] * 2
    assert epochs[0] != epochs[1]
    assert len(seen[40:]) == len(set(seen[40:])) == 13


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"schedule": "exponential", "decay": 0.5, "epochs": 3}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (
            {"schedule": "cosine", "windows": 40},
            [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)],
        ),
        (
            {"schedule": "steps", "decay": 0.1, "milestones": (0.5, 0.7), "windows": 60},
            [1, 1, 1, 0.1, 0.1, 0.01],
        ),
    ],
)
def test_schedules_lower_the_rate_as_worked_out_by_hand(settings, rates):
    method = Slope()
    values = []
    evaluations = len(rates)
    fit(
        method,
        Training(batch=10, lr=1, **settings),
        evaluations=evaluations,
        judge=lambda: values.append(float(method.weight.detach())) or -len(values),
    )
    assert -np.diff([0, *values]) == pytest.approx(rates, rel=1e-5)


def test_without_a_judge_the_last_weights_are_kept():
    method = Slope()
    done = fit(method, Training(batch=10, lr=1, decay=1, epochs=3), evaluations=3)
    assert float(method.weight.detach()) == pytest.approx(-6)
    assert done.selected == 60
    assert [sorted(entry) for entry in done.curve] == [["loss", "windows"]] * 3
    assert not method.training


def test_with_a_judge_the_weights_with_the_lowest_error_are_kept():
    method = Slope()
    asked = []

    def judge() -> float:
        assert not method.training
        asked.append(float(method.weight.detach()))
        return [3.0, 1.0, 2.0][len(asked) - 1]

    done = fit(method, Training(batch=10, lr=1, decay=1, epochs=3), evaluations=3, judge=judge)
    assert asked == pytest.approx([-2, -4, -6])
    assert float(method.weight.detach()) == pytest.approx(-4)
    assert done.selected == 40
    # Each step's loss is the weight before it; the mean is over the steps since the last entry.
    assert [entry["windows"] for entry in done.curve] == [20, 40, 60]
    assert [entry["loss"] for entry in done.curve] == pytest.approx([-0.5, -2.5, -4.5])
    assert [entry["selection"] for entry in done.curve] == [3, 1, 2]


def test_looks_are_spread_evenly_and_never_more_than_steps():
    told = []
    settings = Training(batch=10, windows=100)
    done = fit(Slope(), settings, evaluations=4, progress=lambda *said: told.append(said[:2]))
    assert [entry["windows"] for entry in done.curve] == [30, 50, 80, 100]
    assert told == [(30, 100), (50, 100), (80, 100), (100, 100)]
    done = fit(Slope(), Training(batch=10, windows=20), evaluations=9)
    assert [entry["windows"] for entry in done.curve] == [10, 20]


def test_a_loss_that_is_not_finite_stops_early_and_says_so():
    class Explodes(Slope):
        def loss(self, keyframes, truth):
            loss = super().loss(keyframes, truth)
            return loss * float("nan") if len(self.drawn) == 60 else loss

    method = Explodes()
    with pytest.raises(Diverged, match=r"the loss is nan after 200 windows; lower the rate \(0.1"):
        fit(method, Training(batch=2, lr=0.1, windows=2000))
    assert len(method.drawn) == 100


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"object is not a torch\.nn\.Module"):
        fit(object(), Training())


def test_a_refiner_is_trained_and_selected_on_every_frame():
    torch.manual_seed(0)
    method = SmoothNet(SmoothNetOptions(16, 8, 1, dropout=0.0, skip=1.0), WINDOW)
    windows = source(every_frame=True)
    before = window_error(method, windows, None)
    done = fit(
        method,
        Training(batch=10, lr=1e-2, windows=400),
        windows=windows,
        evaluations=2,
        judge=lambda: window_error(method, windows, None),
    )
    # Detections are noise here, without a word about the truth: less of them is better.
    assert done.curve[-1]["selection"] == window_error(method, windows, None) < 0.9 * before


def test_weights_decay_when_asked_to():
    def weight(**settings) -> float:
        method = Slope()
        with torch.no_grad():
            method.weight.fill_(1.0)
        loss = method.loss
        method.loss = lambda keyframes, truth: 0 * loss(keyframes, truth)
        fit(method, Training(batch=10, lr=0.1, schedule="cosine", windows=20, **settings))
        return float(method.weight.detach())

    assert weight() == 1.0
    # Two steps of Adam along the decay's gradient, whose size does not matter: 0.1 + 0.05.
    assert weight(weight_decay=0.5) == pytest.approx(0.85, abs=1e-3)
