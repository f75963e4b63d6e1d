"""Studies on disk: trials that say who computes them, a lock without leftovers, whole lines."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from bench.liveness import is_gone, this_process
from bench.storages import open_storage

# Takes the lock of a journal, and then never does anything again.
HOLDER = """
import sys, time
from pathlib import Path
from bench.storages import _Lock
_Lock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["journal", "database"])
def place(request, tmp_path) -> str:
    if request.param == "journal":
        return str(tmp_path / "studies.journal")
    return f"sqlite:///{tmp_path}/studies.db"


def test_a_trial_says_from_its_beginning_who_computes_it(place):
    study = optuna.create_study(storage=open_storage(place), study_name="a")
    study.ask()
    (trial,) = optuna.load_study(storage=open_storage(place), study_name="a").get_trials()
    assert (trial.number, trial.state) == (0, TrialState.RUNNING)
    assert trial.user_attrs == {"worker": this_process()}
    assert trial.datetime_start is not None


def test_what_a_dead_process_locked_is_free_at_once(tmp_path):
    place = tmp_path / "studies.journal"
    study = optuna.create_study(storage=open_storage(str(place)), study_name="a")
    words = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"
        finally:
            holder.send_signal(signal.SIGKILL)
    began = time.monotonic()
    study.set_user_attr("said", 1)
    assert time.monotonic() - began < 5
    assert [path.name for path in tmp_path.iterdir()] == ["studies.journal"]


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "wor', b"\xff", b'{"op_code": 8}'])
def test_half_a_line_is_dropped_and_the_next_one_is_whole(tmp_path, torn):
    place = tmp_path / "studies.journal"
    first = optuna.create_study(storage=open_storage(str(place)), study_name="a")
    first.set_user_attr("before", 1)
    whole = place.read_bytes()
    place.write_bytes(whole + torn)
    again = optuna.load_study(storage=open_storage(str(place)), study_name="a")
    assert again.user_attrs == {"before": 1}
    again.set_user_attr("after", 2)
    assert place.read_bytes().startswith(whole + b"{")
    found = optuna.load_study(storage=open_storage(str(place)), study_name="a")
    assert found.user_attrs == {"before": 1, "after": 2}
    # The one that has had it open all along reads on, too.
    assert first.user_attrs == {"before": 1, "after": 2}


def test_a_process_is_gone_once_it_has_ended():
    code = "from bench.liveness import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        name = other.stdout.readline().strip()
        machine, number, began = name.split()
        assert int(number) == other.pid
        assert not is_gone(name)
        # The same number, used again by a process that began at another time.
        assert is_gone(f"{machine} {number} {began}0") == Path("/proc/self/stat").exists()
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait(30)
    assert is_gone(name)
    assert not is_gone(f"another {number} {began}")
    assert not is_gone(this_process())
