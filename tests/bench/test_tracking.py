"""Tracking: a real SQLite store, and every way in which a store can be unusable."""

import importlib.util
import io
import json
import math
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from bench import tracking
from bench.results import Cell, Result, to_json
from bench.tracking import Tracker

# Looked for and not imported: importing it in silence is the tracker's task.
if importlib.util.find_spec("mlflow") is None:
    pytest.skip("MLflow is not installed", allow_module_level=True)


def result(method: str = "linear", **changes: Any) -> Result:
    cell = Cell(
        dataset="h36m",
        fingerprint="f00d",
        method=method,
        preset="default",
        revision=2,
        options={"layers": 3, "norm": None},
        training={"lr": 1e-3},
        geometry={"interval": 10, "intervals": 9},
        protocol="deciwatch",
        budget="quick",
        limits={"test_clips": 4},
        selection="validation",
        seed=1,
    )
    told = Result(
        cell,
        "done",
        metrics={"mpjpe": 52.8, "pck@.05": math.nan},
        parameters=7,
        chosen={"penalty": 0.1},
        curve=tuple(
            {"windows": 100.0 * step, "loss": 1 / step, "validation": 60.0} for step in range(1, 6)
        ),
        dataset={"standin": True},
        provenance={"commit": "c0ffee-dirty", "hardware": {"cpu": "Z80"}, "seconds": 90.0},
    )
    return replace(told, **changes)


