"""What a study came to: finals chosen, the record, the tuned preset, lines for the terminal."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from bench import spaces, studies
from bench.data.clips import Dataset
from bench.files import write_whole
from bench.finals import Final, outcome
from bench.metrics import metric_info
from bench.provenance import provenance
from bench.results import Cell
from bench.studies import EXHAUSTIVE, Plan
from bench.trials import Study, Trial
from bench.tuned import Origin, Tuned

FORMAT = 1

_PRESET = "preset"
_STATES: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_LENGTHS = ("windows", "epochs")


def finals(study: optuna.Study, plan: Plan, most: int, seeds: int) -> list[Final]:
    """The best configurations and the preset, each to be trained under several seeds.

    A method that draws no random number would come to the same again: of such a one only the
    preset is computed, where no trial was of it. None without any trial.
    """
    if not studies.finished(study):
        return []
    trained = plan.base.training is not None
    ranked = _ranked(study, plan)
    cells = {_label(trial): _cell(trial, plan) for trial in ranked[:most] if trained}
    tried = [cell.key for cell in cells.values()] or [_cell(trial, plan).key for trial in ranked]
    if plan.base.key not in tried:
        cells[_PRESET] = plan.base
    return [
        Final(label, cell, seed)
        for label, cell in cells.items()
        for seed in range(1, (seeds if trained else 1) + 1)
    ]


def record(
    study: optuna.Study,
    plan: Plan,
    tasks: Sequence[Final],
    dataset: Dataset,
    asked: int,
    device: str,
) -> dict[str, Any]:
    """Everything that a study came to, as plain data; asked: how many trials it was to have."""
    trials = [_said(trial, study, plan) for trial in studies.finished(study)]
    retrained = [
        {"label": task.label, "seed": task.seed, **study.user_attrs[task.key]} for task in tasks
    ]
    every = [*trials, *retrained]
    return {
        "format": FORMAT,
        "study": plan.name,
        "base": asdict(plan.base),
        "data": {
            "title": dataset.title,
            "origin": dataset.origin,
            "standin": dataset.standin,
        },
        "space": plan.space.plain,
        "objectives": plan.directions,
        "seed": plan.seed,
        **studies.said_of(plan, asked),
        "asked": asked,
        "trials": trials,
        "lost": len(studies.lost(study)),
        "finals": retrained,
        "windows": sum(one.get("windows", 0) for one in every),
        "seconds": round(sum(one.get("seconds", 0.0) for one in every), 1),
        "chosen": _chosen(study, plan, tasks),
        "provenance": provenance(device, 1),
    }


def save(said: Mapping[str, Any], out: Path) -> Path:
    """Write a record to OUT/tuning/STUDY.json."""
    path = out / "tuning" / f"{said['study']}.json"
    text = json.dumps(said, indent=1)
    write_whole(path, text, what="the record of a study", hint="the same command writes it again")
    return path


def preset(said: Mapping[str, Any], plan: Plan, budget: str) -> Tuned | None:
    """The tuned preset of a record; None where nothing could be measured."""
    chosen = said["chosen"]
    if chosen is None:
        return None
    training = {k: v for k, v in (chosen["training"] or {}).items() if k not in _LENGTHS}
    geometry = {k: v for k, v in plan.base.geometry.items() if k != "interval"}
    labels = {final["label"] for final in said["finals"]}
    trained = plan.base.training is not None
    return Tuned(
        options=chosen["options"],
        training=training,
        geometry=geometry,
        origin=Origin(
            study=plan.name,
            fingerprint=plan.base.fingerprint,
            standin=said["data"]["standin"],
            protocol=plan.base.protocol,
            budget=budget,
            base=plan.base.preset,
            trials=len(said["trials"]),
            windows=plan.windows,
            finalists=len(labels) if trained else 0,
            seeds=len({final["seed"] for final in said["finals"]}) if trained else 0,
            seed=plan.seed,
            label=chosen["label"],
            values=chosen["values"],
            preset_values=chosen["preset_values"],
        ),
    )


def line(trial: FrozenTrial, study: optuna.Study, plan: Plan, asked: int) -> str:
    """`[3/16] trial 2: MPJPE 70.12 mm; lr = 0.002, ...` of a trial that is over."""
    place = f"  [{len(studies.finished(study))}/{asked}] trial {trial.number}:"
    if trial.state == TrialState.FAIL:
        return f"{place} failed: {trial.user_attrs.get('error', 'its worker was killed')}"
    values = dict(zip(plan.objectives, trial.values or (), strict=False))
    text = f"{place} {shown(values)}" if trial.state == TrialState.COMPLETE else f"{place} pruned"
    seconds, windows = trial.user_attrs.get("seconds", 0), trial.user_attrs.get("windows", 0)
    return f"{text}, {windows} windows, {seconds:.0f} s"


def final_line(task: Final, study: optuna.Study) -> str:
    """`final: trial 2, seed 1: MPJPE 70.1 mm`."""
    said = study.user_attrs[task.key]
    metrics = said.get("metrics", {})
    leading = {name: metrics[name] for name in study.metric_names or () if name in metrics}
    text = shown(leading) if leading else f"failed: {said.get('error')}"
    return f"  final: {task.label}, seed {task.seed}: {text}"


def summary(said: Mapping[str, Any]) -> list[str]:
    """What a study came to, for the terminal."""
    states = Counter(trial["state"] for trial in said["trials"])
    ended = ", ".join(f"{states[state]} {state}" for state in _STATES.values() if states[state])
    lost = f", {said['lost']} left by killed workers and tried again" if said["lost"] else ""
    lines = [
        f"{said['study']}: {len(said['trials'])} of {said['asked']} trials ({ended}{lost}), "
        f"{said['windows']} windows and {said['seconds']:.0f} s in all"
    ]
    if len(said["trials"]) < said["asked"] and said["sampler"] != EXHAUSTIVE:
        lines.append("  not all trials that were asked for: the same command goes on")
    chosen = said["chosen"]
    if chosen is None:
        return [*lines, "  no configuration could be measured: no preset is written"]
    lines.append(f"  best: {chosen['label']}, {shown(chosen['values'])} on validation")
    if chosen["preset_values"]:
        lines.append(
            f"  preset {said['base']['preset']}, untuned: {shown(chosen['preset_values'])}"
        )
    return lines


def shown(values: Mapping[str, float]) -> str:
    """`MPJPE 70.12 mm, MACs 1.234 M/frame`, with one decimal more than tables have."""
    parts = []
    for metric, value in values.items():
        info = metric_info(metric)
        parts.append(f"{info.label} {value * info.scale:.{info.decimals + 1}f} {info.unit}")
    return ", ".join(parts)


def experiment(dataset: str) -> str:
    """What MLflow groups the studies of a dataset by."""
    return f"tune-{dataset}"


def as_study(plan: Plan, dataset: Dataset, budget: str, asked: int) -> Study:
    """A study as MLflow's copy has it."""
    about = {"budget": budget, "windows": plan.windows, "seed": plan.seed}
    return Study(
        name=plan.name,
        experiment=experiment(dataset.name),
        method=plan.base.method,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        protocol=plan.base.protocol,
        objectives=plan.directions,
        standin=dataset.standin,
        about={**about, **studies.said_of(plan, asked)},
    )


