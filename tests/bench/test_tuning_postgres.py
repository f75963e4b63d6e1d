"""Tuning over PostgreSQL: four workers, one of them killed; and optuna-dashboard on both storages.

Starts a server of its own on the loopback interface, in a folder that is removed. Runs where
BENCH_POSTGRES is set (`tox -e postgres`), and there installs what is missing where it may.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from bench import studies
from bench.storages import open_storage, usual

pytestmark = pytest.mark.skipif(
    not os.environ.get("BENCH_POSTGRES"),
    reason="starts and may install a PostgreSQL server: tox -e postgres",
)

STUDY_TRIALS, WORKERS = 24, 4

PLUGIN = """
import time
from dataclasses import dataclass
from typing import ClassVar
import torch
from bench.contracts import Real, Search

@dataclass(frozen=True)
class _Options:
    gain: float = 0.5

class Slow(torch.nn.Module):
    name, title, source, revision, Options = "slow", "Slow", "here", 1, _Options
    search: ClassVar[Search] = Search(options={"gain": Real(0.0, 1.0)})
    training_defaults: ClassVar[dict] = {"batch": 32, "lr": 0.01, "schedule": "cosine"}
    def __init__(self, options, window):
        super().__init__()
        self.gain = options.gain
        self.layer = torch.nn.Linear(window.keyframes, window.frames)
    def recover(self, keyframes):
        return self.layer(keyframes.mT).mT * self.gain
    def loss(self, keyframes, truth):
        time.sleep(0.1)
        return (self.recover(keyframes) - truth).abs().mean()
"""


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def program(name: str) -> str | None:
    """A program of PostgreSQL; Debian keeps its servers off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def installed() -> None:
    if program("initdb"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("no PostgreSQL server, and it cannot be installed here")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=quiet)
    subprocess.run(["apt-get", "install", "-q", "-y", "postgresql"], check=True, env=quiet)
    assert program("initdb")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a new, empty database."""
    with serving() as (url, _):
        yield url


@contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a new, empty database, and its server: as root it would not run, but as nobody."""
    installed()
    folder, port = Path(tempfile.mkdtemp(prefix="bench-postgres-")), free_port()
    who = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    if who:
        shutil.chown(folder, **who)
    init = [program("initdb"), "-D", folder / "data", "-U", "bench", "-A", "trust", "-E", "UTF8"]
    start = [program("postgres"), "-D", folder / "data", "-p", str(port), "-k", folder]
    start += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    options = {**who, "cwd": folder}
    try:
        subprocess.run([*map(str, init)], check=True, capture_output=True, **options)
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen([*map(str, start)], stdout=log, stderr=log, **options)
        try:
            wait_for(lambda: answers(port), 60, (folder / "log").read_text)
            yield f"postgresql://bench@127.0.0.1:{port}/postgres", running
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(30)
    finally:
        shutil.rmtree(folder)


def answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://bench@127.0.0.1:{port}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def wait_for(true, seconds: float, why=lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)


def command(tmp_path: Path, *more: str) -> list[str]:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    words = ["tune", "slow", "--dataset", "pw3d-spin", "--budget", "smoke", "--windows", "512"]
    words += ["--plugin", str(plugin), "--device", "cpu", "--no-track"]
    words += ["--finalists", "1", "--seeds", "2", "--out", str(tmp_path / "out")]
    return [sys.executable, "-m", "bench", *words, *more]


def study_in(storage: str) -> optuna.Study:
    opened = open_storage(storage)
    (name,) = optuna.get_all_study_names(opened)
    return optuna.load_study(study_name=name, storage=opened)


def test_four_workers_and_a_kill_leave_every_trial_once(server, tmp_path):
    words = command(
        tmp_path, "--trials", str(STUDY_TRIALS), "-j", str(WORKERS), "--storage", server
    )
    with (tmp_path / "said").open("wb") as said:
        running = subprocess.Popen(words, stdout=said, stderr=said)

    def text() -> str:
        return (tmp_path / "said").read_text()

    def at_work() -> list[optuna.trial.FrozenTrial]:
        try:
            study = study_in(server)
        except ValueError:  # it is not there yet
            return []
        running_now = study.get_trials(states=(TrialState.RUNNING,))
        return [trial for trial in running_now if "worker" in trial.user_attrs]

    workers: set[str] = set()

    def all_have_begun() -> bool:
        assert running.poll() is None, text()
        workers.update(trial.user_attrs["worker"] for trial in at_work())
        return len(workers) == WORKERS and bool(at_work())

    wait_for(all_have_begun, 240, text)
    victim = at_work()[0]
    os.kill(int(victim.user_attrs["worker"].split()[1]), signal.SIGKILL)
    assert running.wait(600) == 0, text()

    study = study_in(server)
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    killed = trials[victim.number]
    assert killed.state == TrialState.FAIL
    assert killed.value is None
    done = studies.finished(study)
    assert len(done) == STUDY_TRIALS
    assert victim.number not in {trial.number for trial in done}
    assert len(studies.lost(study)) == 1
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in done)
    gains = [trial.params["gain"] for trial in done]
    assert len(set(gains)) == STUDY_TRIALS
    assert (tmp_path / "out/presets/slow.yaml").is_file()
    # The same command computes nothing again.
    again = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    assert f"{STUDY_TRIALS} from earlier" in again.stderr
    assert len(study_in(server).get_trials()) == len(trials)
    with dashboard(server.replace("postgresql:", "postgresql+psycopg:")) as fetch:
        assert study.study_name in fetch("/api/studies")
        assert "<html" in fetch("/dashboard").lower()


def test_the_dashboard_opens_a_journal_file(tmp_path):
    subprocess.run(command(tmp_path, "--trials", "2"), check=True, capture_output=True)
    journal = usual(tmp_path / "out")
    with dashboard(journal) as fetch:
        assert study_in(journal).study_name in fetch("/api/studies")
        assert "<html" in fetch("/dashboard").lower()


def test_a_server_that_is_down_is_said_in_one_line(tmp_path):
    storage = f"postgresql://me:secret@127.0.0.1:{free_port()}/postgres"
    done = subprocess.run(
        command(tmp_path, "--trials", "2", "--storage", storage), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "cannot be opened" in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_goes_away_is_said_in_one_line(tmp_path, workers):
    with serving() as (url, running):
        words = command(tmp_path, "--trials", "20", "-j", workers, "--storage", url)
        said = tmp_path / "said"
        with said.open("wb") as log:
            tuned = subprocess.Popen(words, stdout=log, stderr=log)
        wait_for(lambda: "/20] trial" in said.read_text(), 240, said.read_text)
        running.send_signal(signal.SIGINT)
        assert tuned.wait(120) == 2
    lines = [line for line in said.read_text().splitlines() if not line.startswith(("slow", " "))]
    assert len(lines) == 1, said.read_text()
    assert lines[0].startswith("bench: postgresql://bench@127.0.0.1")
    assert "the storage of studies does not answer" in lines[0]


@contextmanager
def dashboard(storage: str):
    """optuna-dashboard on a free port; gives what fetches one of its pages."""
    port = free_port()
    words = [str(Path(sys.executable).with_name("optuna-dashboard")), storage]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def fetch(page: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=30) as answer:
            return answer.read().decode()

    def up() -> bool:
        assert running.poll() is None
        try:
            fetch("/dashboard")
        except OSError:
            return False
        return True

    try:
        wait_for(up, 120)
        yield fetch
    finally:
        running.terminate()
        running.wait(30)
