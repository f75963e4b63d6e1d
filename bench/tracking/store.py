"""An MLflow store: runs written into an experiment, each once."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.tracking import model
from bench.tracking.runs import NOTE, Run
from bench.tracking.tracker import SCHEME

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENTRY = "entry"
"""The tag that says which run this is."""

DIGEST = "digest"
"""The tag that says what it shows; written last, so that half a run has none."""

BATCH = 500
"""Metric values per call; MLflow takes 1000 values of all kinds at once."""

ANSWER = 3.0
"""Seconds in which a server has to answer at all."""

# Without it, MLflow opens its pages about language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}

# MLflow's own defaults wait for minutes, print a page, and call home.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


class StoreError(Exception):
    """A store cannot be used; says why in one line."""


class Store:
    """An MLflow store, by its URI; folder: the output folder.

    Every method raises StoreError when the store cannot be used.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self._folder = folder.absolute()
        self._uri = uri
        self._experiments: dict[str, str] = {}
        self._known: dict[tuple[str, str], str] = {}
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        _check(uri)
        with _said():
            if uri == f"{SCHEME}{self._folder}/mlflow.db":
                _make(self._folder / "mlflow.db")
            from mlflow import MlflowClient

            self._client: MlflowClient = MlflowClient(uri)

    def experiment(self, name: str, note: str = "") -> None:
        """Make an experiment unless it is there; note: its description."""
        with _said():
            found = self._client.get_experiment_by_name(name)
            if found:
                self._experiments[name] = found.experiment_id
            else:
                # A server has its own place for artifacts.
                local = self._uri.startswith(SCHEME)
                place = (self._folder / "mlartifacts").as_uri() if local else None
                self._experiments[name] = self._client.create_experiment(name, place, _KIND)
            if note and (found is None or found.tags.get(NOTE) != note):
                self._client.set_experiment_tag(self._experiments[name], NOTE, note)

    def put(self, experiment: str, run: Run) -> bool:
        """Write a run into an experiment; False when it is there as it is.

        What is there otherwise, or by half, gives way to it.
        """
        with _said():
            return self._put(experiment, run)

    def _put(self, experiment: str, run: Run) -> bool:
        number = self._experiments[experiment]
        found = self._client.search_runs([number], f"tags.{ENTRY} = '{run.entry}'")
        same = [one for one in found if one.data.tags.get(DIGEST) == run.digest]
        if same:
            self._known[experiment, run.entry] = same[0].info.run_id
            return False
        if run.lasting and found:
            # The oldest: others can only come from two commands at the same instant.
            own = min(found, key=lambda one: one.info.start_time).info.run_id
        else:
            for one in found:
                self._client.delete_run(one.info.run_id)
            own = self._created(number, experiment, run)
        self._known[experiment, run.entry] = own
        self._fill(own, run)
        return True

    def _created(self, number: str, experiment: str, run: Run) -> str:
        tags = {ENTRY: run.entry}
        if run.inside:
            parent = self._known.get((experiment, run.inside))
            if parent is None:
                raise StoreError(f"no run of {run.inside}")
            tags["mlflow.parentRunId"] = parent
        created = self._client.create_run(number, run.begin, tags, run.name)
        return str(created.info.run_id)

    def _fill(self, own: str, run: Run) -> None:
        from mlflow.entities import Metric, Param, RunTag

        for name, text in run.texts.items():
            self._client.log_text(own, text, name)
        for path in run.files:
            self._client.log_artifact(own, str(path))
        if run.data:
            self._dataset(own, *run.data)
        if run.weights:
            self._weights(own, run)
        metrics = [Metric(one.name, one.value, run.end, one.step) for one in run.metrics]
        for start in range(BATCH, len(metrics), BATCH):
            self._client.log_batch(own, metrics[start : start + BATCH])
        params = [Param(key, value) for key, value in run.params.items()]
        tags = [RunTag(key, value) for key, value in {**run.tags, DIGEST: run.digest}.items()]
        self._client.set_terminated(own, run.status, run.end or None)
        self._client.log_batch(own, metrics[:BATCH], params, tags)

    def _dataset(self, own: str, name: str, fingerprint: str) -> None:
        """The data as MLflow's own column shows it."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        said = Dataset(name, fingerprint, "bench", f'{{"name": "{name}"}}')
        tag = InputTag("mlflow.data.context", "test")
        self._client.log_inputs(own, [DatasetInput(said, [tag])])

    def _weights(self, own: str, run: Run) -> None:
        if run.weights is None:
            return
        # It imports torch, which cells without weights and servers that are down do not need.
        from bench.weights import Weights

        path = Weights(self._folder).path(run.weights)
        if path.is_file():
            with tempfile.TemporaryDirectory() as place:
                model.write(Path(place), run.weights, path)
                self._client.log_artifacts(own, place, "model")


class _said:  # noqa: N801
    """Turns what MLflow raises into StoreError."""

    def __enter__(self) -> None:
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StoreError) or not isinstance(error, Exception):
            return
        if isinstance(error, ImportError):
            raise StoreError(str(error)) from error
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if isinstance(error, MlflowException | SQLAlchemyError | CommandError | OSError):
            said = str(_cause(error)).strip() or repr(error)
            raise StoreError(said.splitlines()[0][:200]) from error


def _check(uri: str) -> None:
    """Raise StoreError for what MLflow would try for minutes."""
    if uri.startswith(SCHEME):
        path = Path(uri.removeprefix(SCHEME))
        if path.is_file():
            with path.open("rb") as file:
                if file.read(16) not in (b"", b"SQLite format 3\0"):
                    raise StoreError("file is not a database")
    elif uri.startswith(("http://", "https://")):
        _ask(uri)


def _ask(uri: str) -> None:
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        with urllib.request.urlopen(f"{bare.rstrip('/')}/health", timeout=ANSWER):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        # Who answers at all but asks for a password, say, is MLflow's concern.
        if error.code >= 500:
            raise StoreError(f"the server answers {error.code}") from error
    except TimeoutError as error:
        raise StoreError(f"the server does not answer within {ANSWER:g} s") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise StoreError(f"the server does not answer within {ANSWER:g} s") from error
        raise StoreError(str(getattr(reason, "strerror", None) or reason)) from error


def _make(path: Path) -> None:
    """Make a database unless it is there: under another name first, so that none is there by half.

    Making one takes seconds, and MLflow cannot go on with what a kill left.
    """
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=path.parent) as place:
        new = Path(place) / "mlflow.db"
        make: Any = SqlAlchemyStore
        make(f"{SCHEME}{new}", (path.parent / "mlartifacts").as_uri())
        new.replace(path)


def _cause(error: BaseException) -> BaseException:
    """What system or database said, where MLflow wrapped it in pages of its own."""
    chain = [error]
    while inner := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(inner)
    told = (one for one in reversed(chain) if isinstance(one, OSError | sqlite3.Error))
    return next(told, error)
