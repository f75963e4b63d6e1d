"""What goes wrong around a command, done for real: one line each, nothing lost, and on it goes."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import engines, registry
from bench.cli import main
from bench.results import from_json
from bench.run import compute

BENCH = (sys.executable, "-m", "bench")
KILLS = Path(__file__).with_name("kills.py")
TABLE = (
    "table3", "--datasets", "pw3d-spin", "--methods", "linear,nearest", "--budget", "smoke",
    "--device", "cpu",
)  # fmt: skip

# What the smallest file takes of a file system in memory.
PAGE = 4096

# A method that goes on as long as there is a file `held`, and tells by a file that it has begun.
HELD = """
import time
from pathlib import Path
from dataclasses import dataclass

@dataclass(frozen=True)
class _Options:
    pass

class Held:
    title, source, revision, Options = "held", "here", 1, _Options
    def __init__(self, options, window):
        pass
    def recover(self, keyframes):
        here = Path(__file__).parent
        (here / "begun").touch()
        (here / f"{type(self).__name__} has begun").touch()
        while (here / "held").exists():
            time.sleep(0.05)
        raise KeyError("held no more")

class Second(Held):
    title = "second"

class Third(Held):
    title = "third"
"""


@pytest.fixture(scope="module", autouse=True)
def standin() -> None:
    """The stand-in of the table, made once for every test."""
    done = CliRunner().invoke(main, ["data", "prepare", "pw3d-spin", "--device", "cpu"])
    assert done.exit_code == 0, done.output


@pytest.fixture
def here(monkeypatch):
    """A table in this process, cells included; (exit code, what was said)."""

    def run_here(jobs, *, workers, tell, claim):
        for job in filter(None, map(claim, jobs)):
            yield from compute(job, tell)

    monkeypatch.setattr(engines, "run_jobs", run_here)
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})

    def run(out: Path, *more: str) -> tuple[int, str, str]:
        track = () if "--track" in more else ("--no-track",)
        words = ["run", *TABLE, *track, "--out", str(out), *more]
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        done = CliRunner().invoke(main, words, prog_name="bench", env={"COLUMNS": "200"})
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 1 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place))
    if shutil.which("mount") is None or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("this user may not mount file systems")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def started(out: Path, *more: str, **given) -> subprocess.Popen:
    return subprocess.Popen(
        [*BENCH, "run", *TABLE, "--no-track", "--workers", "2", "--out", str(out), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "COLUMNS": "200"}, **given,
    )  # fmt: skip


def held(folder: Path) -> Path:
    """A plugin whose method goes on until the file `held` beside it is deleted."""
    (folder / "held").touch()
    plugin = folder / "plugin.py"
    plugin.write_text(HELD)
    return plugin


def numbers(out: Path) -> dict[str, object]:
    """What every result of a folder says; fails for one that is not whole."""
    found = {}
    for path in (out / "results").glob("*.json"):
        result = from_json(path.read_text(encoding="utf-8"), path)
        found[path.name] = (result.metrics, result.clips, result.chosen)
    return found


def one_line(said: str) -> str:
    """The line that tells what is wrong, which must be the last one, and the only one."""
    lines = said.splitlines()
    assert "Traceback" not in said
    assert [line for line in lines if line.startswith("bench: ")] == lines[-1:]
    return lines[-1]


def fill(place: Path, leave: int) -> Path:
    """Fill a file system until so many bytes are free."""
    filler = place / "filler"
    with filler.open("wb") as file:
        file.truncate(0)
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_bsize
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return filler


def test_a_full_disk_ends_in_one_line_and_the_same_command_goes_on(here, small_disk, tmp_path):
    assert here(tmp_path / "whole")[0] == 0
    wanted = numbers(tmp_path / "whole")
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    pages = sum(-(-path.stat().st_size // PAGE) for path in files)
    codes = []
    for leave in range(0, (pages + 4) * PAGE, PAGE):
        out = small_disk / f"out-{leave}"
        filler = fill(small_disk, leave)
        code, _, said = here(out)
        codes.append(code)
        if code:
            assert code == 2
            assert "No space left on device" in one_line(said)
        assert not list(small_disk.rglob("*.tmp"))
        before = numbers(out)
        assert before.items() <= wanted.items()
        filler.unlink()
        code, printed, _ = here(out)
        assert code == 0
        assert f"{len(before)} from earlier" in printed
        assert numbers(out) == wanted
        shutil.rmtree(out)
    # It did fill up, and where there was room enough it did not matter.
    assert codes.count(2) >= 3
    assert codes[-1] == 0


def test_weights_without_room_cost_no_result(here, small_disk, tmp_path):
    out = small_disk / "out"
    out.mkdir()
    options = ("-t", "tmpfs", "-o", "size=4k", "tmpfs", str(out / "weights"))
    (out / "weights").mkdir()
    subprocess.run(["mount", *options], check=True)
    try:
        code, printed, said = here(out, "--methods", "ridge")
    finally:
        subprocess.run(["umount", "-l", out / "weights"], check=True)
    assert code == 0, said
    assert "1 cell run" in printed or "1 cells run" in printed
    (line,) = [line for line in said.splitlines() if "No space left on device" in line]
    assert "weights" in line
    assert "the results stand without them" in line


@pytest.mark.slow
def test_mlflow_without_room_costs_a_warning(here, small_disk):
    filler = fill(small_disk, 30 * PAGE)
    code, printed, said = here(small_disk / "out", "--track")
    assert code == 0, said
    assert "2 cells run" in printed
    (line,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert "MLflow" in line
    assert "results and tables are complete without it" in line
    assert len(numbers(small_disk / "out")) == 2
    filler.unlink()
    assert here(small_disk / "out")[0] == 0


def test_a_read_only_disk_ends_in_one_line(here, small_disk):
    out = small_disk / "out"
    assert here(out)[0] == 0
    before = numbers(out)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for place in (out, small_disk / "new"):
        code, printed, said = here(place, "--redo", "all")
        assert (code, printed) == (2, "")
        assert one_line(said) == (
            f"bench: {place}: the output folder cannot be written; found Read-only file system; "
            "choose another with --out"
        )
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert numbers(out) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_folder_ends_in_one_line(here, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    code, _, said = here(tmp_path / "out")
    assert code == 2
    assert "the output folder cannot be written; found Permission denied" in one_line(said)


@pytest.mark.parametrize("what", [("run", *TABLE), ("data", "prepare", "pw3d-spin")])
def test_a_limit_of_file_sizes_ends_in_one_line(tmp_path, what):
    out = ("--out", str(tmp_path / "out"), "--no-track") if what[0] == "run" else ()
    cache = os.environ["BENCH_CACHE"] if out else str(tmp_path / "cache")
    done = subprocess.run(
        [*BENCH, *what, *out],
        env={**os.environ, "BENCH_CACHE": cache},
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "File too large" in one_line(done.stderr)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_study_that_finds_no_room_ends_in_one_line_and_goes_on(tmp_path):
    words = [*BENCH, "tune", "kalman", "--dataset", "pw3d-spin", "--trials", "2", "--windows", "64"]
    words += ["--budget", "smoke", "--device", "cpu", "--no-track", "--out", str(tmp_path / "out")]
    limits = (2048, 2048)  # in the middle of a trial
    done = subprocess.run(
        words, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("bench: ")
    assert "File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    # What is cut off in the middle of a line does not spoil the study.
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 trials (2 complete" in done.stdout


@pytest.mark.parametrize("kind", ["cut", "empty", "garbage", "a digit", "another cell's"])
def test_a_damaged_result_is_said_and_computed_again(here, tmp_path, kind):
    out = tmp_path / "out"
    assert here(out)[0] == 0
    wanted = numbers(out)
    path, other = sorted((out / "results").iterdir())
    whole = path.read_bytes()
    value = json.loads(whole)["metrics"]["mpjpe"]
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "garbage": b"\xff\xfe\x00" * 100,
            "a digit": whole.replace(str(value).encode(), str(value + 1).encode(), 1),
            "another cell's": other.read_bytes(),
        }[kind]
    )
    code, printed, said = here(out)
    assert code == 0
    assert "1 cells run" in printed or "1 cell run" in printed
    (line,) = [line for line in said.splitlines() if str(path) in line]
    assert line.endswith("it counts as absent")
    assert numbers(out) == wanted


@pytest.mark.slow
def test_damaged_weights_are_said_and_learned_again(here, tmp_path):
    out = tmp_path / "out"
    words = (out, "--methods", "ridge")
    assert here(*words)[0] == 0
    wanted = numbers(out)
    (path,) = (out / "weights").iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:-9], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        shutil.rmtree(out / "results")
        code, _, said = here(*words)
        assert code == 0
        (line,) = [line for line in said.splitlines() if str(path) in line]
        assert "the weights are damaged" in line
        assert path.read_bytes()[-64:] == whole[-64:]
        assert numbers(out) == wanted


def test_what_killed_writers_left_is_cleared_away(here, tmp_path):
    out = tmp_path / "out"
    assert here(out)[0] == 0
    left = out / "results" / "some.json.00c0ffee00c0ffee.tmp"
    left.write_text("half")
    mine = out / "notes.tmp"
    mine.write_text("a user's")
    assert here(out)[0] == 0
    assert not left.exists()
    assert mine.read_text() == "a user's"


def test_two_commands_on_one_folder_compute_every_cell_once(tmp_path):
    out = tmp_path / "out"
    both = [started(out), started(out)]
    said = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    counts = []
    for printed, _ in said:
        words = printed.split()
        # Every number of the table is in both.
        counts.append(int(words[words.index("run") - 2]))
        assert "nearest" in printed
    assert sum(counts) == len(numbers(out)) == 2


def test_two_commands_share_a_table(tmp_path):
    plugin, out = held(tmp_path), tmp_path / "out"
    words = ("--methods", "held,second,third", "--plugin", str(plugin), "--workers", "1")
    both = []
    try:
        for count in (1, 2):
            both.append(started(out, *words))
            _until(lambda count=count: len(list(tmp_path.glob("* has begun"))) == count)
        (tmp_path / "held").unlink()
        said = [process.communicate(timeout=200) for process in both]
    finally:
        for process in both:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    # All three fail, as they were made to.
    assert [process.returncode for process in both] == [1, 1], said
    words = [printed.split() for printed, _ in said]
    counts = [int(printed[printed.index("run") - 2]) for printed in words]
    assert sum(counts) == len(numbers(out)) == 3
    assert min(counts) == 1


def test_a_command_takes_over_from_one_that_is_killed(tmp_path):
    words = ("--methods", "held", "--plugin", str(held(tmp_path)))
    out = tmp_path / "out"
    first = started(out, *words)
    second = None
    try:
        _until((tmp_path / "begun").exists)
        second = started(out, *words)
        line = ""
        while second.stderr and "another command computes 1 cell" not in line:
            line = second.stderr.readline()
            assert line, "it did not wait"
        assert second.poll() is None
        os.killpg(first.pid, signal.SIGKILL)
        (tmp_path / "held").unlink()
        _, said = second.communicate(timeout=100)
        assert second.returncode == 1, said
        assert "KeyError: 'held no more'" in said
    finally:
        for process in filter(None, (first, second)):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_two_commands_make_data_once(tmp_path):
    both = [
        subprocess.Popen(
            [*BENCH, "data", "prepare", "pw3d-spin"],
            env={**os.environ, "BENCH_CACHE": str(tmp_path / "cache")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("making its stand-in" in text for text in said) == 1
    assert [path.name for path in (tmp_path / "cache").rglob("*.tmp")] == []


def test_sigterm_stops_at_once_with_the_command_that_goes_on(tmp_path):
    out = tmp_path / "out"
    process = started(out, "--methods", "linear,held", "--plugin", str(held(tmp_path)))
    try:
        _until(lambda: list(out.glob("results/*.json")))
        process.terminate()
        began = time.monotonic()
        printed, said = process.communicate(timeout=60)
        seconds = time.monotonic() - began
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 143, said
    assert printed == ""
    typed = shlex.join(["bench", *map(str, process.args[3:])])
    assert said.splitlines()[-1] == (
        f"stopped: 1 of 2 cells are done; nothing finished is lost, go on with: {typed}"
    )
    assert seconds < 10
    _until(lambda: _gone(process.pid))


# Commands one after another, each of which imports torch in every process.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("case", "kills"),
    [
        ("run", 1),
        pytest.param("run", 4, marks=pytest.mark.slow),
        pytest.param("tune", 4, marks=pytest.mark.slow),
    ],
)
def test_killed_commands_lose_nothing(case, kills):
    words = [sys.executable, KILLS, "--kills", str(kills), "--case", case, "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split("|")[2].strip() == str(kills)


def _gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def _until(ready) -> None:
    give_up = time.monotonic() + 200
    while not ready():
        assert time.monotonic() < give_up
        time.sleep(0.1)
