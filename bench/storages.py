"""Where studies are kept: a journal file, or any database that Optuna can open by its URL."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from bench.contracts import BadInput

# Seconds between signs of life of a trial in a database, and how long one may be without any.
_HEARTBEAT, _GRACE = 30, 120


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
            return JournalStorage(JournalFileBackend(str(file)))
        # Optuna and SQLAlchemy would ask for another driver than the extra `tune` installs.
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", place)
        return RDBStorage(url, heartbeat_interval=_HEARTBEAT, grace_period=_GRACE)
    except ImportError as error:
        raise BadInput(
            "the storage of studies cannot be opened",
            file=masked(place),
            found=str(error).partition("\n")[0],
            hint="pip install 'bench[tune]', or the driver that the URL names",
        ) from error
    except (OSError, ValueError, RuntimeError, SQLAlchemyError, StorageInternalError) as error:
        raise BadInput(
            "the storage of studies cannot be opened",
            file=masked(place),
            found=masked(str(error).strip().partition("\n")[0]),
            hint="--storage takes a file or an URL such as postgresql://USER@HOST/DATABASE",
        ) from error


def masked(text: str) -> str:
    """The text without the password of an URL in it."""
    return re.sub(r"(//[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
