"""Measured times in an output folder: one JSON file for each machine, method and configuration.

They are kept apart from `bench.results`: a time depends on the machine, an error does not.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bench.contracts import BadInput, Window
from bench.documents import Form
from bench.files import file_name, write_whole
from bench.machine import Machine
from bench.timing import Measured

FORMAT = 1


@dataclass(frozen=True)
class Timing:
    """The times of one method under one configuration on one machine.

    method: as a user names it, with its preset if it has one; options: every hyper-parameter;
    revision: of the method's code; run, place: which run measured it, and as which of its
    measurements; about: commit and time; busy: why times may be too long, or nothing.
    """

    machine: Machine
    method: str
    label: str
    options: Mapping[str, Any]
    revision: int
    dataset: str
    title: str
    window: Window
    engine: str
    precision: str
    batch: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    measured: Measured
    run: str
    place: int
    about: Mapping[str, str]
    busy: str = ""

    @property
    def name(self) -> str:
        """A name for its file, from the machine and what is measured."""
        said = [self.dataset, asdict(self.window), dict(self.options), self.revision]
        said += [self.engine, self.precision, self.batch, self.threads]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        return f"{file_name(self.machine.key, self.method)}_{digest[:12]}.json"

    @property
    def per_window(self) -> float:
        """Milliseconds of one window, the median."""
        return self.measured.median / self.batch * 1e3

    @property
    def spread(self) -> float:
        """The interquartile range, in milliseconds of one window."""
        return (self.measured.high - self.measured.low) / self.batch * 1e3

    @property
    def per_frame(self) -> float:
        """Milliseconds of one of the window's T frames."""
        return self.per_window / self.window.frames

    def times(self, other: Timing) -> float | None:
        """How many times as long as another measurement it takes per window.

        The median over the turns that both had; None when they are not of one run, or did not
        have the same turns.
        """
        ours, theirs = self.measured.rounds, other.measured.rounds
        if self.run != other.run or not ours or len(ours) != len(theirs):
            return None
        ratio = statistics.median(mine / its for mine, its in zip(ours, theirs, strict=True))
        return ratio * other.batch / self.batch


_FILE = Form(Timing, FORMAT, "times", "not a stored time", "delete the file and measure again")


class Timings:
    """The times kept in one output folder, `FOLDER/timings/*.json`."""

    def __init__(self, folder: Path) -> None:
        """folder: the output folder; nothing is made before something is stored."""
        self.folder = folder / "timings"

    def put(self, timing: Timing) -> Path:
        """Store a time, in place of an earlier one of the same; BadInput where that fails."""
        path = self.folder / timing.name
        content = json.dumps({"format": FORMAT, **asdict(timing)}, indent=1)
        write_whole(
            path,
            content + "\n",
            what="the time",
            hint="make room, or choose another folder with --out",
        )
        return path

    def all(self) -> list[Timing]:
        """Every stored time, in the order in which they were measured.

        BadInput for a file that is damaged or of another format.
        """
        found = [_FILE.read(path) for path in sorted(self.folder.glob("*.json")) if path.is_file()]
        return sorted(found, key=lambda timing: (timing.run, timing.place))


def check_one_machine(timings: Iterable[Timing], folder: Path) -> None:
    """Raise BadInput unless all times are of one machine."""
    machines: dict[str, Machine] = {}
    for timing in timings:
        machines.setdefault(timing.machine.key, timing.machine)
    if len(machines) > 1:
        first, second, *_ = machines
        raise BadInput(
            "times of two machines do not stand in one table",
            file=folder,
            found=f"{first} ({machines[first].words}) and {second} ({machines[second].words})",
            hint=f"move {first}_*.json or {second}_*.json to another folder, or measure all of it "
            "on one machine",
        )


def baseline(timing: Timing, timings: Sequence[Timing]) -> Timing:
    """What a method is set against itself: eager, in the smallest batch, on the fewest threads.

    The first engine measured where it is not eager; of the same run, method and precision.
    """
    own = [
        other
        for other in timings
        if (other.run, other.dataset, other.method, other.precision, other.window)
        == (timing.run, timing.dataset, timing.method, timing.precision, timing.window)
    ]
    return min(
        own, key=lambda other: (other.engine != "eager", other.threads, other.batch, other.place)
    )


def counterpart(timing: Timing, method: str, timings: Sequence[Timing]) -> Timing | None:
    """The same configuration of another method in the same run, None when it has none."""
    wanted = (timing.run, timing.dataset, timing.engine, timing.precision)
    for other in timings:
        config = (other.run, other.dataset, other.engine, other.precision)
        size = (other.batch, other.threads) == (timing.batch, timing.threads)
        if other.method == method and config == wanted and size:
            return other
    return None