def as_trial(trial: FrozenTrial, plan: Plan, device: str) -> Trial:
    """A trial as MLflow's copy has it."""
    about = {**provenance(device, 1), "seconds": trial.user_attrs.get("seconds", 0.0)}
    if trial.datetime_complete is not None:
        about["time"] = trial.datetime_complete.astimezone().isoformat(timespec="seconds")
    return Trial(
        number=trial.number,
        state=_STATES[trial.state],
        params=dict(trial.params),
        values=dict(zip(plan.objectives, trial.values or (), strict=False)),
        curve=tuple(
            {"windows": float(step), "selection": value}
            for step, value in trial.intermediate_values.items()
        ),
        seed=plan.seed,
        error=trial.user_attrs.get("error"),
        provenance=about,
    )


def _ranked(study: optuna.Study, plan: Plan) -> list[FrozenTrial]:
    """Complete trials (with several objectives those of the Pareto front), the best first.

    Trials that came to the same configuration count once.
    """
    done = [t for t in studies.finished(study) if t.state == TrialState.COMPLETE]
    if len(plan.objectives) > 1:
        front = {trial.number for trial in study.best_trials}
        done = [trial for trial in done if trial.number in front]
    best: dict[str, FrozenTrial] = {}
    for trial in sorted(done, key=lambda t: (plan.sign * t.values[0], t.number)):
        best.setdefault(_cell(trial, plan).key, trial)
    return list(best.values())


def _label(trial: FrozenTrial) -> str:
    return f"trial {trial.number}"


def _cell(trial: FrozenTrial, plan: Plan) -> Cell:
    """The cell of a trial, from what it was given."""
    values = spaces.drawn(plan.space, spaces.flat(plan.base), FixedTrial(trial.params))
    return spaces.applied(plan.base, values)


def _said(trial: FrozenTrial, study: optuna.Study, plan: Plan) -> dict[str, Any]:
    front = study.best_trials if len(plan.objectives) > 1 else ()
    told = trial.user_attrs
    return {
        "number": trial.number,
        "state": _STATES[trial.state],
        "params": dict(trial.params),
        "values": dict(zip(plan.objectives, trial.values or (), strict=False)),
        "metrics": told.get("metrics", {}),
        "looks": {str(step): value for step, value in trial.intermediate_values.items()},
        "windows": told.get("windows", 0),
        "seconds": told.get("seconds", 0.0),
        "error": told.get("error"),
        "front": any(trial.number == other.number for other in front),
    }


def _chosen(study: optuna.Study, plan: Plan, tasks: Sequence[Final]) -> dict[str, Any] | None:
    """The configuration with the best mean over its finals; of a method without, over its trials.

    None where none could be measured.
    """
    ranked = _ranked(study, plan)
    cells: dict[str, Cell] = {}
    values: dict[str, dict[str, float]] = {}
    if plan.base.training is None:
        for trial in ranked:
            cells[_label(trial)] = _cell(trial, plan)
            values[_label(trial)] = dict(zip(plan.objectives, trial.values, strict=True))
    for label, cell in {task.label: task.cell for task in tasks}.items():
        measured = [outcome(study, task) for task in tasks if task.label == label]
        found = [one.metrics for one in measured if one is not None]
        if len(found) == len(measured):
            cells[label] = cell
            values[label] = {
                metric: statistics.fmean(one[metric] for one in found) for metric in plan.objectives
            }
    if not values:
        return None
    best = min(values, key=lambda label: plan.sign * values[label][plan.objectives[0]])
    base = next((label for label, cell in cells.items() if cell.key == plan.base.key), None)
    return {
        "label": best,
        "options": dict(cells[best].options),
        "training": cells[best].training,
        "values": values[best],
        "preset_values": values[base] if base else {},
        "finals": values,
    }
