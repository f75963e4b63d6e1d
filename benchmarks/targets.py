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
    own value, or how many times the value of the row whose case begins with `against` it is.
    """

    benchmark: str
    case: str
    what: Literal["ratio", "value", "times"]
    bound: float
    unit: str = "times"
    against: str = ""

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
        device = " --device cuda" if self.benchmark == "gpu" else ""
        return f"python -m benchmarks run {self.benchmark}{device}"

    def value(self, rows: Sequence[Row]) -> float | None:
        """The best of what was measured; None where nothing was."""
        mine = [row for row in rows if row.benchmark == self.benchmark]
        found = []
        for row in mine:
            if not row.case.startswith(self.case):
                continue
            if self.what == "ratio":
                found += [row.ratio.median] if row.ratio else []
            elif self.what == "value":
                found.append(row.ours.median)
            else:
                found += [
                    row.ours.median / other.ours.median
                    for other in mine
                    if other.case.startswith(self.against)
                ]
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
    Target(
        "gpu",
        "Human3.6M, five seeds at once",
        "times",
        2,
        against="Human3.6M, training step, float32",
    ),
)
