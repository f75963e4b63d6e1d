"""MLflow's pages for an output folder, in a server that ends with the command."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.contracts import BadInput
from bench.tracking.tracker import SCHEME, shown, tracking_uri

START = 120.0
"""Seconds that a server has to start; a busy machine needs more than one minute."""


def pages(folder: Path) -> str | None:
    """The address of a server that MLFLOW_TRACKING_URI names, which needs none of ours."""
    uri = tracking_uri(folder)
    return shown(uri, folder) if uri.startswith(("http://", "https://")) else None


@contextmanager
def serving(folder: Path, host: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the pages of a folder's store while the block runs: the address and the process.

    port: 0 for any that is free. BadInput without a store, without MLflow, when the port cannot be
    used, and when the server does not start.
    """
    uri = tracking_uri(folder)
    own = Path(uri.removeprefix(SCHEME))
    if uri.startswith(SCHEME) and not own.is_file():
        raise BadInput(
            "no MLflow store in this folder",
            file=folder,
            expected=own.name,
            hint=f"bench export --mlflow --out {folder} makes one from the results",
        )
    if find_spec("mlflow") is None:
        raise BadInput("MLflow is not installed", hint="pip install mlflow")
    port = _free(host, port)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", uri]
    command += ["--default-artifact-root", (folder.absolute() / "mlartifacts").as_uri()]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    process = subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**quiet, **os.environ},
        start_new_session=True,
    )
    # Whoever ends this process otherwise than by Ctrl-C would leave the server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        address = f"http://{_in_address(host)}:{port}"
        _wait(process, address)
        yield address, process
    finally:
        _stop(process)


def _free(host: str, port: int) -> int:
    """The port, or a free one for 0; BadInput when it cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as found:
            return int(found.getsockname()[1])
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise BadInput(
            f"port {port} of {host} is taken" if taken else f"{host}:{port} cannot be used",
            found=None if taken else error.strerror,
            hint="choose another with --port, or 0 for any" if taken else "see --host and --port",
        ) from error


def _in_address(host: str) -> str:
    # An address that means all of them is none that a browser can open.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    """Until the server answers; BadInput when it does not."""
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BadInput(
                "the MLflow server did not start", found=f"exit code {process.returncode}"
            )
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise BadInput("the MLflow server did not start", found=f"no answer within {START:g} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with all of its workers, which are of its own session."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
