"""Protocols of motion prediction: which clips are drawn, and what one error is (docs/protocols.md).

The literature mixes two errors under one name: the mean over all frames up to a horizon, and the
error of the frame at the horizon. Axes: N draws, F predicted frames, J joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.config import Task
from bench.contracts import BadInput, Span
from bench.data.clips import Array, Clip, Dataset, Skeleton, place_of
from bench.metrics import HORIZONS_MS, joint_error
from bench.stats import weighted_means

_MM = 1000.0

# The published draws (spec 4.4): their seed, and the frame after a start where the future begins.
_SEED = 1234567890
_PAST = 50

# By name, the horizon of each in milliseconds.
METRICS = {f"mpjpe@{ms}": ms for ms in HORIZONS_MS}


@dataclass(frozen=True)
class HorizonProtocol:
    """Everything between a prediction and a number.

    name: as in tables; summary: one line for captions and help; at_horizon: the error of the
    horizon's frame, instead of the mean over all frames up to it; draws: of each take; takes: how
    many an action has, others are left out; first, left: draws start at this frame at least, and
    leave so many at the end; skeleton: the only one that it is for.
    """

    task: ClassVar[Task] = "prediction"

    name: str
    summary: str
    at_horizon: bool
    draws: int
    takes: int
    first: int
    left: int
    skeleton: str

    def check(self, dataset: Dataset, span: Span) -> None:
        """Raise BadInput unless the dataset and the span can be scored under this protocol."""
        if dataset.skeleton.name != self.skeleton:
            fitting = [p.name for p in PROTOCOLS.values() if p.skeleton == dataset.skeleton.name]
            raise BadInput(
                f"the protocol {self.name} is not for {dataset.name}",
                hint=f"take {' or '.join(fitting)}" if fitting else "see docs/protocols.md",
            )
        past, rest = self.first + _PAST, self.left - _PAST + 1
        if span.history > past or span.future > rest:
            raise BadInput(
                f"the draws of {self.name} leave no room for such a history and future",
                found=f"{span.history} and {span.future} frames",
                expected=f"at most {past} and {rest}",
            )
        list(self.starts(dataset.clips["test"]))

    def starts(self, clips: Sequence[Clip]) -> Iterator[tuple[Clip, NDArray[np.int64]]]:
        """The clips that are drawn from, each with the frames (N,) at which a future begins.

        Drawn as published: anew for each action, its takes in turn. BadInput for a clip that is too
        short, and when no action has as many takes as published. Source: spec 4.4.
        """
        ordered = sorted(clips, key=lambda clip: place_of(clip.recording))
        groups = groupby(ordered, key=lambda clip: place_of(clip.recording)[:2])
        actions = [takes for _, group in groups if len(takes := list(group)) == self.takes]
        if not actions:
            raise BadInput(
                f"no action has the {self.takes} takes that {self.name} draws from",
                found=", ".join(clip.recording for clip in clips),
            )
        for takes in actions:
            for clip in takes:
                if clip.frames <= self.first + self.left:
                    raise BadInput(
                        "a test clip is too short for the published draws",
                        clip=clip.name,
                        found=f"{clip.frames} frames",
                        expected=f"more than {self.first + self.left}",
                    )
            random = np.random.RandomState(_SEED)
            drawn = [
                [random.randint(self.first, clip.frames - self.left) for clip in takes]
                for _ in range(self.draws)
            ]
            for clip, first in zip(takes, np.array(drawn).T, strict=True):
                yield clip, first + _PAST

    def errors(self, prediction: Array, truth: Array, skeleton: Skeleton) -> NDArray[np.float64]:
        """The error (N,) of futures (N, F, J, 3) in metres, in mm, with F the horizon's frames.

        Averaged over the joints of the original skeleton: those that never move have no error,
        those that lie on another one have its error. Source: spec 4.5.
        """
        copies = np.array(skeleton.copies or [1] * len(skeleton.joints), np.float64)
        error = joint_error(prediction, truth) @ copies / (copies.sum() + skeleton.fixed) * _MM
        mean: NDArray[np.float64] = error[:, -1] if self.at_horizon else error.mean(1)
        return mean

    def summarise(self, scores: Iterable[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
        """The weighted mean over clips of every metric, from what `evaluate` gave for each."""
        return weighted_means(scores)


def horizons(fps: float, frames: int) -> dict[str, int]:
    """The metrics that so many predicted frames allow, with the frames of each."""
    found = {name: round(ms * fps / 1000) for name, ms in METRICS.items()}
    return {name: count for name, count in found.items() if 1 <= count <= frames}


_ERRORS = {
    "average": "mean error of all frames up to the horizon",
    "horizon": "error of the frame at the horizon",
}
_H36M: dict[str, Any] = {"takes": 2, "first": 16, "left": 150, "skeleton": "h36m-22"}
_CMU: dict[str, Any] = {"takes": 1, "first": 0, "left": 75, "skeleton": "cmu-25"}


def _protocols() -> Iterator[HorizonProtocol]:
    for error, words in _ERRORS.items():
        for data, suffix, draws, rule in (
            ("h36m", "", 128, _H36M),
            ("h36m", "-8", 4, _H36M),
            ("cmu", "", 8, _CMU),
        ):
            said = f"{words}, over all joints of the original skeleton; published draws, "
            said += f"{draws * rule['takes']} for each action of {rule['takes']} "
            said += "take" if rule["takes"] == 1 else "takes"
            name = f"{data}-{error}{suffix}"
            yield HorizonProtocol(name, said, error == "horizon", draws, **rule)


PROTOCOLS = {protocol.name: protocol for protocol in _protocols()}
