"""The benchmarks by name. Each is a module with `measure`, imported when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module

from bench.config import nearest_names
from bench.contracts import BadInput
from benchmarks.measuring import Request, Row


@dataclass(frozen=True)
class Benchmark:
    """One of them: the module that measures, and a line about it."""

    module: str
    summary: str

    @property
    def measure(self) -> Callable[[Request], Iterable[Row]]:
        """Its function, which gives the rows that it has even where a later one fails."""
        module = import_module(f"benchmarks.{self.module}")
        found: Callable[[Request], Iterable[Row]] = module.measure
        return found


BENCHMARKS = {
    "training": Benchmark("training", "training of three sizes, one thread, windows per second"),
    "seeds": Benchmark("seeds", "five seeds of 3DPW on two cores"),
    "evaluation": Benchmark("evaluating", "evaluation of three sizes, one thread"),
    "inference": Benchmark("inference", "one window, one thread, every engine"),
    "opening": Benchmark("opening", "start-up; two million frames opened and evaluated"),
    "gpu": Benchmark("gpu", "training on a CUDA device"),
}


def chosen(names: Sequence[str]) -> dict[str, Benchmark]:
    """The named ones, all without a name; BadInput with the nearest names for an unknown one."""
    for name in names:
        if name not in BENCHMARKS:
            raise BadInput(f"unknown benchmark '{name}'", hint=nearest_names(name, BENCHMARKS))
    return {name: BENCHMARKS[name] for name in names or BENCHMARKS}
