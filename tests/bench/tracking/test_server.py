"""MLflow's pages, started for real on a free port, and what is refused."""

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.results import Result

if importlib.util.find_spec("mlflow") is None:
    pytest.skip("MLflow is not installed", allow_module_level=True)


def ask(address: str, body: Any = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_the_command_opens_the_pages_of_a_folder(
    tmp_path: Path, keep: Callable[..., Result]
) -> None:
    keep(tmp_path)
    said = CliRunner().invoke(main, ["export", "--mlflow", "--out", str(tmp_path)])
    assert said.output == "cells: 1 written, 0 there already\n"
    command = [sys.executable, "-m", "bench", "mlflow", "--out", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address, line
        try:
            assert b"<title>MLflow</title>" in ask(address[0])
            found = json.loads(
                ask(
                    f"{address[0]}/api/2.0/mlflow/runs/search",
                    {"experiment_ids": ["0", "1"], "filter": "tags.kind = 'cell'"},
                )
            )
            names = [run["info"]["run_name"] for run in found["runs"]]
            assert names == ["linear seed 1, h36m-fcn K=10, Q=9"]
            port = int(address[0].rpartition(":")[2])
            taken = CliRunner().invoke(
                main, ["mlflow", "--out", str(tmp_path), "--port", str(port)]
            )
            assert taken.exit_code == 2
            assert f"port {port} of 127.0.0.1 is taken" in taken.output
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_without_a_store_it_says_how_to_make_one(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["mlflow", "--out", str(tmp_path)])
    assert said.exit_code == 2
    assert "no MLflow store in this folder" in said.output
    assert f"bench export --mlflow --out {tmp_path}" in said.output
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_its_own_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@mlflow.example:80")
    said = CliRunner().invoke(main, ["mlflow", "--out", str(tmp_path)])
    assert said.exit_code == 0
    assert said.output == "http://mlflow.example:80 is a server of its own (MLFLOW_TRACKING_URI)\n"


def test_export_needs_to_know_where_to() -> None:
    said = CliRunner().invoke(main, ["export"])
    assert said.exit_code == 2
    assert "--mlflow" in said.output
