"""What is aimed at, and whether a measurement reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.measuring import Row


@dataclass(frozen=True)
class Target:
    """A bound on the rows of a benchmark.

    case: how a row's case begins; the best row counts. what: the ratio to the other side, or our
    own value, or how many times the other side's value it may be.
    """

    benchmark: str
    case: str
    what: Literal["ratio", "value", "times"]
    bound: float
    unit: str = "times"

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.what == "ratio"

    @property
    def words(self) -> str:
        """`at least 1.5 times`."""
        return f"at {'least' if self.at_least else 'most'} {self.bound:g} {self.unit}"

    @property
    def command(self) -> str:
        """What measures it."""
        return f"python -m benchmarks run {self.benchmark}"

    def value(self, rows: Sequence[Row]) -> float | None:
        """The best of what was measured; None where nothing was."""
        found = []
        for row in rows:
            if row.benchmark != self.benchmark or not row.case.startswith(self.case):
                continue
            if self.what == "value":
                found.append(row.ours.median)
            elif row.ratio:
                ratio = row.ratio.median
                found.append(ratio if self.what == "ratio" else 1 / ratio)
        return (max if self.at_least else min)(found) if found else None

    def reached(self, value: float) -> bool:
        """Whether such a value is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound


TARGETS = (
    Target("training", "3DPW", "ratio", 1.5),
    Target("training", "Sub-JHMDB", "ratio", 1.15),
    Target("training", "Human3.6M", "ratio", 1.15),
    Target("seeds", "3DPW", "ratio", 2.5),
    Target("evaluation", "Sub-JHMDB", "ratio", 8),
    Target("evaluation", "3DPW", "ratio", 6),
    Target("evaluation", "Human3.6M", "ratio", 4),
    Target("opening", "3DPW, 2 million frames, evaluated", "value", 4, "GiB"),
    Target("inference", "Sub-JHMDB", "ratio", 4),
    Target("inference", "3DPW", "ratio", 4),
    Target("inference", "Human3.6M", "ratio", 2.5),
    Target("inference", "3DPW", "value", 0.012, "ms/frame"),
    Target("inference", "Human3.6M", "value", 0.012, "ms/frame"),
    Target("opening", "bench --help", "value", 0.5, "s"),
    Target("opening", "3DPW, 2 million frames, opened", "value", 1, "s"),
    Target("gpu", "Human3.6M, training step", "value", 1, "ms/step"),
    Target("gpu", "Human3.6M, training step", "ratio", 20),
    Target("gpu", "Human3.6M, five seeds at once", "times", 2),
)
