"""Which machine this is, and whether it is idle, from readings that are made up."""

import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.machine import Machine, load, physical_cores, read_ticks, this_machine

BOX = Machine("Fast 9", 4, "Linux x86_64", {"python": "3.11.7", "torch": "2.13.0"})


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.os.cpu_count", lambda: 4)


def test_this_machine_has_cores_and_the_versions_that_compute() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert {"python", "torch"} <= machine.versions.keys()
    assert machine == this_machine()


@pytest.mark.parametrize(
    "other",
    [
        replace(BOX, cpu="Slow 1"),
        replace(BOX, cores=8),
        replace(BOX, system="Darwin arm64"),
        replace(BOX, versions={**BOX.versions, "torch": "2.12.0"}),
    ],
)
def test_everything_that_moves_times_makes_another_machine(other: Machine) -> None:
    assert other.key != BOX.key
    assert other.words != BOX.words


def test_words_name_all_of_it() -> None:
    assert BOX.words == "Fast 9, 4 cores, Linux x86_64, python 3.11.7, torch 2.13.0"
    assert "1 core," in replace(BOX, cores=1).words


@pytest.mark.parametrize(("busy", "idle"), [(0, True), (10, True), (11, False), (100, False)])
def test_load_is_the_share_of_ticks_that_are_busy(busy: int, idle: bool) -> None:
    readings = iter([(500, 1000), (500 + busy, 1100)])
    waited: list[float] = []
    found = load(2.0, read=lambda: next(readings), wait=waited.append)
    assert found.busy == pytest.approx(4 * busy / 100)
    assert found.idle is idle
    assert waited == [2.0]
    assert "of 4 cores busy with other work (measured for 2 s)" in found.words


def test_load_without_ticks_is_the_mean_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.os.getloadavg", lambda: (3.0, 0.0, 0.0))
    found = load(read=lambda: None, wait=lambda _: pytest.fail("nothing to wait for"))
    assert (found.busy, found.idle) == (3.0, False)
    assert "mean of the last minute" in found.words


def test_load_where_nothing_is_known_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr("bench.machine.os.getloadavg", absent)
    found = load(read=lambda: None)
    assert found.idle
    assert "not known" in found.words


def test_ticks_leave_out_guests_and_count_waiting_as_idle(tmp_path: Path) -> None:
    file = tmp_path / "stat"
    # user nice system idle iowait irq softirq steal guest guest_nice
    file.write_text("cpu  10 2 3 100 20 1 1 5 7 7\ncpu0 1 1 1 1\n")
    assert read_ticks(file) == (22, 142)


@pytest.mark.parametrize("text", ["", "intr 1 2 3 4 5\n", "cpu a b c d e\n", "cpu 1 2\n"])
def test_ticks_that_cannot_be_read_are_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "stat"
    file.write_text(text)
    assert read_ticks(file) is None
    assert read_ticks(tmp_path / "absent") is None


def test_two_threads_of_one_core_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.machine.hardware", lambda _: {"cores": 4})
    monkeypatch.setattr("bench.machine.os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    info = tmp_path / "cpuinfo"
    places = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 7)]
    info.write_text(
        "\n\n".join(
            f"processor\t: {number}\nphysical id\t: {package}\ncore id\t\t: {core}"
            for number, (package, core) in enumerate(places)
        )
    )
    # The fifth is not ours to use.
    assert physical_cores(info) == 3
    info.write_text("processor\t: 0\nBogoMIPS\t: 48\n")
    assert physical_cores(info) == 4
    assert physical_cores(tmp_path / "absent") == 4


def test_memory_that_is_freed_stays_with_a_process_that_wants_it() -> None:
    code = """
import resource, sys
import torch
from bench.machine import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def used():
    before = faults()
    for _ in range(20):
        torch.empty(16_000_000).fill_(1)
    return faults() - before

used()
before = used()
assert keep_memory()
used()
print(before, used())
"""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 0.1 * before
