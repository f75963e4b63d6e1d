"""A real scheduler and real workers in processes on loopback: equal numbers, kills, refusals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread
from unittest.mock import MagicMock

import pytest

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'bench[dask]'")

from bench import agreement, cluster, engines
from bench.cluster import Cluster, connected
from bench.contracts import BadInput
from bench.engines import LOST, run_jobs, spread
from bench.results import Result
from bench.seats import Died

ROOT = Path(engines.__file__).parents[1]


class Machines:
    """A scheduler and workers, started by Dask's own command lines."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.started: list[subprocess.Popen] = []
        # The code under test, here and there.
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        until = time.monotonic() + 60
        while not self.file.is_file():
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.05)

    def worker(self, *options: str) -> None:
        self._start("worker", *(options or ("--nthreads", "1")))

    def _start(self, what: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
        command += ["--scheduler-file", str(self.file), "--no-dashboard"]
        self.started.append(
            subprocess.Popen(
                command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def close(self) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    with closing(Machines(tmp_path_factory.mktemp("cluster"))) as made:
        made.worker()
        made.worker("--nthreads", "1", "--resources", "GPU=1")
        yield made


@pytest.fixture(scope="module")
def dask(machines) -> Cluster:
    found = connected(str(machines.file))
    found.client.wait_for_workers(2, timeout=120)
    yield found
    found.client.close()
    connected.cache_clear()


def by_cell(results) -> dict[tuple[str, int], Result]:
    return {(result.cell.method, result.cell.seed): result for result in results}


def numbers(result: Result) -> tuple:
    return result.status, result.metrics, result.clips, result.curve, result.chosen


def weights(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (out / "weights").iterdir()}


def test_a_cluster_computes_the_same_bits_and_leaves_nothing_else(dask, job, tmp_path):
    jobs = [job("net"), job("ridge"), job("net", 1), job("broken"), job("linear")]
    local = by_cell(run_jobs(jobs, workers=2, tell=lambda *_: None))
    told = []
    there = [replace(one, out=tmp_path / "there") for one in jobs]
    found = by_cell(run_jobs(there, workers=dask, tell=lambda *said: told.append(said)))
    assert {key: numbers(r) for key, r in found.items()} == {
        key: numbers(r) for key, r in local.items()
    }
    assert found["broken", 0].error == "KeyError: 'broken on purpose'"
    assert {r.provenance["threads"] for r in found.values()} == {1}
    # Tensors and numbers, though not the time at which they were learned.
    assert weights(tmp_path / "there").keys() == weights(tmp_path / "out").keys()
    # What a training keeps to go on from is gone with its end.
    left = {file.parent.name for file in (tmp_path / "there").rglob("*") if file.is_file()}
    assert left == {"weights"}
    assert jobs[0].cells[0].key in {key for key, _, _ in told}


@pytest.fixture
def others(tmp_path, monkeypatch):
    """A scheduler of one test alone, and what connects to it."""
    monkeypatch.setattr(cluster, "_PATIENCE", 2)
    with closing(Machines(tmp_path)) as made:
        yield made, lambda: connected(str(made.file))
        connected(str(made.file)).client.close()
        connected.cache_clear()


def _waits(item, tell):
    item.touch()
    while not (item.parent / "go").exists():
        time.sleep(0.05)


@pytest.mark.parametrize("count", [1, 3])
def test_a_scheduler_that_is_killed_ends_the_run(others, tmp_path, count):
    machines, connect = others
    # A run of one is in flight as a whole; of three, one waits for its turn.
    busy = min(count, 2)
    for _ in range(busy):
        machines.worker("--nthreads", "1", "--no-nanny")
    dask = connect()
    items = [tmp_path / f"item{number}" for number in range(count)]

    def kill():
        _until(lambda: sum(item.exists() for item in items) == busy)
        machines.started[0].kill()

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(BadInput, match=r"the scheduler is gone; .*the same command goes on"):
        list(spread(_waits, items, workers=dask))
    killer.join()
    # Nor does a later run begin.
    with pytest.raises(BadInput, match="the scheduler is gone"):
        list(spread(_where, [1], workers=dask))
    (tmp_path / "go").touch()


def test_a_worker_that_is_started_again_at_its_address_is_another_one(others, tmp_path):
    machines, connect = others
    options = ("--nthreads", "1", "--no-nanny", "--worker-port", str(_free_port()))
    machines.worker(*options)
    dask = connect()
    found = spread(_where, range(3), workers=dask)
    _, first = next(found)
    (address,) = dask.workers()
    machines.started[-1].kill()
    machines.started.pop().wait()
    machines.worker(*options)
    rest = [outcome for _, outcome in found]
    assert len(rest) == 2
    assert LOST not in rest
    assert rest[-1] != first
    assert set(dask.workers()) == {address}


class Listed:
    """A cluster that a test lists: the folders of its workers by their addresses."""

    name, agreed, client = "listed", agreement.of_code(), MagicMock()

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self.said: list[str] = []
        self.say = self.said.append

    def workers(self):
        return {
            name: {"local_directory": folder, "nthreads": 2 if name == "bad" else 1}
            for name, folder in self.folders.items()
        }

    def seats(self, tell, claim):
        return cluster._Workers(self, tell, claim)


class ListedSeat(cluster._WorkerSeat):
    """Agrees, and needs a moment for a task, whose outcome is where it was done."""

    def run(self, work, item, tell):
        if work is cluster._problem:
            return None
        time.sleep(0.1)
        if not self.usable:
            raise Died
        return self._place


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr(cluster, "_WorkerSeat", ListedSeat)
    monkeypatch.setattr(cluster, "_LOOK", 0.02)
    return Listed()


def test_who_took_part_is_waited_for_while_another_one_refuses(listed):
    listed.folders = {"good": "a", "bad": "a"}
    found = spread(_where, range(4), workers=listed)
    assert next(found)[1] == ("good", "a")
    listed.folders = {"bad": "a"}
    time.sleep(0.3)
    listed.folders = {"bad": "a", "good": "b"}
    assert {outcome for _, outcome in found} - {("good", "a")} == {("good", "b")}
    assert listed.said == ["worker bad refuses: it runs 2 threads; start it with --nthreads 1"]


def test_who_took_part_is_not_waited_for_without_end(listed, monkeypatch):
    monkeypatch.setattr(cluster, "_GRACE", 0.5)
    listed.folders = {"good": "a", "bad": "a"}
    found = spread(_where, range(4), workers=listed)
    next(found)
    listed.folders = {"bad": "a"}
    left = time.monotonic()
    with pytest.raises(BadInput, match="no worker can take part; found it runs 2 threads"):
        list(found)
    assert time.monotonic() - left > 0.4


def test_whoever_looks_for_workers_fails_aloud(listed, monkeypatch):
    found = spread(_where, range(2), workers=listed)
    monkeypatch.setattr(listed, "workers", lambda: {"one": {}})
    with pytest.raises(KeyError, match="local_directory"):
        list(found)


def _until(true) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _where(item, tell):
    time.sleep(0.3)
    return os.getpid()


def _gpu_worker(dask) -> int:
    (address,) = (a for a, about in dask.workers().items() if about["resources"].get("GPU"))
    return dask.client.run(os.getpid, workers=[address])[address]


def test_what_needs_a_gpu_goes_to_workers_that_have_one(dask):
    gpu = _gpu_worker(dask)
    found = list(spread(_where, range(6), workers=dask, gpu=lambda item: item >= 3))
    assert {pid for item, pid in found if item >= 3} == {gpu}
    assert {pid for item, pid in found if item < 3} - {gpu}
    assert dask.device("auto") == "cuda:0"
    assert dask.device("cpu") == "cpu"


def test_killing_a_worker_in_mid_run_costs_nothing(dask, job, tmp_path):
    jobs = [job("slow"), job("net"), job("linear")]
    local = by_cell(run_jobs(jobs, workers=1, tell=lambda *_: None))
    victims = dask.client.run(os.getpid)
    slow, killed = jobs[0].cells[0].key, []

    def kill(item, share, text):
        # The worker that trains has told so: end all of them, as a power cut would.
        if item == slow and text.startswith("training") and not killed:
            killed.extend(victims.values())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    there = [replace(one, out=tmp_path / "there") for one in jobs]
    found = by_cell(run_jobs(there, workers=dask, tell=kill))
    assert len(killed) == 2
    assert [r.error for r in found.values()] == [None] * 3
    assert {key: numbers(r) for key, r in found.items()} == {
        key: numbers(r) for key, r in local.items()
    }
    assert not set(killed) & set(dask.client.run(os.getpid).values())


def _dies(item, tell):
    if item is not None:
        with item.open("a") as out:
            out.write("x")
        os._exit(9)
    return "done"


def test_a_task_that_kills_two_workers_is_lost_alone(dask, tmp_path):
    found = dict(spread(_dies, [tmp_path / "a", None], workers=dask))
    assert found == {tmp_path / "a": LOST, None: "done"}
    assert (tmp_path / "a").read_text() == "xx"


def test_workers_of_another_version_refuse(dask):
    said = []
    made = agreement.of_code()
    other = replace(made, versions={**made.versions, "bench": "0.0.1"})
    with pytest.raises(BadInput, match=r"no worker can take part; found it has bench .* 0\.0\.1"):
        list(spread(_where, [1], workers=replace(dask, agreed=other, say=said.append)))
    assert sum("refuses: it has bench" in line for line in said) == 2


def test_workers_with_other_data_refuse(dask, job):
    one = job("net")
    (cell,) = one.cells
    lying = replace(one, cells=(replace(cell, fingerprint="0" * 16),))
    with pytest.raises(BadInput, match=f"fingerprint {cell.fingerprint}, the run's 0000"):
        list(run_jobs([lying], workers=replace(dask, say=lambda _: None), tell=lambda *_: None))


def test_a_worker_with_several_threads_refuses_and_the_others_go_on(dask, machines):
    machines.worker("--nthreads", "2")
    dask.client.wait_for_workers(3, timeout=120)
    said = []
    many = [a for a, about in dask.workers().items() if about["nthreads"] == 2]
    found = list(spread(_where, range(4), workers=replace(dask, say=said.append)))
    assert len(found) == 4
    assert said == [f"worker {many[0]} refuses: it runs 2 threads; start it with --nthreads 1"]
    dask.client.retire_workers(many)
    machines.started.pop().terminate()


def test_what_nobody_wants_any_more_is_dropped(dask, job, tmp_path):
    found = run_jobs([job("slow"), job("linear")], workers=dask, tell=lambda *_: None)
    assert next(found).cell.method == "linear"
    found.close()
    # Its worker is free for others long before it would have been done.
    busy = dask.client.run(lambda dask_worker: len(dask_worker.state.executing))
    until = time.monotonic() + 30
    while any(busy.values()) and time.monotonic() < until:
        time.sleep(0.1)
        busy = dask.client.run(lambda dask_worker: len(dask_worker.state.executing))
    assert not any(busy.values())
    assert not list((tmp_path / "out").glob("weights/*slow*"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_killed_client_loses_nothing_and_the_same_command_goes_on(dask, machines, job, tmp_path):
    (plugin,) = job("slow").plugins
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "bench", "run", "table3", "--datasets", "pw3d-spin"),
        *(
            "--budget",
            "smoke",
            "--device",
            "cpu",
            "--methods",
            "linear,cubic,slow",
            "--seeds",
            "3",
            "--no-track",
        ),
        *("--plugin", str(plugin), "--out", str(out)),
    ]
    spreading = ["--engine", "dask", "--scheduler", str(machines.file)]
    environment = {**machines.environment, "BENCH_CACHE": os.environ["BENCH_CACHE"]}
    client = subprocess.Popen([*command, *spreading], env=environment, stderr=subprocess.PIPE)
    # A cold machine makes the stand-in first.
    until = time.monotonic() + 600
    while not list(out.glob("results/*.json")):
        assert time.monotonic() < until
        time.sleep(0.02)
    client.kill()
    client.wait()
    before = {file.name: file.read_bytes() for file in out.glob("results/*.json")}
    assert 0 < len(before) < 5
    done = subprocess.run(
        [*command, *spreading], env=environment, capture_output=True, text=True, check=True
    )
    assert f"{5 - len(before)} cells to run, {len(before)} from earlier" in done.stderr
    after = {file.name: file.read_bytes() for file in out.glob("results/*.json")}
    assert len(after) == 5
    assert before.items() <= after.items()
    command[-1] = str(tmp_path / "local")
    subprocess.run(command, env=environment, capture_output=True, check=True)

    def scores(folder):
        read = {file.name: json.loads(file.read_text()) for file in folder.glob("results/*")}
        return {name: (said["metrics"], said["clips"]) for name, said in read.items()}

    assert scores(out) == scores(tmp_path / "local")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: pbs\n", "kind: Input should be 'local', 'cuda', 'ssh' or 'slurm'"),
        ("kind: local\nworker: 2\n", "worker: unknown key, did you mean workers"),
        ("kind: !!python/object/apply:os.system [echo]\n", "not valid YAML"),
        ("kind: local\noptions: {no_such: 1}\n", "the cluster cannot be started"),
    ],
)
def test_a_cluster_file_that_is_not_right_is_refused(tmp_path, text, problem):
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=problem):
        connected(str(file))


