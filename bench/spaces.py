"""Search spaces: what a method says may be tuned, checked, drawn from and applied to a cell.

Names are flat: an option has its own, a field of `Training` is `training.NAME`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.config import Training, nearest_names, parse
from bench.contracts import BadInput, Choice, Real, Search, Tunable, Whole
from bench.results import Cell

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

TRAINING = "training."

# How long to train is the budget's to say, the same for every trial.
_LENGTHS = ("epochs", "windows")


@dataclass(frozen=True)
class Space:
    """What is tuned of a method, by flat name, in the order in which it is drawn."""

    method: str
    entries: Mapping[str, Tunable]

    @property
    def points(self) -> int | None:
        """How many configurations there are at most; None where there is no end of them."""
        sizes = [_size(entry) for entry in self.entries.values()]
        return math.prod(size for size in sizes if size) if all(sizes) else None

    @property
    def plain(self) -> dict[str, dict[str, Any]]:
        """The space as plain data, for a record."""
        return {
            name: {"kind": type(entry).__name__.lower(), **dataclasses.asdict(entry)}
            for name, entry in self.entries.items()
        }


def nothing_to_tune(method: str) -> str:
    """Why nothing can be tuned of a method, or nothing where something can."""
    search: Search | None = getattr(registry.method_class(method), "search", None)
    if search is not None:
        return search.nothing
    if registry.kind(method) == "fixed":
        return "it learns nothing"
    return "its class says nothing of it: see `search` in docs/plugins.md"


def space_of(method: str) -> Space:
    """The search space of a method.

    BadInput where there is none, and where it names what the method does not have, or a condition
    that comes later.
    """
    reason = nothing_to_tune(method)
    if reason:
        raise BadInput(f"nothing can be tuned of {method}", found=reason)
    cls: Any = registry.method_class(method)
    search: Search = cls.search
    options = {field.name for field in dataclasses.fields(cls.Options)}
    training = set(Training.model_fields) - set(_LENGTHS)
    known = options | {f"{TRAINING}{name}" for name in training}
    entries = {**search.options, **{f"{TRAINING}{k}": v for k, v in search.training.items()}}
    if search.training and registry.kind(method) != "trainable":
        raise BadInput(f"{method} is not trained, but its search space says how")
    drawn: set[str] = set()
    for name, entry in entries.items():
        for other in (name, *entry.when):
            if other not in known:
                raise BadInput(
                    f"the search space of {method} names '{other}'",
                    hint=nearest_names(other, known),
                )
            if other != name and other in entries and other not in drawn:
                raise BadInput(
                    f"in the search space of {method} '{name}' depends on '{other}'",
                    hint="declare what a condition names first",
                )
        drawn.add(name)
    if not entries:
        raise BadInput(f"the search space of {method} is empty", hint="say `nothing` and why")
    return Space(method, entries)


def flat(cell: Cell) -> dict[str, Any]:
    """A cell's options and training by flat name."""
    said = dict(cell.options)
    return said | {f"{TRAINING}{name}": value for name, value in (cell.training or {}).items()}


def applied(cell: Cell, values: Mapping[str, Any]) -> Cell:
    """The cell with some options and settings changed, resolved; BadInput as in the registry."""
    options = {name: v for name, v in values.items() if not name.startswith(TRAINING)}
    settings = {
        name.removeprefix(TRAINING): v for name, v in values.items() if name.startswith(TRAINING)
    }
    training = cell.training
    if training is not None:
        merged = parse({**training, **settings}, Training, f"training of {cell.method}")
        training = merged.model_dump(mode="json")
    resolved = registry.resolve_options(cell.method, {**cell.options, **options})
    return replace(cell, options=resolved, training=training)


def drawn(space: Space, base: Mapping[str, Any], trial: BaseTrial) -> dict[str, Any]:
    """A value for each entry whose condition holds; base: what is said where none is drawn."""
    values: dict[str, Any] = {}
    for name, entry in space.entries.items():
        if not _holds(entry, {**base, **values}):
            continue
        if isinstance(entry, Real):
            values[name] = trial.suggest_float(name, entry.low, entry.high, log=entry.log)
        elif isinstance(entry, Whole):
            values[name] = trial.suggest_int(name, entry.low, entry.high, step=entry.step)
        else:
            labels = {_label(value): value for value in entry.values}
            values[name] = labels[trial.suggest_categorical(name, list(labels))]
    return values


def start(space: Space, base: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a trial has to be given to be the base itself; None where it lies outside the space."""
    values: dict[str, Any] = {}
    for name, entry in space.entries.items():
        if not _holds(entry, base):
            continue
        value = base[name]
        if isinstance(entry, Choice):
            labels = {json.dumps(own): _label(own) for own in entry.values}
            if json.dumps(value) not in labels:
                return None
            values[name] = labels[json.dumps(value)]
        else:
            inside = entry.low <= value <= entry.high
            if not inside or (isinstance(entry, Whole) and (value - entry.low) % entry.step):
                return None
            values[name] = value
    return values


def described(space: Space) -> list[str]:
    """A line for each entry: its name, its values, and when it is tuned."""
    wide = max(map(len, space.entries))
    lines = []
    for name, entry in space.entries.items():
        if isinstance(entry, Choice):
            values = ", ".join(str(_label(value)) for value in entry.values)
        else:
            values = f"{entry.low:g} to {entry.high:g}"
            values += f" in steps of {entry.step}" if isinstance(entry, Whole) else ""
            values += ", logarithmic" if isinstance(entry, Real) and entry.log else ""
        asked = [f"{on} is {' or '.join(map(str, said))}" for on, said in entry.when.items()]
        lines.append(f"{name:<{wide}}  {values}{' when ' if asked else ''}{' and '.join(asked)}")
    return lines


def _holds(entry: Tunable, values: Mapping[str, Any]) -> bool:
    return all(values.get(name) in allowed for name, allowed in entry.when.items())


def _label(value: Any) -> bool | int | float | str | None:
    """What stands for a choice in a storage, which takes single values alone."""
    return value if isinstance(value, bool | int | float | str | None) else json.dumps(value)


def _size(entry: Tunable) -> int:
    """How many values an entry has; 0 where there is no end of them."""
    if isinstance(entry, Choice):
        return len(entry.values)
    return (entry.high - entry.low) // entry.step + 1 if isinstance(entry, Whole) else 0
