"""Single actions: what a recording shows, and a result with the clips of one action only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.contracts import BadInput
from bench.data.clips import place_of
from bench.data.expmap import CMU_ACTIONS
from bench.results import ClipScore, Result, Scored

# The order of the literature on motion prediction; some releases name three of them otherwise.
_ORDER = (
    ("walking",),
    ("eating",),
    ("smoking",),
    ("discussion",),
    ("directions",),
    ("greeting",),
    ("phoning",),
    ("posing",),
    ("purchases",),
    ("sitting",),
    ("sittingdown",),
    ("takingphoto", "photo"),
    ("waiting",),
    ("walkingdog", "walkdog"),
    ("walkingtogether", "walktogether"),
)
_PLACES = {name: place for place, names in enumerate(_ORDER) for name in names}
_KNOWN = {*_PLACES, *CMU_ACTIONS}


def check_actions(dataset: str, recordings: Iterable[str]) -> None:
    """Raise BadInput unless a recording of the dataset bears the name of a known action.

    What is named by video, or by number as stand-ins are, would all be one action.
    """
    names = list(dict.fromkeys(recordings))
    if not any(place_of(name).action.lower() in _KNOWN for name in names):
        raise BadInput(
            f"the recordings of {dataset} are not named by action",
            found=", ".join(names[:3]) + (", ..." if len(names) > 3 else ""),
            expected="names such as S9/Walking 1 or S5/walking_1",
            hint="leave out --by action, or choose other --datasets",
        )


def actions_of(results: Iterable[Result]) -> list[str]:
    """The actions of all clips, in the order of the literature, then those it does not have."""
    found = {place_of(clip.recording).action for result in results for clip in result.clips}
    return sorted(found, key=lambda action: (_place(action), action))


def of_action(results: Sequence[Sequence[Result]], action: str) -> list[list[Result]]:
    """The results of every column with the clips of one action only, summarised anew."""
    return [[_only(result, action) for result in one] for one in results]


def _place(action: str) -> int:
    return _PLACES.get(action.lower(), len(_ORDER))


def _only(result: Result, action: str) -> Result:
    # The protocols bring torch, and a table of whole datasets does without.
    from bench.protocols import protocol

    if result.status != "done":
        return result
    clips = tuple(clip for clip in result.clips if place_of(clip.recording).action == action)
    metrics = protocol(result.cell.protocol).summarise(clip.values for clip in clips)
    return replace(result, clips=clips, metrics=metrics, scored=_scored(result, clips))


def _scored(result: Result, clips: Sequence[ClipScore]) -> Scored | None:
    """The counts of some clips; those known of whole datasets alone are left out.

    In prediction a score stands for all draws from a take, and their number is its weight.
    """
    if result.scored is None:
        return None
    count: float = len(clips)
    if "history" in result.cell.geometry:
        count = sum(
            max((weight for _, weight in clip.values.values()), default=0) for clip in clips
        )
    return Scored(int(count), sum(clip.frames for clip in clips), result.scored.joints)
