"""Files that are there whole or not at all."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contracts import BadInput
from bench.files import sweep, write_whole


def write(path: Path, content: str | bytes = "new") -> None:
    write_whole(path, content, what="a thing", hint="do something")


def test_text_and_bytes_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a/b/name.tex"
    write(path, "ä\n")
    assert path.read_bytes() == b"\xc3\xa4\n"
    write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from bench.files import sweep, write_whole
real = os.{function}
def killed(*given, **rest):
    os.kill(os.getpid(), signal.SIGKILL)
os.{function} = killed
write_whole(Path(sys.argv[1]), "new" * 9999, what="a thing", hint="")
"""


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_kill_leaves_the_old_file(tmp_path: Path, function: str) -> None:
    path = tmp_path / "name.json"
    path.write_text("old")
    script = KILLED.format(function=function)
    done = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    # What is left of it is no file of that kind, and the next one is written all the same.
    assert list(tmp_path.glob("*.json")) == [path]
    write(path)
    assert path.read_text() == "new"


def test_an_interruption_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "name.json"
    write(path, "old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "name.json"
    write(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput) as caught:
        write(path)
    assert str(caught.value) == (
        f"{path}: a thing cannot be written; found No space left on device; do something"
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file/name.json", tmp_path / "file/more/name.json"):
        with pytest.raises(BadInput, match=r"cannot be written; found (File exists|Not a direct)"):
            write(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_where_the_file_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "name.json").mkdir()
    with pytest.raises(BadInput, match="cannot be written; found Is a directory"):
        write(tmp_path / "name.json")
    assert [path.name for path in tmp_path.iterdir()] == ["name.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="cannot be written; found Permission denied"):
        write(tmp_path / "name.json")


WRITER = """
import os, sys, time
from pathlib import Path
from bench import files
def stuck(_):
    print("writing", flush=True)
    time.sleep(600)
files.os.fsync = stuck
files.write_whole(Path(sys.argv[1]), "new", what="a thing", hint="")
"""


def test_sweeping_takes_what_the_dead_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    path = tmp_path / "name.json"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        (half,) = tmp_path.glob("*.tmp")
        foreign = tmp_path / "a user's.tmp"
        foreign.write_text("mine")
        assert sweep(tmp_path) == []
        assert half.exists()
        writer.kill()
        writer.wait()
        assert sweep(tmp_path) == [half]
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_file_that_was_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, swept = fcntl.flock, []

    def late(file, how) -> None:
        if not swept:
            swept.extend(tmp_path.glob("*.tmp"))
            swept[0].unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write(tmp_path / "name.json")
    assert swept
    assert (tmp_path / "name.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["name.json"]
