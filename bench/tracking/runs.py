"""Records as runs: what MLflow shows of a result, of a table's files, of a trial and of a study.

Plain data, made without MLflow and from nothing but the records: the same files give the same run,
its times included, however often a store is lost.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.metrics import METRICS, metric_info
from bench.results import Cell, Result, to_json
from bench.tracking.journal import digest_of, digest_of_files
from bench.trials import Study, Trial

NOTE = "mlflow.note.content"
"""MLflow shows this tag as the description of a run or an experiment."""

_LONGEST_TAG = 5000
_AXES = ("epoch", "windows")

# MLflow draws these in columns of their own.
_SOURCE = "mlflow.source.name"
_COMMIT = "mlflow.source.git.commit"


class Point(NamedTuple):
    """A metric's value; step: epochs or windows seen, as its name says, or 0."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Run:
    """One run of MLflow.

    entry: which one it is; digest: of what it shows; begin, end: ms since 1970; data: name and
    fingerprint of the dataset; texts: artifacts by name; files: artifacts that lie in the output
    folder; weights: whose weights are an artifact; inside: the entry of the run that it is nested
    in; lasting: written over when it changes, where others are made anew.
    """

    entry: str
    digest: str
    name: str
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED"
    begin: int = 0
    end: int = 0
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Point, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    data: tuple[str, str] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    weights: Cell | None = None
    inside: str | None = None
    lasting: bool = False


def of_cell(result: Result) -> Run:
    """A result: parameters, metrics, curves, tags and its JSON."""
    cell = result.cell
    text = to_json(result)
    begin, end = _times(result.provenance)
    where = ", ".join(f"{_SHORT[name]}={value}" for name, value in cell.geometry.items())
    preset = "" if cell.preset == "default" else f":{cell.preset}"
    metrics = [Point(_name(key), value) for key, value in result.metrics.items()]
    metrics += [Point(f"cost/{_name(key)}", value) for key, value in result.cost.items()]
    if "seconds" in result.provenance:
        metrics.append(Point("seconds", float(result.provenance["seconds"])))
    return Run(
        f"cell {cell.key}",
        digest_of(text.encode()),
        f"{cell.method}{preset} seed {cell.seed}, {cell.dataset} {where}",
        "FAILED" if result.status == "failed" else "FINISHED",
        begin,
        end,
        {_name(key): str(value) for key, value in _parameters(result).items()},
        (*metrics, *_curve(result.curve, _windows_of_epoch(result))),
        _said(
            result.provenance,
            kind="cell",
            key=cell.key,
            status=result.status,
            protocol=cell.protocol,
            fingerprint=cell.fingerprint,
            budget=cell.budget,
            standin=bool(result.dataset.get("standin")),
            error=result.error,
            told=_told(result),
        ),
        (cell.dataset, cell.fingerprint),
        {f"{cell.key}.json": text},
        weights=cell,
    )


def of_table(name: str, title: str, files: Sequence[Path]) -> Run:
    """The files of a table as they are now; its description is the table itself."""
    drawn = next((path for path in files if path.suffix == ".md"), None)
    text = drawn.read_text(encoding="utf-8") if drawn else title
    return Run(
        f"table {name}",
        digest_of_files(files),
        f"{name}: the table",
        tags={
            "kind": "table",
            "table": name,
            NOTE: text if len(text) <= _LONGEST_TAG else title,
            _SOURCE: "bench",
        },
        files=tuple(files),
        lasting=True,
    )


def of_trial(study: Study, trial: Trial, digest: str) -> Run:
    """A trial: what was varied, what came of it, intermediate values by epoch or windows."""
    begin, end = _times(trial.provenance)
    status: dict[str, Literal["FINISHED", "FAILED", "KILLED"]] = {
        "complete": "FINISHED",
        "failed": "FAILED",
        "pruned": "KILLED",
    }
    metrics = [Point(_name(key), value) for key, value in trial.values.items()]
    return Run(
        f"trial {study.name} {trial.number}",
        digest,
        f"trial {trial.number}",
        status[trial.state],
        begin,
        end,
        {**{_name(k): str(v) for k, v in trial.params.items()}, "seed": str(trial.seed)},
        (*metrics, *_curve(trial.curve)),
        _said(
            trial.provenance,
            kind="trial",
            study=study.name,
            trial=trial.number,
            status=trial.state,
            protocol=study.protocol,
            fingerprint=study.fingerprint,
            standin=study.standin,
            error=trial.error,
        ),
        (study.dataset, study.fingerprint),
        inside=f"study {study.name}",
    )


