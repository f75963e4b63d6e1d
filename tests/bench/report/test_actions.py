"""Actions: read from recordings, ordered as in the literature, summarised anew."""

from __future__ import annotations

import pytest

from bench.report.actions import action_of, actions_of, of_action
from bench.results import Cell, ClipScore, Result, Scored


@pytest.mark.parametrize(
    ("recording", "action"),
    [
        ("S9/Walking 1", "Walking"),
        ("S9/Walking", "Walking"),
        ("S5/walking_1", "walking"),
        ("S5/walkingdog_2", "walkingdog"),
        ("downtown_walking_00", "downtown_walking"),
        ("test-003", "test"),
        ("S1/07", "07"),
    ],
)
def test_action_of_a_recording(recording: str, action: str) -> None:
    assert action_of(recording) == action


def result(*recordings: str, geometry: dict[str, int], protocol: str) -> Result:
    """A clip of 100 frames for each recording; its error is its place, its weight place + 1."""
    cell = Cell(
        "d", "f", "net", "p", 1, {}, None, geometry, protocol, "quick", {}, "last", 0
    )  # fmt: skip
    clips = tuple(
        ClipScore(name, name, 100, {"mpjpe": (float(place), float(place + 1))})
        for place, name in enumerate(recordings)
    )
    scored = Scored(len(clips), 100 * len(clips), 17, missed=3, padded=4, dropped=5)
    return Result(cell, "done", metrics={"mpjpe": 9.0}, clips=clips, scored=scored)


def test_actions_follow_the_literature_then_the_alphabet() -> None:
    made = result(
        "S5/zebra_1", "S5/apple_1", "S9/WalkDog", "S9/Photo 1", "S9/Walking 1", "S9/Eating",
        geometry={"interval": 10, "intervals": 10}, protocol="deciwatch",
    )  # fmt: skip
    other = result("S9/Walking 2", geometry={"interval": 10, "intervals": 1}, protocol="deciwatch")
    assert actions_of([made, other]) == ["Walking", "Eating", "Photo", "WalkDog", "apple", "zebra"]


def test_an_action_is_the_weighted_mean_of_its_clips() -> None:
    made = result(
        "S9/Walking", "S9/Eating", "S9/Walking 1",
        geometry={"interval": 10, "intervals": 10}, protocol="deciwatch",
    )  # fmt: skip
    ((walking,),) = of_action([[made]], "Walking")
    assert walking.metrics == {"mpjpe": (0.0 * 1 + 2.0 * 3) / 4}
    assert [clip.name for clip in walking.clips] == ["S9/Walking", "S9/Walking 1"]
    # What was missed and left out is known of the whole alone.
    assert walking.scored == Scored(2, 200, 17)


def test_the_clips_of_a_prediction_are_its_draws() -> None:
    made = result(
        "S5/walking_1", "S5/eating_1", "S5/walking_2",
        geometry={"history": 10, "future": 25}, protocol="h36m-average",
    )  # fmt: skip
    ((walking,),) = of_action([[made]], "walking")
    assert walking.scored is not None
    assert (walking.scored.clips, walking.scored.frames) == (1 + 3, 200)


def test_a_failed_result_stays_as_it_is() -> None:
    made = Result(result(geometry={}, protocol="deciwatch").cell, "failed", error="why")
    assert of_action([[made]], "walking") == [[made]]
