"""The command line as a user meets it: what it prints, writes, refuses and exits with."""

import contextlib
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from layouts import detected_file, packed, truth_file, write_pw3d

from bench import config, engines, registry
from bench.cli import main
from bench.run import compute
from bench.tracking import tracker

BENCH = [sys.executable, "-m", "bench"]

PLUGIN = """
import time
from dataclasses import dataclass

@dataclass(frozen=True)
class _Options:
    pass

class Mine:
    title, source, revision, Options = "my own", "here", 1, _Options
    def __init__(self, options, window):
        self.frames = window.frames
    def recover(self, keyframes):
        return keyframes.mean(1, keepdim=True).expand(-1, self.frames, -1)

class Wrong(Mine):
    def recover(self, keyframes):
        raise KeyError("wrong on purpose")

class Endless(Mine):
    def recover(self, keyframes):
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pw3d(tmp_path_factory.mktemp("data"))


@pytest.fixture
def plugin(tmp_path) -> Path:
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture
def bench(monkeypatch):
    """The command in this process, cells included."""

    def here(jobs, *, workers, tell, claim):
        for job in filter(None, map(claim, jobs)):
            yield from compute(job, tell)

    monkeypatch.setattr(engines, "run_jobs", here)
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    # Not the user's patience: a machine that also does other things must not fail the tests.
    monkeypatch.setattr(tracker, "PATIENCE", 200.0)

    def run(*words: object) -> Result:
        arguments = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        return CliRunner().invoke(main, arguments, prog_name="bench", env={"COLUMNS": "200"})

    return run


def table3(*more: object, data: Path | None = None, out: Path) -> list[object]:
    words = ["table3", "--budget", "smoke", "--datasets", "pw3d-spin", "--out", out]
    return [*words, *(["--data", data] if data else []), *more]


def stored(out: Path) -> dict[str, tuple[int, bytes]]:
    files = (out / "results").iterdir()
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def refusal(result: Result) -> str:
    """The one line of an error, which is all there is."""
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("bench: ")] == lines[-1:], result.stderr
    return lines[-1]


def test_a_table_of_a_stand_in_from_end_to_end(bench, tmp_path):
    out = tmp_path / "out"
    words = table3("--methods", "linear,ridge", out=out)
    first = bench("run", *words)
    assert first.exit_code == 0, first.output
    assert "3DPW / SPIN  [stand-in]" in first.stdout
    assert "2 cells run in" in first.stdout
    assert f"{out}/table3.tex .md .csv" in first.stdout.replace("\n", " ").replace("  ", " ")
    for ending in ("tex", "md"):
        text = (out / f"table3.{ending}").read_text(encoding="utf-8").lower()
        assert "stand-in" in text
        assert "smoke" in text
    assert (out / "table3.csv").read_text(encoding="utf-8").count("ridge")
    # MLflow has both cells and the table, in the output folder.
    with closing(sqlite3.connect(out / "mlflow.db")) as database:
        tags = {value for (value,) in database.execute("SELECT value FROM tags")}
    keys = {Path(name).stem for name in stored(out)}
    assert len(keys) == 2
    assert {f"cell {key}" for key in keys} | {"table table3"} <= tags
    before = stored(out)
    second = bench("run", *words)
    assert second.exit_code == 0
    assert stored(out) == before
    assert "0 cells run in" in second.stdout
    assert "2 from earlier" in second.stdout
    report = bench("report", *words)
    assert report.exit_code == 0
    table, _, _ = first.stdout.partition("protocol ")
    assert (
        table == second.stdout.partition("protocol ")[0] == report.stdout.partition("protocol ")[0]
    )
    assert stored(out) == before


def test_no_track_leaves_mlflow_alone(bench, data, tmp_path):
    out = tmp_path / "out"
    result = bench("run", *table3("--methods", "linear", "--no-track", data=data, out=out))
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        ".locks", "plans", "results", "table3.csv", "table3.md", "table3.tex",
    ]  # fmt: skip
    assert "stand-in" not in result.stdout
    assert "stand-in" not in (out / "table3.md").read_text(encoding="utf-8")


def test_a_method_of_ones_own_takes_part(bench, data, plugin, tmp_path):
    words = table3("--methods", "mine,linear", "--plugin", plugin, data=data, out=tmp_path / "o")
    result = bench("run", *words, "--no-track", "--long")
    assert result.exit_code == 0, result.output
    assert "mine" in result.stdout
    (cell,) = (json.loads(b) for name, (_, b) in stored(tmp_path / "o").items() if "mine" in name)
    assert cell["status"] == "done"


def test_a_failed_cell_is_told_and_the_exit_code_is_one(bench, data, plugin, tmp_path):
    out = tmp_path / "out"
    words = table3("--methods", "wrong,linear", "--plugin", plugin, data=data, out=out)
    result = bench("run", *words, "--no-track")
    assert result.exit_code == 1
    assert "wrong on purpose" in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last == "1 cell failed; the same command with --redo failed tries again"
    assert len(stored(out)) == 2
    before = stored(out)
    result = bench("run", *words, "--no-track", "--redo", "failed")
    assert result.exit_code == 1
    changed = [name for name, state in stored(out).items() if before[name] != state]
    assert len(changed) == 1
    assert "wrong" in changed[0]


def test_missed_detections_are_data(bench, tmp_path):
    def miss(_truth, seen):
        seen[0][10, 36:39] = np.nan

    root = write_pw3d(tmp_path / "data", change=miss)
    result = bench(
        "run", *table3("--methods", "linear", "--no-track", data=root, out=tmp_path / "out")
    )
    assert result.exit_code == 0
    assert "1 missed detection" in result.stdout.replace("\n", " ")


def truncated(root: Path) -> None:
    whole = detected_file(root).read_bytes()
    detected_file(root).write_bytes(whole[: len(whole) // 2])


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def malicious(root: Path) -> None:
    bombs = packed([_Bomb(root / "exploded")] * 2)
    np.savez(truth_file(root), imgname=bombs, joints_3d=bombs)


def change(spoil):
    return lambda root: write_pw3d(root, change=spoil)


def shorten(_truth, seen):
    seen[0] = seen[0][:-1]


def drop_joints(truth, _seen):
    truth[0] = truth[0][:, :42]


def hole(truth, _seen):
    truth[0][7, 5] = np.nan


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (truncated, ["pw3d_spin_test.npz", "not a readable .npz file"]),
        (malicious, ["pw3d_gt_test.npz", "is refused", "do not trust this file"]),
        (change(drop_joints), ["pw3d_gt_test.npz", "clip d", "found (60, 42)", "51"]),
        (change(shorten), ["clip d", "differ in length", "found 59", "expected 60"]),
        (change(hole), ["clip d", "the truth is not finite", "frame 7"]),
    ],
    ids=["truncated", "malicious", "joints", "length", "nan"],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_bad_files_are_refused_in_one_line(bench, tmp_path, command, spoil, parts):
    root, out = write_pw3d(tmp_path / "data"), tmp_path / "out"
    spoil(root)
    words = {
        "run": ["run", *table3(data=root, out=out)],
        "check": ["data", "check", "pw3d-spin", "--data", root],
    }[command]
    line = refusal(bench(*words))
    for part in parts:
        assert part in line
    assert not out.exists()
    assert not (root / "exploded").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--data", "nowhere"], ["nowhere: no such data folder", "docs/data.md"]),
        (["--data", "."], ["no data in a known layout", "groundtruth_poses/"]),
        (["--methods", "lineer"], ["unknown method 'lineer'", "did you mean", "linear"]),
        (["--datasets", "pw3d-spim"], ["unknown dataset 'pw3d-spim'", "pw3d-spin"]),
        (["--protocol", "ful"], ["unknown protocol 'ful'", "full"]),
        (["--metrics", "mpjp"], ["mpjp", "did you mean", "mpjpe"]),
        (["--metrics", "pixels"], ["pw3d-spin is a 3d dataset without pixels", "pampjpe"]),
        (["--datasets", "h36m-sh"], ["h36m-sh is a 2d dataset without mpjpe", "pck@0.2"]),
        (["--device", "cuda"], ["no CUDA device is available", "--device cpu"]),
        (["--plugin", "nothing.py"], ["nothing.py: no such plugin file"]),
    ],
)
def test_bad_options_are_refused_in_one_line(bench, tmp_path, monkeypatch, words, parts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = refusal(bench("run", *table3(out=tmp_path / "out"), *words))
    for part in parts:
        assert part in line
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_table_is_refused(bench, tmp_path):
    line = refusal(bench("run", "tabel3", "--out", tmp_path / "out"))
    assert line == "bench: unknown table 'tabel3'; did you mean table3 or table7 or table6?"
    assert list(tmp_path.iterdir()) == []


def test_a_clip_shorter_than_a_window_is_refused_where_every_frame_counts(bench, tmp_path):
    root, out = write_pw3d(tmp_path / "data", frames=40), tmp_path / "out"
    words = table3("--methods", "linear,ridge", "--no-track", data=root, out=out)
    line = refusal(bench("run", *words, "--protocol", "full"))
    for part in ("clip d of pw3d-spin", "found 40 frames", "at least 51", "deciwatch"):
        assert part in line
    assert not out.exists()
    assert bench("run", *words).exit_code == 0
    assert "padded" in (out / "table3.md").read_text(encoding="utf-8")


def test_an_output_folder_that_cannot_be_made_is_refused(bench, data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = refusal(bench("run", *table3(data=data, out=tmp_path / "file/out")))
    assert "the output folder cannot be written" in line
    assert "--out" in line
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["rum"], ["no such command 'rum'", "did you mean run?"]),
        (["data", "chekc"], ["no such command 'chekc'", "did you mean check?"]),
        (["run", "table3", "--budgte", "smoke"], ["No such option", "--budget"]),
        (["run", "table3", "--budget", "smok"], ["'smok'", "'smoke', 'quick', 'paper'"]),
        (["run", "table3", "--seeds", "0"], ["--seeds", "x>=1"]),
        (["run", "table3", "--methods", " , "], ["--methods", "names separated by commas"]),
        (["run"], ["Missing argument 'TABLE'"]),
        (["list", "method"], ["'methods', 'datasets', 'tables'"]),
    ],
)
def test_wrong_usage_shows_what_there_is(bench, tmp_path, monkeypatch, words, parts):
    monkeypatch.chdir(tmp_path)
    result = bench(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    for part in parts:
        assert part in line
    assert result.stderr.startswith("Usage: bench")
    assert list(tmp_path.iterdir()) == []


def test_lists_checks_and_the_doctor_speak_on_stdout(bench, data, tmp_path):
    for words, part in (
        (["list", "methods"], "mixsynthformer"),
        (["list", "datasets", "--data", data], f"DeciWatch files in {data}"),
        (["list", "tables"], "Recovery from every 10th frame"),
        (["data", "check", "pw3d-spin", "--data", data], "  test: 2 clips, 120 frames"),
        (["data", "prepare", "pw3d-spin", "--data", data], "kept in"),
        (["doctor", "--data", data, "--out", tmp_path], "torch"),
    ):
        result = bench(*words)
        assert result.exit_code == 0, result.output
        assert part in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy_and_is_fast():
    script = (
        "import sys; sys.argv = ['bench', '--help']\n"
        "from bench.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'pandas', 'mlflow', 'pydantic', 'rich', 'scipy'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "imported: []\n"
    assert "report" in done.stdout

    def seconds() -> float:
        # Of the processor: what else the machine does is not counted.
        process = subprocess.Popen([*BENCH, "--help"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m bench run --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: bench run")
    assert done.stderr == ""


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(bench, data, plugin, tmp_path):
    out = tmp_path / "out"
    words = table3("--methods", "linear,endless", "--plugin", plugin, data=data, out=out)
    words = [str(word) for word in ("run", *words, "--no-track", "--device", "cpu")]
    process = subprocess.Popen(
        [*BENCH, *words, "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A test run in the background of a shell ignores Ctrl-C, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        give_up = time.monotonic() + 200
        while not list(out.glob("results/*.json")) and time.monotonic() < give_up:
            time.sleep(0.1)
        before = stored(out)
        # As a terminal does: to every process.
        os.killpg(process.pid, signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert printed == ""
    typed = shlex.join(["bench", *words, "--workers", "2"])
    assert said.splitlines()[-1] == (
        f"stopped: 1 of 2 cells are done; nothing finished is lost, go on with: {typed}"
    )
    assert "Traceback" not in said
    assert stored(out) == before
    assert len(before) == 1
    assert _empty(process.pid), "a worker outlived the command"
    again = bench(*words[:1], *table3("--methods", "linear", "--no-track", data=data, out=out))
    assert "0 cells run" in again.stdout
    assert "1 from earlier" in again.stdout


def test_workers_leave_with_a_command_that_is_killed(data, plugin, tmp_path):
    out = tmp_path / "out"
    words = table3("--methods", "linear,endless", "--plugin", plugin, data=data, out=out)
    process = subprocess.Popen(
        [*BENCH, "run", *(str(word) for word in words), "--no-track", "--workers", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        give_up = time.monotonic() + 200
        while not list(out.glob("results/*.json")) and time.monotonic() < give_up:
            time.sleep(0.1)
        process.kill()
        process.wait()
        assert _empty(process.pid), "a worker outlived the command"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert len(stored(out)) == 1


def _empty(group: int) -> bool:
    """Whether a process group is empty within some seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_names_of_budgets_are_those_of_the_configuration():
    from bench import options

    assert set(options.BUDGETS) == set(config.budgets())