def of_study(study: Study, trials: Sequence[Trial]) -> Run:
    """A study: what was tuned, how many trials ended how, and the best of each objective."""
    count = Counter(trial.state for trial in trials)
    metrics = [Point("trials", len(trials), len(trials))]
    metrics += [Point(f"trials/{state}", count[state], len(trials)) for state in sorted(count)]
    for name, direction in study.objectives.items():
        values = [trial.values[name] for trial in trials if name in trial.values]
        values = [value for value in values if not math.isnan(value)]
        if values:
            best = min(values) if direction == "minimize" else max(values)
            metrics.append(Point(f"best/{_name(name)}", best, len(trials)))
    times = [_times(trial.provenance) for trial in trials]
    about = {f"about/{_name(key)}": str(value) for key, value in study.about.items()}
    objectives = ", ".join(f"{way} {name}" for name, way in study.objectives.items())
    return Run(
        f"study {study.name}",
        digest_of(repr((study, sorted(metrics), times)).encode()),
        f"{study.method} on {study.dataset}",
        begin=min((begin for begin, _ in times), default=0),
        end=max((end for _, end in times), default=0),
        metrics=tuple(metrics),
        tags=_said(
            {},
            kind="study",
            study=study.name,
            method=study.method,
            protocol=study.protocol,
            fingerprint=study.fingerprint,
            objectives=objectives,
            standin=study.standin,
        )
        | about,
        data=(study.dataset, study.fingerprint),
        lasting=True,
    )


_SHORT = {"interval": "K", "intervals": "Q", "history": "H", "future": "F"}


def _told(result: Result) -> str:
    """The metrics as tables print them: MLflow shows values alone, without units."""
    told = []
    for name, value in result.metrics.items():
        if name.partition(":")[0] in METRICS:
            info = metric_info(name)
            told.append(f"{info.label} {value * info.scale:.{info.decimals}f} {info.unit}")
    return ", ".join(told)


def _parameters(result: Result) -> dict[str, Any]:
    cell = result.cell
    return {
        "dataset": cell.dataset,
        "fingerprint": cell.fingerprint,
        "method": cell.method,
        "preset": cell.preset,
        "revision": cell.revision,
        **cell.geometry,
        "protocol": cell.protocol,
        "budget": cell.budget,
        "selection": cell.selection,
        "seed": cell.seed,
        **({"weights": cell.weights} if cell.weights else {}),
        "parameters": result.parameters,
        **{f"options/{key}": value for key, value in cell.options.items()},
        **{f"training/{key}": value for key, value in (cell.training or {}).items()},
        **{f"limits/{key}": value for key, value in cell.limits.items()},
        **{f"chosen/{key}": value for key, value in result.chosen.items()},
    }


def _said(provenance: Mapping[str, Any], **tags: object) -> dict[str, str]:
    """Tags: those given, but for None, and what the provenance tells."""
    hardware = provenance.get("hardware", {})
    versions = provenance.get("versions", {})
    standin = tags.pop("standin")
    notes = [str(tags.pop("told", ""))]
    if standin:
        notes.append("**Stand-in**: synthetic clips; the numbers say nothing about the dataset.")
    said = {
        **tags,
        "stand-in": str(standin).lower(),
        "commit": provenance.get("commit"),
        "hardware": hardware.get("gpu") or hardware.get("cpu"),
        "device": provenance.get("device"),
        **{f"version/{name}": version for name, version in versions.items()},
        _SOURCE: "bench",
        _COMMIT: provenance.get("commit"),
    }
    if note := "\n\n".join(filter(None, notes)):
        said[NOTE] = note
    return {key: str(value)[:_LONGEST_TAG] for key, value in said.items() if value is not None}


def _windows_of_epoch(result: Result) -> float | None:
    """How many windows an epoch has; None where training is not counted in epochs."""
    epochs = (result.cell.training or {}).get("epochs")
    if not epochs or (result.cell.training or {}).get("windows") or not result.curve:
        return None
    return result.curve[-1].get("windows", 0.0) / epochs or None


def _curve(
    curve: Sequence[Mapping[str, float]], windows_of_epoch: float | None = None
) -> Iterator[Point]:
    """A curve twice: `by-windows/NAME` and, where epochs are known, `by-epoch/NAME`.

    A look before the end of an epoch counts as a look at its end; the last one stands.
    """
    by_epoch: dict[tuple[str, int], Point] = {}
    for point in curve:
        epoch = point.get("epoch")
        if epoch is None and windows_of_epoch:
            # Rounded up, but not for the batch that reaches into the next epoch.
            epoch = math.ceil(point["windows"] / windows_of_epoch - 0.01)
        for key, value in point.items():
            if key in _AXES:
                continue
            if "windows" in point:
                yield Point(f"by-windows/{_name(key)}", value, int(point["windows"]))
            if epoch is not None:
                step = math.ceil(epoch)
                by_epoch[key, step] = Point(f"by-epoch/{_name(key)}", value, step)
    yield from by_epoch.values()


def _times(provenance: Mapping[str, Any]) -> tuple[int, int]:
    """When something began and ended, in ms since 1970; zeros where it is not told."""
    try:
        end = int(datetime.fromisoformat(str(provenance["time"])).timestamp() * 1000)
        return end - int(float(provenance.get("seconds", 0)) * 1000), end
    except (KeyError, ValueError, TypeError):
        return 0, 0


def _name(key: str) -> str:
    # MLflow allows fewer characters than metrics use: pck@0.05.
    return re.sub(r"[^\w\-. :/]", "_", key)
