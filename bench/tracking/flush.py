"""What waits, copied to the store: beside a run by a process of its own, or by `bench export`."""

from __future__ import annotations

import fcntl
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import plans
from bench.contracts import BadInput
from bench.files import file_name
from bench.results import Result, from_json
from bench.tracking import runs
from bench.tracking.journal import (
    FOLDER,
    Journal,
    digest_of,
    journals,
    store_name,
    table_files,
)
from bench.tracking.store import Store, StoreError
from bench.tracking.tracker import REASON, SCHEME, shown, tracking_uri
from bench.trials import Trials

REST = "cells"
"""The experiment of results that no table names."""

RETRY = 30.0
"""Seconds after which a store that failed is tried again."""

_NICE = 10


@dataclass(frozen=True)
class Exported:
    """An experiment after an export; new: runs written; same: those that were there."""

    experiment: str
    new: int
    same: int


def export(folder: Path, say: Callable[[str], None] = lambda _: None) -> list[Exported]:
    """Copy everything that an output folder holds, whatever was copied before.

    Every run that the store lacks, or has otherwise, is written. BadInput when there is nothing
    to copy and when the store cannot be used.
    """
    everything = _everything(folder)
    if not everything:
        raise BadInput("nothing to copy", file=folder, hint="bench run computes a table")
    uri = tracking_uri(folder)
    done = []
    try:
        with _alone(folder):
            copier = _Copier(folder, Store(uri, folder))
            for journal in everything:
                entries = journal.entries()
                say(f"{journal.experiment}: {len(entries)} entries")
                new = copier.copy(journal, entries)
                done.append(Exported(journal.experiment, new, len(entries) - new))
    except (StoreError, OSError) as error:
        raise BadInput(f"MLflow ({shown(uri, folder)}) cannot be used", found=str(error)) from error
    return done


def work(folder: Path) -> None:
    """Copy what waits until nobody writes to the standard input any more: a run's other process.

    A store that cannot be used is tried again from time to time, and why is printed.
    """
    os.nice(_NICE)
    uri = tracking_uri(folder)
    if uri.startswith(SCHEME) and not Path(uri.removeprefix(SCHEME)).exists():
        for journal in journals(folder):
            journal.forget()
    failed = -RETRY
    more = True
    while True:
        # What failed a moment ago is not asked again, and nobody waits for it at the end.
        if time.monotonic() - failed >= RETRY:
            try:
                _flush(folder, uri)
            except (StoreError, OSError) as error:
                failed = time.monotonic()
                print(f"{REASON}{error}", flush=True)
        if not more:
            return
        more = _woken()


def _woken() -> bool:
    """Wait for a word on the standard input; False when there will be none any more."""
    select.select([0], [], [])
    return bool(os.read(0, 1 << 16))


def _flush(folder: Path, uri: str) -> None:
    """Copy what waits; opens the store when something does."""
    name = store_name(uri, folder)
    with _alone(folder):
        waiting = [(journal, journal.waiting(name)) for journal in journals(folder)]
        if not any(entries for _, entries in waiting):
            return
        copier = _Copier(folder, Store(uri, folder))
        for journal, entries in waiting:
            if entries:
                copier.copy(journal, entries)


class _Copier:
    """Reads entries from their files and puts them into a store."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._name = store_name(tracking_uri(folder), folder)

    def copy(self, journal: Journal, entries: Sequence[str]) -> int:
        """How many of the entries were written; one whose file is gone is left out."""
        self._store.experiment(journal.experiment, self._title(journal.experiment))
        studies: set[str] = set()
        new = 0
        for entry in entries:
            kind, _, name = entry.partition(" ")
            if kind == "trial":
                study = name.partition(" ")[0]
                if study not in studies:
                    studies.add(study)
                    self._study(journal.experiment, study)
            run = self._run(kind, name)
            if run is None:
                # Its file is gone or damaged; the command that owns it says so.
                journal.want(entry, "gone")
                journal.stored(self._name, entry, "gone")
                continue
            new += self._store.put(journal.experiment, run)
            journal.want(entry, run.digest)
            journal.stored(self._name, entry, run.digest)
        return new

    def _title(self, experiment: str) -> str:
        try:
            return plans.load(self._folder / "plans" / f"{experiment}.json").config.title
        except BadInput:
            return ""

    def _study(self, experiment: str, name: str) -> None:
        trials = Trials(self._folder)
        try:
            study = trials.study(name)
            found = [trials.trial(name, number) for number in trials.numbers(name)]
        except BadInput:
            return
        self._store.put(experiment, runs.of_study(study, found))

    def _run(self, kind: str, name: str) -> runs.Run | None:
        if kind == "cell":
            # A line of a queue is not to lead out of the folder.
            result = _result(self._folder / "results" / f"{file_name(name, most=250)}.json")
            return runs.of_cell(result) if result else None
        if kind == "table":
            files = table_files(self._folder, name)
            return runs.of_table(name, self._title(name), files) if files else None
        study, _, number = name.partition(" ")
        trials = Trials(self._folder)
        try:
            told = trials.trial(study, int(number))
            digest = digest_of(trials.path(study, int(number)).read_bytes())
            return runs.of_trial(trials.study(study), told, digest)
        except (BadInput, ValueError):
            return None


def _everything(folder: Path) -> list[Journal]:
    """A journal for each experiment, with all that the output folder has for it."""
    found = {journal.experiment: journal for journal in journals(folder)}

    def want(experiment: str, entry: str) -> None:
        journal = found.setdefault(experiment, Journal(folder, experiment))
        if entry not in journal.entries():
            journal.want(entry, "found")

    for path in plans.kept(folder):
        try:
            plan = plans.load(path)
        except BadInput:
            continue
        for cell in plan.cells:
            if (folder / "results" / f"{cell.key}.json").is_file():
                want(plan.name, f"cell {cell.key}")
        if table_files(folder, plan.name):
            want(plan.name, f"table {plan.name}")
    trials = Trials(folder)
    for name in trials.studies():
        try:
            experiment = trials.study(name).experiment
        except BadInput:
            continue
        for number in trials.numbers(name):
            want(experiment, f"trial {name} {number}")
    named = {entry for journal in found.values() for entry in journal.entries()}
    for path in sorted((folder / "results").glob("*.json")):
        if f"cell {path.stem}" not in named:
            want(REST, f"cell {path.stem}")
    return list(found.values())


def _result(path: Path) -> Result | None:
    try:
        return from_json(path.read_text(encoding="utf-8"), path)
    except (BadInput, OSError, UnicodeDecodeError):
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process copies from this folder."""
    path = folder / FOLDER / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