def test_a_scheduler_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with pytest.raises(BadInput, match="the scheduler does not answer"):
        connected("tcp://127.0.0.1:1")
    with pytest.raises(BadInput, match="no such scheduler; expected tcp://HOST:PORT"):
        connected(str(tmp_path / "absent.json"))


def test_slurm_is_asked_for_single_threaded_workers(tmp_path):
    jobqueue = pytest.importorskip("dask_jobqueue")
    file = tmp_path / "slurm.yaml"
    file.write_text(
        "kind: slurm\nworkers: 3\noptions:\n  memory: 16GB\n"
        "  worker_extra_args: [--resources, GPU=1]\n  job_extra_directives: ['--gres=gpu:1']\n"
    )
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobqueue.SLURMCluster, "scale", lambda self, n: asked.append((self, n)))
        started = cluster._started(cluster.read(file, cluster.ClusterFile), file)
    with closing(started):
        script = started.job_script()
        assert asked == [(started, 3)]
    assert "#SBATCH --gres=gpu:1" in script
    assert "--nthreads 1" in script
    assert "--resources GPU=1" in script


def test_a_file_may_start_processes_on_this_machine(tmp_path):
    file = tmp_path / "local.yaml"
    file.write_text("kind: local\nworkers: 1\noptions: {dashboard_address: null}\n")
    made = connected(str(file))
    try:
        assert made.device("auto") == "cpu"
        assert [item for item, _ in spread(_where, [7], workers=made)] == [7]
    finally:
        made.client.cluster.close()
        made.client.close()
        connected.cache_clear()