def test_all_tables_come_in_order_and_one_failure_is_the_exit_code(bench, monkeypatch, tmp_path):
    from bench import commands

    asked = []

    outcomes = iter([0, 2, 0, 0, 0, 0, 0])

    def run(request, progress):
        asked.append((request.table, request.command))
        return commands.Outcome(table=None, files=(), warnings=(), failed=next(outcomes))

    monkeypatch.setattr(commands, "run_table", run)
    monkeypatch.setattr("bench.report.terminal.show", lambda *_args, **_rest: None)
    result = bench("run", "all", "--budget", "smoke", "--out", tmp_path / "out", "--workers", 1)
    assert [table for table, _ in asked] == config.table_names()
    # What draws one of them again names that one alone, and nothing that computes.
    assert asked[1][1] == f"bench report table2 --budget smoke --out {tmp_path / 'out'}"
    assert result.exit_code == 1
    assert result.stderr == "2 cells failed; the same command with --redo failed tries again\n"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["ablate"], ["nothing to vary", "--method mixsynthformer --list names the flags"]),
        (["ablate", "--rt"], ["--rt needs a value"]),
        (["ablate", "rt", "4"], ["not a flag; found rt"]),
        (["ablate", "--rt", "["], ["--rt has no such value; found ["]),
        (["ablate", "--tr", "4"], ["no option for --tr; did you mean rt or rs?"]),
        (["ablate", "--without", "sex"], ["'sex' is no part of mixsynthformer"]),
        (["ablate", "--rt", "1", "--dataset", "h36m-motion"], ["h36m-motion is not for recovery"]),
        (["ablate", "--rt", "1", "--name", "a/b"], ["not a name for a table; found 'a/b'"]),
        (["ablate", "--rt", "1", "--name", "table3"], ["'table3' is the name of a table"]),
        (["ablate", "--method", "lineer", "--list"], ["unknown method 'lineer'"]),
        (["sweep", "--interval", "20:2"], ["not values of K; found 20:2"]),
        (
            ["sweep", "--interval", "200", "--frames", "100"],
            ["the windows are shorter than an interval"],
        ),
        (["sweep", "--dataset", "h36m-motion"], ["h36m-motion has no sampling interval"]),
        (["sweep", "--name", "../x"], ["not a name for a table; found '../x'"]),
        (["sweep", "--methods", "simlpe"], ["simlpe is not for recovery"]),
        (["sweep", "--metrics", "pixels"], ["h36m-fcn is a 3d dataset without pixels"]),
        (["tables"], ["no table has results", "--results"]),
        (["tables", "table3"], ["'table3' was not run into this folder; found no table"]),
    ],
)
def test_studies_refuse_in_one_line_and_write_nothing(bench, tmp_path, monkeypatch, words, parts):
    monkeypatch.chdir(tmp_path)
    line = refusal(bench(*words))
    for part in parts:
        assert part in line
    assert list(tmp_path.iterdir()) == []


