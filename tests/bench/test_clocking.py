"""`bench time`: what is chosen, said, stored, drawn and refused."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bench import clocking
from bench.cli_time import time_methods
from bench.clocking import Clocked, Request, clock, stored
from bench.contracts import BadInput
from bench.machine import Load, Machine
from bench.report.timings import draw, number
from bench.timing import ROUNDS, Measured, Setup

BOX = Machine("Fast 9", 4, "Linux x86_64", {"python": "3.11.7", "torch": "2.13.0"})
IDLE = Load(0.0, 4, "measured for 1 s")
BUSY = Load(3.0, 4, "measured for 1 s")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Setup]:
    """Every measurement takes 1 ms per thread for each window; compiling does not work."""
    seen: list[Setup] = []

    def measure(setups, *, seconds, plugins, say):
        seen.extend(setups)
        return [
            "no compiler"
            if setup.engine == "compiled"
            else Measured(*[setup.batch * setup.threads * 1e-3] * 3, (1.0,) * ROUNDS, 9)
            for setup in setups
        ]

    monkeypatch.setattr(clocking, "measure", measure)
    monkeypatch.setattr(clocking, "physical_cores", lambda: 4)
    return seen


def clocked(
    out: Path, *, busy: tuple[Load, Load] = (IDLE, IDLE), machine: Machine = BOX, **request
) -> tuple[Clocked, list[str]]:
    said: list[str] = []
    loads = iter(busy)
    made = clock(
        Request(out=out, **request), said.append, busy=lambda: next(loads), machine=lambda: machine
    )
    return made, said


def test_defaults_are_published_presets_small_and_large_one_and_all_cores(
    measured: list[Setup], tmp_path: Path
) -> None:
    found, said = clocked(tmp_path)
    assert {timing.method for timing in found.timings} == {
        "linear",
        "ridge",
        "deciwatch:released",
        "mixsynthformer:released",
    }
    assert {(setup.batch, setup.threads) for setup in measured} == {
        (1, 1),
        (1, 4),
        (256, 1),
        (256, 4),
    }
    assert {setup.engine for setup in measured} == {
        "eager",
        "compiled",
        "onnx",
        "folded",
        "folded-onnx",
    }
    assert {setup.precision for setup in measured} == {"float32"}
    assert {timing.window.frames for timing in found.timings} == {101}
    assert {timing.window.pose for timing in found.timings} == {51}
    assert said == []
    assert found.notes == (
        "not measured: compiled in float32 of linear, ridge, deciwatch, mixsynthformer: "
        "no compiler",
    )


@pytest.mark.parametrize(
    ("method", "dataset", "intervals", "options"),
    [
        ("mixsynthformer", "pw3d-spin", 5, {"width": 32, "reweight": "frame"}),
        ("mixsynthformer:paper", "h36m-fcn", 10, {"width": 64, "reweight": "channel"}),
        ("mixsynthformer", "jhmdb-simplepose", 1, {"width": 128, "depth": 5}),
        ("mct", "h36m-fcn", 10, {"width": 256}),
    ],
)
def test_presets_take_what_a_dataset_changes(
    measured: list[Setup], tmp_path: Path, method: str, dataset: str, intervals: int, options: dict
) -> None:
    clocked(tmp_path, methods=(method,), datasets=(dataset,), engines=("eager",))
    assert {setup.window.intervals for setup in measured} == {intervals}
    assert options.items() <= json.loads(measured[0].options).items()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"methods": ("linaer",)}, "did you mean linear"),
        ({"methods": ("mct:papre",)}, "did you mean paper"),
        ({"methods": ("stsgcn",)}, "stsgcn is not for recovery"),
        ({"datasets": ("h36m-motion",)}, "h36m-motion is not for recovery"),
        ({"datasets": ("h36",)}, "unknown dataset 'h36'"),
        ({"engines": ("onxx",)}, "unknown engine 'onxx'; did you mean onnx"),
        ({"precisions": ("float16",)}, "unknown precision 'float16'"),
        ({"threads": ("5",)}, "found 5; expected 1 to 4, or all"),
        ({"threads": ("0",)}, "not a number of threads"),
        ({"threads": ("many",)}, "not a number of threads"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_measured(
    measured: list[Setup], tmp_path: Path, wrong: dict, line: str
) -> None:
    with pytest.raises(BadInput, match=line):
        clocked(tmp_path, **wrong)
    assert measured == []


@pytest.mark.parametrize("busy", [(BUSY, IDLE), (IDLE, BUSY)])
def test_a_busy_machine_is_said_and_kept(
    measured: list[Setup], tmp_path: Path, busy: tuple[Load, Load]
) -> None:
    found, said = clocked(tmp_path, busy=busy, engines=("eager",))
    note = "measured on a busy machine: 3.0 of 4 cores busy with other work (measured for 1 s)"
    assert found.notes == (note,)
    assert stored(Request(out=tmp_path)).notes == (note,)
    assert bool(said) is (busy[0] is BUSY)


def test_reports_show_what_is_stored_as_far_as_asked_for(
    measured: list[Setup], tmp_path: Path
) -> None:
    made, _ = clocked(tmp_path)
    assert stored(Request(out=tmp_path)).timings == made.timings
    ridge = stored(Request(out=tmp_path, methods=("ridge",), batches=(1,), threads=("all",)))
    assert {(each.method, each.batch, each.threads) for each in ridge.timings} == {("ridge", 1, 4)}
    short = stored(Request(out=tmp_path, methods=("deciwatch",))).timings
    assert {timing.method for timing in short} == {"deciwatch:released"}
    with pytest.raises(BadInput, match="no stored times"):
        stored(Request(out=tmp_path, interval=5))
    with pytest.raises(BadInput, match="no stored times"):
        stored(Request(out=tmp_path / "elsewhere"))


def test_ratios_between_runs_are_not_given(measured: list[Setup], tmp_path: Path) -> None:
    clocked(tmp_path, methods=("linear",), engines=("eager",))
    clocked(tmp_path, methods=("cubic",), engines=("eager",))
    both = stored(Request(out=tmp_path, batches=(1,), threads=("1",)))
    assert "measured in several runs" in both.notes[0]
    line = next(line for line in draw(both, "text").splitlines() if line.startswith("cubic"))
    assert line.split() == ["cubic", "eager", "1.00", "0.00", "0.00990", "-", "1.00"]


def test_two_machines_are_never_in_one_table(measured: list[Setup], tmp_path: Path) -> None:
    clocked(tmp_path, methods=("linear",))
    other = replace(BOX, cpu="Slow 1")
    # What is measured now is all of one machine.
    clocked(tmp_path, methods=("cubic",), machine=other)
    with pytest.raises(BadInput, match="two machines") as caught:
        stored(Request(out=tmp_path))
    assert "Fast 9" in str(caught.value)
    assert "Slow 1" in str(caught.value)
    assert len(stored(Request(out=tmp_path, methods=("linear",))).timings) == 16


@pytest.fixture
def table(measured: list[Setup], tmp_path: Path) -> Clocked:
    methods = ("linear", "mct:quick")
    return clocked(tmp_path, methods=methods, batches=(1, 4), engines=("eager", "onnx"))[0]


def test_text_has_a_block_for_each_configuration(table: Clocked) -> None:
    lines = draw(table, "text").splitlines()
    head = "Human3.6M / FCN, 17 joints in 3D, K=10, float32, 1 thread, batch 1"
    assert lines[0] == head
    assert lines[1].split() == [
        *("method", "engine", "ms/window", "IQR", "ms/frame", "x", "linear", "x", "own")
    ]
    assert lines[2].split() == ["linear", "eager", "1.00", "0.00", "0.00990", "1.00", "1.00"]
    assert sum(line.startswith("Human3.6M") for line in lines) == 4
    assert BOX.words in lines
    assert max(map(len, lines[:5])) <= 80


def test_every_form_has_every_measurement(table: Clocked) -> None:
    assert len(table.timings) == 16
    frame = pd.read_csv(io.StringIO(draw(table, "csv")))
    assert len(frame) == 16
    assert set(frame["against"]) == {"linear"}
    assert set(frame["ms_window"]) == {1.0, 4.0}
    assert draw(table, "markdown").count("| mct:quick |") == 8
    tex = draw(table, "tex")
    assert tex.count(r"mct:quick & eager") == 4
    assert tex.count(r"\begin{") == tex.count(r"\end{")


def test_nothing_measured_is_a_table_that_says_why(measured: list[Setup], tmp_path: Path) -> None:
    found, _ = clocked(tmp_path, engines=("compiled",))
    for form in ("text", "markdown", "tex", "csv"):
        text = draw(found, form)
        assert form == "csv" or "no compiler" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.00"),
        (0.0000123, "0.0000123"),
        (0.0123456, "0.0123"),
        (1.0, "1.00"),
        (12.345, "12.3"),
        (123.4, "123"),
        (1234.5, "1230"),
        (9.999, "10.0"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_command_measures_and_reports(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "class Held:\n"
        "    title, source, revision, name = 'held', 'test', 1, 'held-pose'\n"
        "    @dataclass(frozen=True)\n"
        "    class Options:\n"
        "        pass\n"
        "    def __init__(self, options, window):\n"
        "        self.window = window\n"
        "    def recover(self, keyframes):\n"
        "        return keyframes[:, :1].expand(-1, self.window.frames, -1)\n"
    )
    shared = ["--plugin", str(plugin), "--out", str(tmp_path / "out"), "--batch", "2"]
    small = ["--threads", "1", "--engine", "eager", "--min-seconds", "0.01", "--interval", "2"]
    made = CliRunner().invoke(time_methods, ["linear", "held-pose", *shared, *small])
    assert made.exit_code == 0, made.output
    assert "preparing held-pose, eager, float32, batch 2, 1 thread" in made.stderr
    assert "held-pose  eager" in made.stdout
    assert "K=2" in made.stdout
    again = CliRunner().invoke(time_methods, [*shared, "--report"])
    assert again.exit_code == 0, again.output
    assert [line for line in made.stdout.splitlines() if "not measured" not in line] == (
        again.stdout.splitlines()
    )


@pytest.mark.parametrize("wrong", [["--batch", "0"], ["--batch", "a"], ["--min-seconds", "0"]])
def test_options_that_are_no_sizes_are_refused(wrong: list[str]) -> None:
    assert CliRunner().invoke(time_methods, wrong).exit_code == 2


def test_help_says_the_defaults() -> None:
    text = CliRunner().invoke(time_methods, ["--help"]).output
    for default in (clocking.DATASET, "1,256", "1,all", str(clocking.INTERVAL)):
        assert f"Default: {default}." in " ".join(text.split())
