"""Prediction scored: what a method is handed, horizon by horizon, and what comes out."""

import numpy as np
import pytest
import torch

from bench.contracts import Span
from bench.data.clips import Clip, Dataset, Skeleton
from bench.data.histories import Histories
from bench.prediction import draw, evaluate, future_error
from bench.protocols import protocol

SPAN = Span(10, 10, 2, 3)


def line(recording: str, frames: int, speed: float) -> Clip:
    """Both joints move along x by `speed` metres a frame."""
    poses = np.zeros((frames, 2, 3), np.float32)
    poses[..., 0] = np.arange(frames)[:, None] * speed
    return Clip(recording, recording, poses, poses)


def dataset() -> Dataset:
    clips = (line("S5/walking_1", 400, 0.01), line("S5/walking_2", 300, 0.02))
    return Dataset(
        "toy", "Toy", "none", "3d", 25, Skeleton("two", ("a", "b")),
        {"train": clips, "validation": clips, "test": clips}, "here",
    )  # fmt: skip


class Still:
    """Repeats the last frame; remembers what it was asked."""

    def __init__(self, per_horizon: bool = False) -> None:
        self.per_horizon = per_horizon
        self.asked: list[tuple[tuple[int, ...], int]] = []

    def predict(self, history: torch.Tensor, frames: int) -> torch.Tensor:
        self.asked.append((tuple(history.shape), frames))
        return history[:, -1:].expand(-1, frames, -1)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("h36m-horizon", {80: 2, 160: 4, 320: 8, 400: 10}),
     ("h36m-average", {80: 1.5, 160: 2.5, 320: 4.5, 400: 5.5})],
)  # fmt: skip
def test_standing_still_while_the_truth_moves_on(name, factor):
    method = Still()
    scores, scored = evaluate(method, dataset(), "test", protocol(name), SPAN)
    assert [score.recording for score in scores] == ["S5/walking_1", "S5/walking_2"]
    for score, speed in zip(scores, (10, 20), strict=True):
        expected = {f"mpjpe@{ms}": pytest.approx((n * speed, 128.0)) for ms, n in factor.items()}
        assert score.values == expected
    assert (scored.clips, scored.frames, scored.joints) == (256, 2560, 2)
    assert method.asked == [((128, 10, 6), 10)] * 2


class Drifting(Still):
    """Off by a millimetre more for every frame that it is asked for, in all of them."""

    def predict(self, history: torch.Tensor, frames: int) -> torch.Tensor:
        moved = super().predict(history, frames).clone()
        moved[..., ::3] += 0.001 * frames
        return moved


@pytest.mark.parametrize(
    ("per_horizon", "asked", "drift"),
    [(True, [2, 4, 8, 10], {80: 2, 160: 4, 320: 8, 400: 10}),
     (False, [10], {80: 10, 160: 10, 320: 10, 400: 10})],
)  # fmt: skip
def test_a_model_for_each_horizon_is_asked_for_each(per_horizon, asked, drift):
    method = Drifting(per_horizon)
    scores, _ = evaluate(method, dataset(), "test", protocol("h36m-horizon"), SPAN)
    assert [frames for _, frames in method.asked] == asked * 2
    for score, speed in zip(scores, (10, 20), strict=True):
        moved = {80: 2 * speed, 160: 4 * speed, 320: 8 * speed, 400: 10 * speed}
        assert score.values == {
            f"mpjpe@{ms}": pytest.approx((moved[ms] - off, 128.0), rel=1e-4)
            for ms, off in drift.items()
        }


def test_what_is_drawn_lies_around_its_first_future_frame():
    clip = line("S5/walking_1", 400, 1.0)
    history, future = draw(clip, np.array([100, 300]), SPAN)
    assert history[:, :, 0].tolist() == [list(range(90, 100)), list(range(290, 300))]
    assert future[:, :, 3].tolist() == [list(range(100, 110)), list(range(300, 310))]


def test_selection_sees_the_mean_over_all_future_frames():
    made = dataset()
    clips = (made.clips["test"][0],)
    one = Dataset(**{**vars(made), "clips": dict.fromkeys(("train", "validation", "test"), clips)})
    error = future_error(Still(), Histories(one, "validation", SPAN), None)
    assert error == pytest.approx(0.055, rel=1e-4)


def test_some_clips_alone_may_be_scored():
    scores, scored = evaluate(Still(), dataset(), "test", protocol("h36m-average-8"), SPAN, most=1)
    assert len(scores) == 1
    assert scored.clips == 4
