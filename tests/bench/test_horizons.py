"""Protocols of motion prediction: draws, joints that count more than once, and the two errors."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench import config
from bench.contracts import BadInput
from bench.data.clips import Clip, Skeleton
from bench.data.skeletons import H36M_22
from bench.horizons import METRICS, PROTOCOLS, horizons
from bench.protocols import metrics_of, protocol

PLAIN = Skeleton("plain-2", ("a", "b"))


def clip(recording: str, frames: int) -> Clip:
    poses = np.zeros((frames, 2, 3), np.float32)
    return Clip(recording, recording, poses, poses)


def test_the_literatures_horizons_at_25_frames_per_second():
    assert list(horizons(25, 25).values()) == [2, 4, 8, 10, 14, 18, 22, 25]
    assert horizons(25, 10) == {"mpjpe@80": 2, "mpjpe@160": 4, "mpjpe@320": 8, "mpjpe@400": 10}
    assert horizons(25, 1) == {}
    assert list(horizons(50, 25)) == ["mpjpe@80", "mpjpe@160", "mpjpe@320", "mpjpe@400"]


@pytest.mark.parametrize("name", ["h36m-motion", "cmu-motion"])
def test_motion_capture_is_predicted_up_to_the_last_horizon(name):
    made = config.dataset_config(name)
    assert list(horizons(made.fps, made.future)) == list(METRICS)


def test_draws_are_those_of_the_literature():
    """Each action starts anew from the seed; its two takes are drawn from in turn."""
    clips = [clip("S5/walking_2", 700), clip("S5/eating_1", 500), clip("S5/walking_1", 900)]
    clips += [clip("S5/eating_2", 600), clip("S5/waiting_2", 600)]  # the other one is missing
    random = np.random.RandomState(1234567890)
    expected: dict[str, list[int]] = {"S5/walking_1": [], "S5/walking_2": []}
    for _ in range(128):
        expected["S5/walking_1"].append(random.randint(16, 750) + 50)
        expected["S5/walking_2"].append(random.randint(16, 550) + 50)
    drawn = {c.recording: list(starts) for c, starts in PROTOCOLS["h36m-average"].starts(clips)}
    assert list(drawn) == ["S5/eating_1", "S5/eating_2", "S5/walking_1", "S5/walking_2"]
    assert {name: drawn[name] for name in expected} == expected
    random = np.random.RandomState(1234567890)
    assert drawn["S5/eating_1"][0] == random.randint(16, 350) + 50


def test_eight_clips_are_the_first_of_the_256():
    clips = [clip("S5/walking_1", 700), clip("S5/walking_2", 800)]
    for name in ("h36m-average", "h36m-horizon"):
        many = [starts for _, starts in PROTOCOLS[name].starts(clips)]
        few = [starts for _, starts in PROTOCOLS[f"{name}-8"].starts(clips)]
        assert [len(starts) for starts in (*many, *few)] == [128, 128, 4, 4]
        assert all((a[:4] == b).all() for a, b in zip(many, few, strict=True))


@settings(deadline=None, max_examples=20)
@example(167, 168)  # a single frame to draw, and two, both of which are drawn
@given(st.integers(167, 2000), st.integers(167, 2000))
def test_a_draw_leaves_a_history_and_a_future_of_the_literature(first, second):
    clips = [clip("S5/walking_1", first), clip("S5/walking_2", second)]
    for each, starts in PROTOCOLS["h36m-horizon"].starts(clips):
        assert starts.min() >= 16 + 50
        assert starts.max() <= each.frames - 150 - 1 + 50
        if each.frames <= 168:
            assert set(starts) == set(range(16 + 50, each.frames - 150 + 50))


def test_a_clip_that_is_too_short_is_named():
    clips = [clip("S5/walking_1", 166), clip("S5/walking_2", 167)]
    with pytest.raises(BadInput, match=r"S5/walking_1.*found 166 frames; expected more than 166"):
        list(PROTOCOLS["h36m-average"].starts(clips))


def test_an_action_without_its_two_takes_cannot_be_drawn_as_published():
    with pytest.raises(BadInput, match="no action has the 2 takes that h36m-average draws from"):
        list(PROTOCOLS["h36m-average"].starts([clip("S5/walking_1", 400)]))


def test_cmu_is_drawn_eight_times_from_each_test_file():
    random = np.random.RandomState(1234567890)
    expected = [random.randint(0, 125) + 50 for _ in range(8)]
    ((_, starts),) = PROTOCOLS["cmu-horizon"].starts([clip("test/soccer_1", 200)])
    assert starts.tolist() == expected


def test_the_two_errors_by_hand():
    """Joint a is off by 3 mm in the first frame and 5 mm in the second, joint b by 0 and 1."""
    truth = np.zeros((1, 2, 2, 3), np.float32)
    guess = truth.copy()
    guess[0, 0, 0] = [0, 0.003, 0]
    guess[0, 1, 0] = [0.003, 0, 0.004]
    guess[0, 1, 1] = [0.001, 0, 0]
    average, at = PROTOCOLS["h36m-average"], PROTOCOLS["h36m-horizon"]
    assert average.errors(guess, truth, PLAIN) == pytest.approx([(1.5 + 3.0) / 2], rel=1e-6)
    assert at.errors(guess, truth, PLAIN) == pytest.approx([3.0], rel=1e-6)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_mean_is_that_of_the_32_joints_with_their_copies(seed):
    """Put into the 32 joints as the literature does, constant ones taken from the truth."""
    used = [2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 21, 22, 25, 26, 27, 29, 30]
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(3, 4, 32, 3))
    guess = truth.copy()
    guess[:, :, used] += rng.normal(size=(3, 4, 22, 3))
    for copy, source in ((16, 13), (20, 19), (23, 22), (24, 13), (28, 27), (31, 30)):
        truth[:, :, copy], guess[:, :, copy] = truth[:, :, source], guess[:, :, source]
    whole = np.linalg.norm(guess - truth, axis=-1).mean((1, 2)) * 1000
    found = PROTOCOLS["h36m-average"].errors(guess[:, :, used], truth[:, :, used], H36M_22)
    np.testing.assert_allclose(found, whole, rtol=1e-12)


def test_protocols_are_found_by_name_and_know_their_task():
    assert protocol("h36m-average").task == protocol("h36m-horizon-8").task == "prediction"
    assert protocol("deciwatch").task == "recovery"
    assert metrics_of("h36m-average", "3d") == tuple(METRICS)
    assert metrics_of("full", "3d") == ("mpjpe", "pampjpe", "accel")
    assert len({protocol(name).summary for name in PROTOCOLS}) == 6


def test_clips_are_averaged_by_their_draws():
    scores = [{"mpjpe@80": (1.0, 128.0)}, {"mpjpe@80": (4.0, 64.0)}]
    assert PROTOCOLS["h36m-average"].summarise(scores) == pytest.approx({"mpjpe@80": 2.0})
