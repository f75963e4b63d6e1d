"""Where studies are kept: a journal file, or any database that Optuna can open by its URL."""

from __future__ import annotations

import fcntl
import os
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from bench.contracts import BadInput
from bench.liveness import this_process

# Seconds between signs of life of a trial in a database, and how long one may be without any.
_HEARTBEAT, _GRACE = 30, 120

_NO_ANSWER = (StorageInternalError, SQLAlchemyError)


def usual(out: Path) -> str:
    """The journal file of an output folder."""
    return str(out / "tuning" / "studies.journal")


def open_storage(place: str) -> BaseStorage:
    """A journal file by its path, a database by its URL (`sqlite:///`, `postgresql://`, ...).

    BadInput, without the password of the URL, when it cannot be opened.
    """
    try:
        if "://" not in place:
            file = Path(place)
            file.parent.mkdir(parents=True, exist_ok=True)
            return _Journal(JournalFileBackend(str(file), _Lock(file)))
        # Optuna and SQLAlchemy would ask for another driver than the extra `tune` installs.
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", place)
        return _Database(url, heartbeat_interval=_HEARTBEAT, grace_period=_GRACE)
    except ImportError as error:
        raise BadInput(
            "the storage of studies cannot be opened",
            file=masked(place),
            found=str(error).partition("\n")[0],
            hint="pip install 'bench[tune]', or the driver that the URL names",
        ) from error
    except (OSError, ValueError, RuntimeError, *_NO_ANSWER) as error:
        raise BadInput(
            "the storage of studies cannot be opened",
            file=masked(place),
            found=masked(str(error).strip().partition("\n")[0]),
            hint="--storage takes a file or an URL such as postgresql://USER@HOST/DATABASE",
        ) from error


@contextmanager
def answering(place: str) -> Iterator[None]:
    """One line, a BadInput, for whatever is raised because a database went away in the block."""
    try:
        yield
    except Exception as error:
        cause = unanswered(error)
        if cause is None:
            raise
        raise BadInput(
            "the storage of studies does not answer",
            file=masked(place),
            found=masked(str(cause).strip().partition("\n")[0]),
            hint="the same command goes on",
        ) from error


def unanswered(error: BaseException | None) -> BaseException | None:
    """What a database answered, or did not, that led to an error; None where nothing did.

    Optuna looks at a trial again where it could not store it, and so raises another error.
    """
    if error is None:
        return None
    earlier = unanswered(error.__cause__) or unanswered(error.__context__)
    return earlier or (error if isinstance(error, _NO_ANSWER) else None)


def stale(study: optuna.Study) -> Collection[int]:
    """Trials whose signs of life have ended, by the numbers that their database gives them."""
    # Optuna puts a cache before every database.
    database = getattr(study._storage, "_backend", None)
    return database.stale(study._study_id) if isinstance(database, _Database) else ()


def masked(text: str) -> str:
    """The text without the password of an URL in it."""
    return re.sub(r"(//[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


WORKER = "worker"
"""The attribute of a trial that says which process computes it."""


class _Journal(JournalStorage):
    """A journal whose trials say from their first line on who computes them."""

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return super().create_new_trial(study_id, template_trial or _begun())


class _Database(RDBStorage):
    """A database whose trials say from their first transaction on who computes them."""

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        return super()._create_new_trial(study_id, template_trial or _begun())

    def stale(self, study_id: int) -> list[int]:
        """Trials whose signs of life have ended."""
        return super()._get_stale_trial_ids(study_id)

    def _get_stale_trial_ids(self, *_study: int) -> list[int]:
        # Optuna would fail them before each trial, and count no deaths: `studies.settle` does both.
        return []

    def record_heartbeat(self, trial_id: int) -> None:
        # In a thread, which nobody hears: whoever computes the trial finds out, too.
        with suppress(*_NO_ANSWER):
            super().record_heartbeat(trial_id)


class _Lock(JournalFileOpenLock):
    """A journal for one writer at a time, and none once the writer is dead.

    Optuna's own locks are files, which a killed writer leaves behind: the next one waits half a
    minute. The holder also finds whole lines: what a full disk or a power cut left of one would
    spoil the next.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._path = file
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Wait for the lock; True."""
        self._file = self._path.open("a+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        _cut(self._file)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()


def _cut(file: BinaryIO) -> None:
    """Drop what follows the last whole line."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _begun() -> FrozenTrial:
    """A trial of this process that begins now. Its numbers are given by the storage."""
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={WORKER: this_process()},
        system_attrs={},
        intermediate_values={},
    )
