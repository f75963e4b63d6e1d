"""The two tasks, recovery and prediction: what of the harness differs between them.

Planning, training, storing and drawing know a task by this alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench import evaluation, prediction, registry
from bench.config import Task
from bench.contracts import Geometry
from bench.data.clips import Dataset, Split
from bench.data.histories import Histories, span_of
from bench.data.windows import Windows, window_of
from bench.protocols import protocol
from bench.results import Cell, ClipScore, Scored


@dataclass(frozen=True)
class Setting:
    """How one task is done.

    geometry: of a dataset for a cell's numbers; samples: the class that gathers them from a
    split; error: of a method on samples, by which weights are selected; evaluate: scores of a
    method under a protocol; check: raises BadInput for a dataset that the protocol cannot score.
    """

    geometry: Callable[[Dataset, Mapping[str, int]], Geometry]
    samples: Callable[..., Any]
    error: Callable[[Any, Any, int | None], float]
    evaluate: Callable[..., tuple[tuple[ClipScore, ...], Scored]]
    check: Callable[[Dataset, Any, Any], None]


def _check_windows(dataset: Dataset, protocol: Any, window: Any) -> None:
    for clip in dataset.clips["test"]:
        protocol.starts(clip.frames, window, f"{clip.name} of {dataset.name}")


def _check_draws(dataset: Dataset, protocol: Any, span: Any) -> None:
    protocol.check(dataset, span)


SETTINGS: dict[Task, Setting] = {
    "recovery": Setting(
        geometry=lambda dataset, said: window_of(dataset, said["interval"], said["intervals"]),
        samples=Windows,
        error=evaluation.window_error,
        evaluate=evaluation.evaluate,
        check=_check_windows,
    ),
    "prediction": Setting(
        geometry=lambda dataset, said: span_of(dataset, said["history"], said["future"]),
        samples=Histories,
        error=prediction.future_error,
        evaluate=prediction.evaluate,
        check=_check_draws,
    ),
}


def setting_of(cell: Cell) -> Setting:
    """How the task of a cell is done."""
    return SETTINGS[protocol(cell.protocol).task]


def samples_of(
    cell: Cell,
    dataset: Dataset,
    split: Split,
    geometry: Geometry,
    device: str,
    *,
    most: int | None = None,
) -> Any:
    """The samples of a split as a cell's method sees them: a refiner is given every frame.

    most: at most so many, evenly spread, when they are read by `batches`.
    """
    sight = {"every_frame": True} if registry.sees(cell.method) == "frames" else {}
    return setting_of(cell).samples(dataset, split, geometry, device, most=most, **sight)
