"""A run beside a server that is down, slow, broken or well, on real sockets."""

import errno
import importlib.util
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench.contracts import BadInput
from bench.results import Result
from bench.tracking import Tracker, tracker
from bench.tracking.flush import export
from bench.trials import Study, Trial

if importlib.util.find_spec("mlflow") is None:
    pytest.skip("MLflow is not installed", allow_module_level=True)

Keep = Callable[..., Result]


class Server(BaseHTTPRequestHandler):
    """As much of an MLflow server as runs need, or one that answers 500."""

    ill = False
    calls: list[tuple[str, Any]]
    artifacts: str

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        self.calls.append((name, json.loads(body) if body else None))
        run = {"run": {"info": {"run_id": "r", "experiment_id": "1", "artifact_uri": ""}}}
        run["run"]["info"]["artifact_uri"] = self.artifacts
        answers = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "table3"}},
            "runs/create": run,
            "runs/get": run,
            "runs/update": {"run_info": run["run"]["info"]},
        }
        text = json.dumps(answers.get(name, {})).encode()
        self.send_response(500 if self.ill else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def server(folder: Path, *, ill: bool = False, port: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """A server on loopback: its port and what it was asked."""
    calls: list[Any] = []
    place = (folder / "there").as_uri()
    kind = type("Own", (Server,), {"ill": ill, "calls": calls, "artifacts": place})
    with ThreadingHTTPServer(("127.0.0.1", port), kind) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port, calls
        serving.shutdown()


def log(folder: Path, keep: Keep, *methods: str) -> list[str]:
    with Tracker(folder, "table3") as log:
        for method in methods:
            log.log(keep(folder, method))
    return log.warnings


def at(patch: pytest.MonkeyPatch, port: int) -> None:
    patch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{port}")


def test_a_server_gets_cells_in_silence(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracker, "SERVER_PATIENCE", 100.0)
    with server(tmp_path) as (port, calls):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert log(tmp_path, keep, "linear", "cubic") == []
    assert capfd.readouterr() == ("", "")
    batches = [body for name, body in calls if name == "runs/log-batch"]
    methods = [{one["key"]: one["value"] for one in body["params"]}["method"] for body in batches]
    assert methods == ["linear", "cubic"]
    assert not (tmp_path / "mlflow.db").exists()


def test_what_a_dead_server_did_not_get_waits_and_goes_there_later(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    at(monkeypatch, port)
    with Tracker(tmp_path, "table3") as tracked:
        for method in ("linear", "cubic"):
            tracked.log(keep(tmp_path, method))
        wait_for(tracked, b"refused")
    (warning,) = tracked.warnings
    assert warning == (
        f"MLflow (http://127.0.0.1:{port}) does not have everything: Connection refused; 2 runs "
        f"wait for the next command, or `bench export --mlflow --out {tmp_path}`; results and "
        "tables are complete without it"
    )
    with pytest.raises(BadInput, match="cannot be used; found Connection refused"):
        export(tmp_path)
    monkeypatch.setattr(tracker, "SERVER_PATIENCE", 100.0)
    with server(tmp_path, port=port) as (_, calls):
        assert log(tmp_path, keep, "ridge") == []
    assert [name for name, _ in calls].count("runs/create") == 3


def wait_for(tracked: Tracker, text: bytes) -> None:
    """Until the other process has said something: a run is longer than these tests."""
    file = tracked._said
    assert file is not None
    end = time.monotonic() + 60
    while text not in os.pread(file.fileno(), 1 << 16, 0):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_server_that_answers_500_is_said(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(tmp_path, ill=True) as (port, calls):
        at(monkeypatch, port)
        with Tracker(tmp_path, "table3") as tracked:
            tracked.log(keep(tmp_path))
            wait_for(tracked, b"answers 500")
        (warning,) = tracked.warnings
    assert "the server answers 500; 1 run waits" in warning
    assert "secret" not in warning
    # It is asked once, and not for each cell.
    assert len(calls) == 1


def test_a_server_that_never_answers_costs_two_seconds_at_most(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        at(monkeypatch, hanging.getsockname()[1])
        start = time.monotonic()
        tracked = Tracker(tmp_path, "table3")
        with tracked:
            for number in range(3000):
                tracked._want("table3", f"cell {number}", "1")
            told = time.monotonic() - start
        ended = time.monotonic() - start - told
    # 3000 words to a process that may not read them: more than a pipe holds would block.
    assert told < 10
    assert ended < tracker.SERVER_PATIENCE + 5
    assert "3000 runs wait" in tracked.warnings[0]


def test_a_server_that_never_answers_is_known_at_the_end_of_a_longer_run(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        at(monkeypatch, hanging.getsockname()[1])
        monkeypatch.setattr(tracker, "SERVER_PATIENCE", 60.0)
        with Tracker(tmp_path, "table3") as tracked:
            tracked.log(keep(tmp_path))
            wait_for(tracked, b"does not answer within 3 s")
            start = time.monotonic()
        assert time.monotonic() - start < 30
    assert "the server does not answer within 3 s; 1 run waits" in tracked.warnings[0]


def test_a_machine_that_starts_no_process_stops_nothing(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(tracker.subprocess, "Popen", full)
    assert "Resource temporarily unavailable; 2 runs wait" in one(log(tmp_path, keep, "a", "b"))


def test_a_queue_that_cannot_be_read_stops_nothing(tmp_path: Path, keep: Keep) -> None:
    (tmp_path / "mlflow-queue" / "table3.log").mkdir(parents=True)
    assert "Is a directory" in one(log(tmp_path, keep, "linear"))


def one(warnings: list[str]) -> str:
    (warning,) = warnings
    return warning


def interrupted(tracked: Tracker, result: Result, delay: float = 0.0) -> None:
    with tracked:
        tracked.log(result)
        time.sleep(delay)
        raise KeyboardInterrupt


def test_ctrl_c_does_not_wait(tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        at(monkeypatch, hanging.getsockname()[1])
        monkeypatch.setattr(tracker, "SERVER_PATIENCE", 60.0)
        tracked = Tracker(tmp_path, "table3")
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            interrupted(tracked, keep(tmp_path))
    assert time.monotonic() - start < 30
    assert tracked._process is not None
    assert tracked._process.returncode == -signal.SIGTERM


@pytest.mark.slow
def test_a_store_killed_while_it_is_made_is_made_again(tmp_path: Path, keep: Keep) -> None:
    keep(tmp_path)
    for delay in (1.5, 2.5, 3.0, 3.5):
        with pytest.raises(KeyboardInterrupt):
            interrupted(Tracker(tmp_path, "table3"), keep(tmp_path), delay)
    (done,) = export(tmp_path)
    assert done.new + done.same == 1


def test_mlflow_may_be_missing(tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "mlflow.py").write_text("raise ImportError(\"No module named 'mlflow'\")")
    monkeypatch.syspath_prepend(broken)
    (warning,) = log(tmp_path / "out", keep, "linear")
    assert "No module named 'mlflow'; 1 run waits" in warning


def test_a_queue_that_cannot_be_written_is_one_warning(
    tmp_path: Path, keep: Keep, study: Study, trials: list[Trial]
) -> None:
    (tmp_path / "mlflow-queue").write_text("in the way")
    (tmp_path / "trials").write_text("in the way")
    with Tracker(tmp_path, "table3") as tracked:
        tracked.log(keep(tmp_path))
        tracked.log(keep(tmp_path, "cubic"))
        tracked.trial(study, trials[0])
    (warning,) = tracked.warnings
    assert "exists" in warning or "Not a directory" in warning


def test_nothing_to_log_leaves_nothing(tmp_path: Path) -> None:
    with Tracker(tmp_path, "table3"):
        pass
    assert list(tmp_path.iterdir()) == []