def test_an_ablation_from_end_to_end(bench, data, tmp_path):
    out = tmp_path / "out"
    words = ["ablate", "--rt", "1,4", "--dataset", "pw3d-spin", "--budget", "smoke", "--no-track"]
    words = [*words, "--data", data, "--out", out, "--name", "mine"]
    first = bench(*words)
    assert first.exit_code == 0, first.output
    assert "mine  Ablation of MixSynthFormer" in first.stdout
    assert "default (rt=4)" in first.stdout
    assert "rt=1" in first.stdout
    assert len(stored(out)) == 2
    again = bench(*words)
    assert "0 cells run in" in again.stdout
    gathered = bench("tables", "--results", out, "--out", tmp_path / "paper", "--format", "md")
    assert gathered.stdout == f"{tmp_path / 'paper/mine.md'}\n"
    assert "rt=1" in (tmp_path / "paper/mine.md").read_text(encoding="utf-8")


def test_a_sweep_from_end_to_end(bench, data, tmp_path):
    out = tmp_path / "out"
    words = ["sweep", "--interval", "2,5", "--methods", "estimator,linear", "--frames", "21"]
    words = [*words, "--dataset", "pw3d-spin", "--budget", "smoke", "--no-track"]
    result = bench(*words, "--data", data, "--out", out)
    assert result.exit_code == 0, result.output
    assert "K=2" in result.stdout
    assert "K=5" in result.stdout
    drawn = [f"{out / 'sweep-pw3d-spin'}.{ending}" for ending in ("pdf", "svg", "png")]
    assert result.stdout.splitlines()[-3:] == drawn
    assert all(Path(path).stat().st_size > 1000 for path in drawn)


def test_flags_of_a_method_are_listed(bench):
    result = bench("ablate", "--list", "--method", "deciwatch")
    assert result.exit_code == 0
    assert "--layers, --depth  (default 1)" in result.stdout
