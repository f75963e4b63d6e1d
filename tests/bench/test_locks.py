"""Locks between real processes: one holder, none after its death, and nothing stale."""

import errno
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contracts import BadInput
from bench.locks import FILE, Locks

HOLDER = """
import sys, time
from pathlib import Path
from bench.locks import Locks
with Locks(Path(sys.argv[1]), what="x", hint="y") as locks:
    print(locks.take("mine"), flush=True)
    time.sleep(600)
"""


def locks_of(folder: Path) -> Locks:
    return Locks(folder, what="a folder", hint="do something")


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds the lock 'mine'."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_lock_has_one_holder_until_it_is_killed(tmp_path: Path, holder) -> None:
    with locks_of(tmp_path) as locks:
        assert not locks.take("mine")
        assert locks.take("other")
        said: list[str] = []
        holder.send_signal(signal.SIGKILL)
        locks.wait("mine", lambda: said.append("waiting"))
        assert locks.take("mine")


def test_what_is_given_back_is_free_and_the_rest_is_not(tmp_path: Path) -> None:
    look = (
        "import sys; from pathlib import Path; from bench.locks import Locks\n"
        "with Locks(Path(sys.argv[1]), what='', hint='') as locks:\n"
        "    print(locks.take('a'), locks.take('b'))"
    )

    def seen() -> str:
        command = [sys.executable, "-c", look, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with locks_of(tmp_path) as locks:
        assert locks.take("a")
        assert locks.take("b")
        assert seen() == "False False"
        locks.give("a")
        assert seen() == "True False"
    assert seen() == "True True"
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_size == 0


def test_without_locks_in_the_file_system_everything_is_free(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with locks_of(tmp_path) as locks:
        assert locks.supported
        assert locks.take("a")
        assert not locks.supported
        locks.give("a")


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match=r"a folder cannot be written.*do something"):
        locks_of(tmp_path / "file").__enter__()
