"""Tuned presets: one file per method, with where each came from; used by `bench run --tuned`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from bench.config import Column, Preset, Strict, TableConfig, dataset_config, nearest_names, read
from bench.contracts import BadInput
from bench.files import file_name, write_whole
from bench.locks import Locks

PRESET = "tuned"
"""What the preset of a tuned cell is called."""

FOLDER = "presets"
"""Where an output folder has its tuned presets."""


class Origin(Strict):
    """Where a tuned preset comes from: what it cost, and what it came to on validation.

    trials, windows: how many, and how many windows each was trained on at most; finalists, seeds:
    how many configurations were trained again, each under so many seeds (0: that changes nothing);
    label: which of them it is; values, preset_values: means of the objectives over the finals,
    here and of the preset that tuning started from, where that could be run.
    """

    study: str
    fingerprint: str
    standin: bool
    protocol: str
    budget: str
    base: str
    trials: int = Field(ge=1)
    windows: int = Field(ge=1)
    finalists: int = Field(ge=0)
    seeds: int = Field(ge=0)
    seed: int
    label: str
    values: dict[str, float]
    preset_values: dict[str, float] = Field(default_factory=dict)


class Tuned(Strict):
    """What tuning found for one dataset: every option, and every setting of training but length.

    geometry: `intervals`, or `history` and `future`, that it was found with.
    """

    options: dict[str, Any]
    training: dict[str, Any] = Field(default_factory=dict)
    geometry: dict[str, int]
    origin: Origin

    def on(self, preset: Preset) -> Preset:
        """The preset with all of this in place of its own."""
        sizes = {name: self.geometry.get(name) for name in ("intervals", "history", "future")}
        return preset.model_copy(
            update={
                "options": self.options,
                "training": {**preset.training, **self.training},
                **sizes,
            }
        )


class TunedMethod(Strict):
    """A file of tuned presets: OUT/presets/METHOD.yaml."""

    method: str
    datasets: dict[str, Tuned]


Found = Mapping[str, TunedMethod]


def path_of(out: Path, method: str) -> Path:
    """The file of a method's tuned presets in an output folder."""
    return out / FOLDER / f"{file_name(method)}.yaml"


def save(out: Path, method: str, dataset: str, tuned: Tuned) -> Path:
    """Put what was found for a dataset into the method's file; other datasets' stay."""
    path = path_of(out, method)
    what, hint = "a tuned preset", "make room; the same command writes it"
    # Another command may tune the method on another dataset.
    with Locks(path.parent, what=what, hint=hint) as locks:
        locks.wait(path.name, lambda: None)
        there = read(path, TunedMethod).datasets if path.is_file() else {}
        said = TunedMethod(method=method, datasets={**there, dataset: tuned})
        text = yaml.safe_dump(said.model_dump(mode="json"), sort_keys=False, width=96)
        write_whole(path, text, what=what, hint=hint)
    return path


def load(place: Path) -> dict[str, TunedMethod]:
    """The tuned presets of a folder or of one file, by method.

    BadInput when there are none, when a file is not one, and when two are of the same method.
    """
    files = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
    found: dict[str, TunedMethod] = {}
    for file in files:
        if not file.is_file():
            break
        one = read(file, TunedMethod)
        if one.method in found:
            raise BadInput(f"two files of tuned presets of {one.method}", file=place)
        found[one.method] = one
    if not found:
        raise BadInput(
            "no tuned presets", file=place, hint="`bench tune METHOD` makes them; --tuned PATH"
        )
    return found


def of(found: Found, column: Column, dataset: str) -> Tuned | None:
    """What was tuned for a column on a dataset: nothing where the column names its own preset."""
    if column.quoted or column.preset is not None or column.weights or column.method not in found:
        return None
    return found[column.method].datasets.get(dataset)


def noted(config: TableConfig, found: Found, fingerprints: Mapping[str, str]) -> TableConfig:
    """The table with notes that say what is tuned, on what, at what cost, and what is not.

    fingerprints: of the datasets that are there, by name. BadInput where nothing of it is tuned.
    """
    said: list[str] = []
    for dataset in fingerprints:
        title = dataset_config(dataset).title
        groups: dict[str, list[str]] = {}
        other, plain = [], []
        for column in config.columns:
            if column.quoted:
                continue
            tuned = of(found, column, dataset)
            name = column.label or column.key
            if tuned is None:
                plain.append(name)
                continue
            groups.setdefault(_effort(tuned.origin), []).append(name)
            if tuned.origin.fingerprint != fingerprints[dataset]:
                other.append(name)
        said += [
            f"{title}: tuned on validation, {effort}: {', '.join(names)}"
            for effort, names in groups.items()
        ]
        if groups and plain:
            said.append(f"{title}: not tuned, with their presets: {', '.join(plain)}")
        if other:
            said.append(f"{title}: tuned on other clips than these: {', '.join(other)}")
    if not said:
        methods = {column.method for column in config.columns if column.method}
        raise BadInput(
            "nothing of this table is tuned",
            found=f"presets of {', '.join(sorted(found))}",
            hint=nearest_names(next(iter(found)), methods),
        )
    return config.model_copy(update={"notes": (*config.notes, *said)})


def _effort(origin: Origin) -> str:
    """`16 trials of 15 000 windows each, then 3 finalists under 3 seeds`."""
    trials = "1 trial" if origin.trials == 1 else f"{origin.trials} trials"
    text = f"{trials} of {origin.windows:,} windows".replace(",", " ")
    if origin.finalists and origin.seeds:
        text += f" each, then {_counted(origin.finalists, 'finalist')}"
        text += f" under {_counted(origin.seeds, 'seed')}"
    return text + (" (stand-in)" if origin.standin else "")


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
