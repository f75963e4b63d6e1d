"""The side of a command: notes what MLflow is to hold, and has another process copy it there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bench.contracts import BadInput
from bench.results import Result, to_json
from bench.tracking.journal import (
    Journal,
    digest_of,
    digest_of_files,
    journals,
    store_name,
    table_files,
)
from bench.trials import Study, Trial, Trials

SCHEME = "sqlite:///"

REASON = "mlflow: "
"""What a line of the other process begins with that says why something waits."""

PATIENCE = 30.0
"""Seconds that the end of a command waits for a store of its own, which takes a while to make."""

SERVER_PATIENCE = 2.0
"""Seconds that it waits for a server, which may be slow; what is left waits for the next run."""


def tracking_uri(folder: Path) -> str:
    """Where an output folder is copied to: MLFLOW_TRACKING_URI, or a database inside of it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SCHEME}{folder.absolute()}/mlflow.db"


class Tracker:
    """Copies cells, tables and trials to MLflow while the block runs; for the parent process only.

    folder: the output folder, which holds `mlflow.db` and `mlartifacts/` unless
    MLFLOW_TRACKING_URI names another store; experiment: MLflow's name for the runs of a table.
    Nothing here waits for MLflow, nor is it even imported. What cannot be copied waits in
    `mlflow-queue/`. `warnings` has at most one line, complete when the block has ended.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        self._why = ""
        self._folder = folder.absolute()
        self._shown = folder
        self._uri = tracking_uri(folder)
        self._store = store_name(self._uri, folder)
        self._experiment = experiment
        self._journals: dict[str, Journal] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Look up what waits from earlier."""
        try:
            self._journals = {journal.experiment: journal for journal in journals(self._folder)}
        except OSError as error:
            self._warn(error.strerror or repr(error))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the other process finish, but not for long, and not at all after Ctrl-C or an error.

        It ends with the pipe to it; what it has not copied by then is copied the next time.
        """
        process = self._process
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            if kind is None:
                local = self._uri.startswith(SCHEME)
                process.wait(PATIENCE if local else SERVER_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.terminate()
            process.wait()
        if kind is None:
            self._report()
        if self._said:
            self._said.close()

    def log(self, result: Result) -> None:
        """Copy a stored cell as one run, unless the store has it as it is."""
        digest = digest_of(to_json(result).encode())
        self._want(self._experiment, f"cell {result.cell.key}", digest)

    def table(self) -> None:
        """Copy the files of the table that the output folder has, to the table's one run."""
        try:
            digest = digest_of_files(table_files(self._folder, self._experiment))
        except OSError as error:
            self._warn(error.strerror or repr(error))
            return
        self._want(self._experiment, f"table {self._experiment}", digest)

    def trial(self, study: Study, trial: Trial) -> None:
        """Store a finished trial as a file, and copy it as a run inside of its study's run.

        The same number again replaces what was there. Never raises for a disk or a store.
        """
        try:
            path = Trials(self._folder).put(study, trial)
            digest = digest_of(path.read_bytes())
        except (BadInput, OSError) as error:
            self._warn(str(error))
            return
        self._want(study.experiment, f"trial {study.name} {trial.number}", digest)

    def _want(self, experiment: str, entry: str, digest: str) -> None:
        if experiment not in self._journals:
            self._journals[experiment] = Journal(self._folder, experiment)
        try:
            news = self._journals[experiment].want(entry, digest)
        except OSError as error:
            self._warn(error.strerror or repr(error))
            return
        if self._process is None and (news or self._lacks_some()):
            try:
                self._start()
            except OSError as error:
                self._warn(error.strerror or repr(error))
        elif news:
            self._nudge()

    def _lacks_some(self) -> bool:
        """Whether something waits from earlier."""
        own = Path(self._uri.removeprefix(SCHEME))
        lost = self._uri.startswith(SCHEME) and not own.exists()
        return lost or bool(self._waiting())

    def _waiting(self) -> int:
        return sum(len(one.waiting(self._store)) for one in self._journals.values())

    def _start(self) -> None:
        # A file and no pipe: a pipe that nobody reads stops who writes to it.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "bench.tracking", str(self._folder)]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            # Ctrl-C reaches every process of a terminal; the parent alone decides what to do.
            start_new_session=True,
        )
        if self._process.stdin:
            os.set_blocking(self._process.stdin.fileno(), False)

    def _nudge(self) -> None:
        """Say that there is something new. The journal says what: a lost word does no harm."""
        if self._process and self._process.stdin:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._process.stdin.fileno(), b"\n")

    def _report(self) -> None:
        """Say what waits, and why."""
        if self._said is None or self._process is None:
            return
        for journal in self._journals.values():
            journal.update()
        if not self._waiting():
            return
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        reasons = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
        if reasons:
            self._warn(reasons[-1])
        elif self._process.returncode in (0, -signal.SIGTERM):
            self._warn("it is slow")
        else:
            self._warn(lines[-1] if lines else f"exit code {self._process.returncode}")

    def _warn(self, why: str) -> None:
        self._why = self._why or why

    @property
    def warnings(self) -> list[str]:
        """A line where the store does not have everything."""
        if not self._why:
            return []
        line = f"MLflow ({shown(self._uri, self._folder)}) does not have everything: {self._why}; "
        if count := self._waiting():
            runs = "1 run waits" if count == 1 else f"{count} runs wait"
            command = shlex.join(["bench", "export", "--mlflow", "--out", str(self._shown)])
            line += f"{runs} for the next command, or `{command}`; "
        return [f"{line}results and tables are complete without it"]


def shown(uri: str, folder: Path) -> str:
    """A tracking URI without the output folder's place, and without the password it may hold."""
    return re.sub(r"//[^/@\s]*@", "//", uri.replace(f"{folder.absolute()}{os.sep}", ""))