def log(folder: Path, *results: Result, files: tuple[Path, ...] = ()) -> list[str]:
    with Tracker(folder, "table3") as tracker:
        for one in results:
            tracker.log(one)
        if files:
            tracker.artifacts(files)
    return tracker.warnings


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Let a busy machine take its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "PATIENCE", 200.0)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with one table of three cells in its store."""
    folder = tmp_path_factory.mktemp("out")
    (folder / "table3.tex").write_text("first")
    failed = result("mct", status="failed", error="out of memory", metrics={}, curve=())
    files = (folder / "table3.tex",)
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        assert log(folder, result(), result("cubic"), failed, result(), files=files) == []
    assert said.getvalue() == ""
    return folder


def runs(folder: Path, tag: str, value: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found = client.get_experiment_by_name("table3")
    return list(client.search_runs([found.experiment_id], f"tags.`{tag}` = '{value}'"))


def content(run: Any, name: str) -> str:
    return Path(run.info.artifact_uri.removeprefix("file://"), name).read_text()


def test_a_cell_is_one_run_with_everything(folder: Path) -> None:
    (run,) = runs(folder, "key", result().cell.key)
    assert run.data.params == {
        "dataset": "h36m",
        "fingerprint": "f00d",
        "method": "linear",
        "preset": "default",
        "revision": "2",
        "interval": "10",
        "intervals": "9",
        "protocol": "deciwatch",
        "budget": "quick",
        "selection": "validation",
        "seed": "1",
        "parameters": "7",
        "options/layers": "3",
        "options/norm": "None",
        "training/lr": "0.001",
        "limits/test_clips": "4",
        "chosen/penalty": "0.1",
    }
    assert run.data.metrics["mpjpe"] == 52.8
    assert math.isnan(run.data.metrics["pck_.05"])
    tags = {name: run.data.tags[name] for name in ("commit", "hardware", "protocol", "stand-in")}
    assert tags == {
        "commit": "c0ffee-dirty",
        "hardware": "Z80",
        "protocol": "deciwatch",
        "stand-in": "true",
    }
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 90_000
    assert content(run, f"{result().cell.key}.json") == to_json(result())


def test_the_curve_has_its_steps(folder: Path) -> None:
    from mlflow import MlflowClient

    (run,) = runs(folder, "key", result().cell.key)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    history = client.get_metric_history(run.info.run_id, "training/loss")
    assert [(point.step, point.value) for point in history] == [
        (100, 1.0),
        (200, 1 / 2),
        (300, 1 / 3),
        (400, 1 / 4),
        (500, 1 / 5),
    ]


def test_a_failed_cell_says_why(folder: Path) -> None:
    (run,) = runs(folder, "status", "failed")
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "out of memory"


def test_what_is_stored_is_not_logged_again_nor_mlflow_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    again = log(folder, result(), result("cubic"), files=(folder / "table3.tex",))
    assert again == []
    assert len(runs(folder, "status", "done")) == 2


def test_a_store_of_another_schema_is_asked_through_mlflow(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_entries", lambda uri, experiment: set())
    assert log(folder, result()) == []
    assert len(runs(folder, "key", result().cell.key)) == 1


def test_a_cell_that_failed_before_is_logged_once_it_is_done(folder: Path) -> None:
    assert log(folder, result("mct")) == []
    states = [run.data.tags["status"] for run in runs(folder, "key", result("mct").cell.key)]
    assert sorted(states) == ["done", "failed"]


def test_a_table_keeps_one_run_when_its_files_change(folder: Path) -> None:
    (folder / "table3.tex").write_text("second")
    assert log(folder, files=(folder / "table3.tex",)) == []
    (run,) = runs(folder, "table", "table3")
    assert content(run, "table3.tex") == "second"


def test_a_long_curve_goes_in_batches(folder: Path) -> None:
    curve = tuple({"windows": float(step), "loss": 1.0} for step in range(1200))
    assert log(folder, result("ridge", curve=curve)) == []
    with sqlite3.connect(folder / "mlflow.db") as database:
        (count,) = database.execute(
            "SELECT count(*) FROM metrics JOIN tags USING (run_uuid)"
            " WHERE metrics.key = 'training/loss' AND tags.key = 'key' AND tags.value = ?",
            (result("ridge").cell.key,),
        ).fetchone()
    assert count == 1200


def test_nothing_to_log_leaves_nothing(tmp_path: Path) -> None:
    assert log(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_broken_database_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    assert log(tmp_path, result(), result("cubic")) == [
        "MLflow (sqlite:///mlflow.db) is left out from here on: file is not a database; "
        "results and tables are complete without it"
    ]
    assert (tmp_path / "mlflow.db").read_bytes().startswith(b"not a database")


class Server(BaseHTTPRequestHandler):
    """As much of an MLflow server as one run needs; `calls` collects what was asked for."""

    calls: ClassVar[list[tuple[str, Any]]] = []
    answers: ClassVar[dict[str, Any]] = {
        "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "table3"}},
        "runs/search": {},
        "runs/create": {"run": {"info": {"run_id": "r1", "experiment_id": "1"}}},
        "runs/get": {"run": {"info": {"run_id": "r1", "experiment_id": "1"}}},
        "runs/log-batch": {},
        "runs/update": {"run_info": {"run_id": "r1", "experiment_id": "1"}},
    }

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        self.calls.append((name, json.loads(body) if body else None))
        text = json.dumps(self.answers.get(name, {})).encode()
        self.send_response(200 if name in self.answers else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


def test_a_server_gets_a_cell_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    info = Server.answers["runs/create"]["run"]["info"]
    monkeypatch.setitem(info, "artifact_uri", tmp_path.joinpath("art").as_uri())
    info = Server.answers["runs/get"]["run"]["info"]
    monkeypatch.setitem(info, "artifact_uri", tmp_path.joinpath("art").as_uri())
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        warnings = log(tmp_path, result())
        server.shutdown()
    assert warnings == []
    assert capfd.readouterr() == ("", "")
    (batch,) = [body for name, body in Server.calls if name == "runs/log-batch"]
    assert {"key": "dataset", "value": "h36m"} in batch["params"]
    assert {"key": "entry", "value": f"{result().cell.key} done"} in batch["tags"]
    assert (tmp_path / "art" / f"{result().cell.key}.json").read_text() == to_json(result())
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_that_is_not_there_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    (warning,) = log(tmp_path, result(), result("cubic"))
    assert warning.startswith("MLflow (http://127.0.0.1:9) is left out from here on: ")
    assert "refused" in warning
    assert "secret" not in warning
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setattr(tracking, "PATIENCE", 0.2)
        (warning,) = log(tmp_path, result())
    assert "it needs more than 0.2 s" in warning


def test_mlflow_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    (warning,) = log(tmp_path, result())
    assert "mlflow" in warning.partition("from here on")[2]


def test_ctrl_c_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        with Tracker(tmp_path, "table3") as tracker:
            tracker.log(result())
            raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert time.monotonic() - start < 1
