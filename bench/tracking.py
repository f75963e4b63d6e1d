"""Copies results to MLflow, for those who like to browse there. Never the source of truth.

Importing MLflow and making its database takes seconds, a server may be down, a database broken:
all of it happens in a thread beside the computation, and the worst outcome is one warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bench.results import Result, to_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE = 30.0
"""Seconds that the end of a command waits for MLflow to take what is left."""

ENTRY = "entry"
"""The tag that says what a run holds; written with its data, so that half a run has none."""

BATCH = 500
"""Metric values per call; MLflow takes 1000 values of all kinds at once."""

# MLflow's own defaults wait for minutes, print a page, and call home.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

SCHEME = "sqlite:///"


class Tracker:
    """Logs cells and table files to MLflow while the block runs; used by the parent process only.

    folder: the output folder, which holds `mlflow.db` and `mlartifacts/` unless
    MLFLOW_TRACKING_URI names another store; experiment: MLflow's name for a table's runs.
    What the store has already is not logged again, and then MLflow is not even imported.
    `warnings` has at most one line, complete when the block has ended.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        self.warnings: list[str] = []
        self._folder = folder.absolute()
        self._experiment = experiment
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SCHEME}{self._folder}/mlflow.db"
        self._tasks: SimpleQueue[Callable[[_Store], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._stored: set[str] = set()

    def __enter__(self) -> Self:
        """Look up what is stored, where that is cheap."""
        try:
            self._stored = _entries(self._uri, self._experiment)
        except sqlite3.DatabaseError as error:
            self._warn(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the thread, but not for ever, and not at all after Ctrl-C or an error."""
        if self._thread is None or kind is not None:
            return
        self._tasks.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._warn(f"it needs more than {PATIENCE:g} s")

    def log(self, result: Result) -> None:
        """Log a cell as one run, unless the store has it with the same status."""
        entry = f"{result.cell.key} {result.status}"
        self._add(entry, lambda store: store.log_cell(entry, result))

    def artifacts(self, paths: Sequence[Path]) -> None:
        """Log a table's files to the table's one run, unless they are there unchanged."""
        digest = hashlib.sha256()
        for path in sorted(paths):
            digest.update(path.name.encode() + path.read_bytes())
        entry = f"table {digest.hexdigest()}"
        self._add(entry, lambda store: store.log_table(entry, paths))

    def _add(self, entry: str, task: Callable[[_Store], None]) -> None:
        if entry in self._stored or self.warnings:
            return
        self._stored.add(entry)
        self._tasks.put(task)
        if self._thread is None:
            # A daemon: a server that hangs must not keep the command from ending.
            self._thread = Thread(target=self._work, name="mlflow", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            from alembic.util import CommandError
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            self._warn(error)
            return
        logging.getLogger("alembic").setLevel(logging.CRITICAL)
        try:
            store = _Store(self._uri, self._folder, self._experiment)
            while task := self._tasks.get():
                task(store)
        except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
            self._warn(error)

    def _warn(self, why: BaseException | str) -> None:
        if self.warnings:
            return
        said = why if isinstance(why, str) else str(_cause(why)) or repr(why)
        first = said.strip().splitlines()[0]
        store = self._uri.replace(f"{self._folder}{os.sep}", "")
        line = (
            f"MLflow ({store}) is left out from here on: {first[:200]}; "
            "results and tables are complete without it"
        )
        # A tracking URI may hold a password.
        self.warnings.append(re.sub(r"//[^/@\s]*@", "//", line))


class _Store:
    """An experiment in an MLflow store, made when it is not there."""

    def __init__(self, uri: str, folder: Path, experiment: str) -> None:
        from mlflow import MlflowClient

        self._client: MlflowClient = MlflowClient(uri)
        self._experiment = experiment
        found = self._client.get_experiment_by_name(experiment)
        # A server has its own place for artifacts.
        place = (folder / "mlartifacts").as_uri() if uri.startswith(SCHEME) else None
        self._id: str = (
            found.experiment_id if found else self._client.create_experiment(experiment, place)
        )

    def log_cell(self, entry: str, result: Result) -> None:
        """Log parameters, metrics, curve, tags and the JSON of a cell."""
        from mlflow.entities import Metric, Param, RunTag

        if self._find(f"tags.{ENTRY} = '{entry}'"):
            return
        cell = result.cell
        end = int(time.time() * 1000)
        seconds = result.provenance.get("seconds", 0)
        name = f"{cell.dataset} {cell.method}:{cell.preset} seed {cell.seed}"
        run = self._client.create_run(
            self._id, start_time=end - int(seconds * 1000), run_name=name
        ).info.run_id
        self._client.log_text(run, to_json(result), f"{cell.key}.json")
        metrics = [Metric(_name(key), value, end, 0) for key, value in result.metrics.items()]
        for point in result.curve:
            step = int(point["windows"])
            metrics += [
                Metric(f"training/{_name(key)}", value, end, step)
                for key, value in point.items()
                if key != "windows"
            ]
        params = [Param(_name(key), str(value)) for key, value in _parameters(result).items()]
        tags = [RunTag(key, value) for key, value in {**_tags(result), ENTRY: entry}.items()]
        for start in range(BATCH, len(metrics), BATCH):
            self._client.log_batch(run, metrics[start : start + BATCH])
        self._client.log_batch(run, metrics[:BATCH], params, tags)
        self._client.set_terminated(run, "FAILED" if result.status == "failed" else "FINISHED", end)

    def log_table(self, entry: str, paths: Sequence[Path]) -> None:
        """Log the files of a table to the one run that is tagged with its name."""
        if self._find(f"tags.{ENTRY} = '{entry}'"):
            return
        run = self._find(f"tags.table = '{self._experiment}'")
        if run is None:
            tags = {"table": self._experiment}
            run = self._client.create_run(
                self._id, tags=tags, run_name=self._experiment
            ).info.run_id
        for path in paths:
            self._client.log_artifact(run, str(path))
        self._client.set_tag(run, ENTRY, entry)
        self._client.set_terminated(run)

    def _find(self, condition: str) -> str | None:
        runs = self._client.search_runs([self._id], condition, max_results=1)
        return runs[0].info.run_id if runs else None


def _entries(uri: str, experiment: str) -> set[str]:
    """What a SQLite store holds, asked without MLflow, whose import takes two seconds.

    Empty for another store, a new one, and one with another schema: then MLflow is asked run by
    run. Raises sqlite3.DatabaseError for a file that is no database, which MLflow would try to
    open for two minutes.
    """
    path = Path(uri.removeprefix(SCHEME))
    if not uri.startswith(SCHEME) or not path.is_file():
        return set()
    query = (
        "SELECT tags.value FROM tags JOIN runs USING (run_uuid) JOIN experiments USING"
        " (experiment_id) WHERE tags.key = ? AND experiments.name = ?"
        " AND runs.lifecycle_stage = 'active'"
    )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return {value for (value,) in database.execute(query, (ENTRY, experiment))}
    except sqlite3.OperationalError:
        return set()


def _cause(error: BaseException) -> BaseException:
    """What system or database said, where MLflow wrapped it in pages of its own."""
    chain = [error]
    while inner := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(inner)
    told = (one for one in reversed(chain) if isinstance(one, OSError | sqlite3.Error))
    return next(told, error)


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


def _tags(result: Result) -> dict[str, str]:
    said = result.provenance
    hardware: Mapping[str, Any] = said.get("hardware", {})
    tags = {
        "key": result.cell.key,
        "status": result.status,
        "protocol": result.cell.protocol,
        "stand-in": str(bool(result.dataset.get("standin"))).lower(),
        "commit": str(said.get("commit", "unknown")),
        "hardware": str(hardware.get("gpu") or hardware.get("cpu") or "unknown"),
    }
    return tags if result.error is None else {**tags, "error": result.error}


def _name(key: str) -> str:
    # MLflow allows fewer characters than metrics use: pck@0.05.
    return re.sub(r"[^\w\-. :/]", "_", key)
