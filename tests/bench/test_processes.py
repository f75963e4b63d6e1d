"""Processes as seats: which there are, what they see, and what comes back from them."""

import os
import subprocess
import sys

import pytest
import torch

from bench import processes
from bench.contracts import BadInput
from bench.engines import spread
from bench.processes import ProcessSeat, gpus, portable, seats


def environment(item, tell):
    return os.environ.get("CUDA_VISIBLE_DEVICES"), torch.get_num_threads()


@pytest.mark.parametrize(
    ("workers", "tasks", "devices", "on_gpu", "on_cpu"),
    [
        (4, [False] * 3, (), 0, 3),
        (2, [False] * 3, (), 0, 2),
        (2, [True] * 5 + [False] * 3, ("0", "1", "2"), 3, 2),
        (2, [True, False], ("0", "1"), 1, 1),
        (2, [True] * 3, ("0",), 1, 0),
    ],
)
def test_a_seat_for_each_gpu_and_so_many_beside_them(workers, tasks, devices, on_gpu, on_cpu):
    found = seats(workers, tasks, devices)
    assert [seat.gpu for seat in found] == [True] * on_gpu + [False] * on_cpu


def test_each_gpu_has_a_process_that_sees_it_alone(monkeypatch):
    monkeypatch.setattr(processes, "gpus", lambda: ("4", "7"))
    found = spread(environment, [0, 1], workers=2, gpu=lambda item: True)
    # A process may have done both.
    assert {outcome for _, outcome in found} <= {("4", 1), ("7", 1)}
    seat = ProcessSeat("7")
    assert seat.run(environment, 0, lambda *_: None) == ("7", 1)
    seat.kill()


@pytest.mark.parametrize(
    ("visible", "count", "found"),
    [(None, 2, ("0", "1")), ("2,5", 2, ("2", "5")), ("", 0, ()), ("3", 0, ())],
)
def test_gpus_are_named_as_the_environment_names_them(monkeypatch, visible, count, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == found


def tells(item, tell):
    tell("key", 0.5, "half")
    return "done"


def test_what_tells_may_fail_and_the_process_does_not_die_of_it():
    def full(*_):
        raise OSError(28, os.strerror(28))

    seat = ProcessSeat()
    with pytest.raises(OSError, match="No space left"):
        seat.run(tells, 0, full)
    seat.kill()
    assert list(spread(tells, [0], workers=1, tell=full)) == [(0, "done")]


def test_an_error_travels_as_itself_or_as_its_words():
    class Local(Exception):
        pass

    assert str(portable(BadInput("bad", file="a", hint="b"))) == "a: bad; b"
    found = portable(Local("words"))
    assert (type(found), str(found)) == (RuntimeError, "Local: words")


ENDS_WITH_A_SEMAPHORE = """
import multiprocessing, os
from bench.processes import ProcessSeat

def work(item, tell):
    globals()["kept"] = multiprocessing.get_context("spawn").RLock()
    return os.environ.get("PYTHONWARNINGS")

if __name__ == "__main__":
    seat = ProcessSeat()
    print(seat.run(work, 0, lambda *_: None), os.environ.get("PYTHONWARNINGS"))
    seat.kill()
"""


@pytest.mark.parametrize("set_before", [None, "error::RuntimeWarning"])
def test_nothing_is_said_of_what_a_killed_process_leaves(tmp_path, set_before):
    script = tmp_path / "script.py"
    script.write_text(ENDS_WITH_A_SEMAPHORE)
    rest = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    environment = rest | ({"PYTHONWARNINGS": set_before} if set_before else {})
    ended = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    assert ended.stdout.split() == [str(set_before)] * 2
