"""Actions: read from recordings, ordered as in the literature, summarised anew."""

from __future__ import annotations

import pytest

from bench.contracts import BadInput
from bench.report.actions import actions_of, check_actions, of_action
from bench.results import Cell, ClipScore, Result, Scored


@pytest.mark.parametrize(
    "recordings",
    [
        ("S9/Walking 1", "S9/Directions"),
        ("S9/Directions",),  # all that a smoke run looks at
        ("S5/dancing_1", "S5/walking_1"),
        ("test/basketball_1", "test/soccer_1"),
    ],
)
def test_recordings_with_the_name_of_an_action_are_known(recordings: tuple[str, ...]) -> None:
    check_actions("d", recordings)


@pytest.mark.parametrize(
    ("recordings", "found"),
    [
        (("test-000", "test-001", "test-002", "test-002", "test-003"), "test-002, ..."),
        (("test/01", "test/02"), "found test/01, test/02;"),
        (("gBR_sBM_cAll_d04_mBR0_ch01",), "ch01;"),
        (("h36m_test_0000", "h36m_test_0001"), "h36m_test_0000, h36m_test_0001;"),
    ],
)
def test_recordings_that_tell_no_action_are_refused(
    recordings: tuple[str, ...], found: str
) -> None:
    with pytest.raises(BadInput, match=r"recordings of d are not named by action.*--by") as error:
        check_actions("d", recordings)
    assert found in str(error.value)


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
