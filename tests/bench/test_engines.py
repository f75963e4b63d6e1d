"""Cells in processes: the same numbers whatever runs beside them, and nothing else dies along."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import engines
from bench.contracts import BadInput
from bench.engines import LOST, run_jobs
from bench.results import Result
from bench.run import compute


def by_cell(results) -> dict[tuple[str, int], Result]:
    return {(result.cell.method, result.cell.seed): result for result in results}


def test_one_and_two_workers_and_none_compute_the_same_bits(job):
    told = []
    jobs = [job("net"), job("broken"), job("net", 1)]
    here = by_cell(result for one in jobs for result in compute(one, lambda *_: None))
    one = by_cell(run_jobs(jobs, workers=1, tell=lambda *said: told.append(said)))
    two = by_cell(run_jobs(jobs, workers=2, tell=lambda *_: None))
    for key in (("net", 0), ("net", 1)):
        assert here[key].metrics == one[key].metrics == two[key].metrics
        assert here[key].clips == one[key].clips == two[key].clips
        assert [r[key].provenance["threads"] for r in (one, two)] == [1, 1]
    assert here["net", 0].metrics != here["net", 1].metrics
    # A failing cell is recorded and stops no other.
    assert one["broken", 0].status == two["broken", 0].status == "failed"
    assert one["broken", 0].error == "KeyError: 'broken on purpose'"
    assert {(key, text) for key, _, text in told} >= {(jobs[0].cells[0].key, "scoring")}


def test_a_process_that_dies_fails_its_own_cell_only(job):
    found = by_cell(run_jobs([job("dies"), job("linear")], workers=2, tell=lambda *_: None))
    assert found["linear", 0].status == "done"
    assert found["dies", 0].status == "failed"
    assert "the process died" in found["dies", 0].error


def test_what_was_computed_beside_a_killer_is_computed_again_alone(job, monkeypatch):
    # As on a GPU, where it is seeds and optimisers that are trained at once.
    monkeypatch.setattr(engines, "bundles", lambda jobs: [tuple(jobs)])
    monkeypatch.setattr("bench.seats.ATTEMPTS", 1)
    claimed = []

    def claim(one):
        claimed.append(one.cells[0].method)
        return one

    jobs = [job("dies"), job("net")]
    found = by_cell(run_jobs(jobs, workers=1, tell=lambda *_: None, claim=claim))
    assert "the process died" in found["dies", 0].error
    (alone,) = compute(jobs[1], lambda *_: None)
    assert found["net", 0].metrics == alone.metrics
    assert claimed == ["dies", "net"] * 2


def test_a_killer_is_done_twice_and_what_ran_beside_it_once(tmp_path):
    items = [("kill", tmp_path / "a"), ("write", tmp_path / "b"), ("write", tmp_path / "c")]
    found = dict(engines.spread(_noted, items, workers=2))
    assert found == {items[0]: LOST, items[1]: "b", items[2]: "c"}
    assert [len(file.read_text()) for _, file in items] == [2, 1, 1]


def test_what_work_raises_is_raised_here(tmp_path):
    with pytest.raises(BadInput, match=r"a\.txt: no good"):
        list(engines.spread(_raises, [tmp_path / "a.txt"], workers=1))


def test_closing_kills_what_is_in_flight(tmp_path):
    spread = engines.spread(_sleeps, [tmp_path / "pid", None], workers=2)
    assert next(spread) == (None, "done")
    pid = int(_when_there(tmp_path / "pid"))
    began = time.monotonic()
    spread.close()
    assert time.monotonic() - began < 10
    assert not _lives(pid)


def test_a_killed_parent_leaves_no_process_behind(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from bench import engines\n"
        "import leaves\n"
        "if __name__ == '__main__':\n"
        "    list(engines.spread(leaves.sleeps, [Path(sys.argv[1]) / 'pid'], workers=1))\n"
    )
    (tmp_path / "leaves.py").write_text(
        "import os, time\n"
        "def sleeps(item, tell):\n"
        "    item.with_suffix('.tmp').write_text(str(os.getpid()))\n"
        "    item.with_suffix('.tmp').rename(item)\n"
        "    time.sleep(300)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    root = str(Path(engines.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, str(tmp_path)])}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path], env=environment)
    pid = int(_when_there(tmp_path / "pid"))
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _lives(pid)


def _noted(item, tell):
    what, file = item
    with file.open("a") as out:
        out.write("x")
    if what == "kill":
        os._exit(9)
    return file.name


def _raises(item, tell):
    raise BadInput("no good", file=item)


def _sleeps(item, tell):
    if item is not None:
        item.with_suffix(".tmp").write_text(str(os.getpid()))
        item.with_suffix(".tmp").rename(item)
        time.sleep(300)
    return "done"


def _when_there(file: Path) -> str:
    until = time.monotonic() + 60
    while not file.is_file():
        assert time.monotonic() < until, "no process started"
        time.sleep(0.02)
    return file.read_text()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.is_file() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_without_jobs_nothing_is_started():
    assert list(run_jobs([], workers=2, tell=lambda *_: None)) == []
