"""What was measured is stored, read again, held against targets and drawn."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.contracts import BadInput
from bench.machine import Machine
from benchmarks import report, runs, training
from benchmarks.__main__ import main
from benchmarks.catalogue import BENCHMARKS, Benchmark, chosen
from benchmarks.floors import Peaks
from benchmarks.measuring import Request, Row, Skipped
from benchmarks.runs import Run
from benchmarks.targets import TARGETS, Target
from benchmarks.workloads import WORKLOADS

TRAINING = Row(
    "training",
    "3DPW",
    "windows/s",
    "higher",
    {"ours": (2000.0, 2200.0), "straightforward": (1000.0, 1000.0)},
    floor=4200.0,
)
RUN = Run(
    command="python -m benchmarks run training gpu",
    time="2026-01-02T03:04:05+00:00",
    commit="0123456789",
    machine=Machine("Some CPU", 2, "Linux x86_64", {"torch": "2.0"}),
    memory=16.0,
    gpu="",
    busy="",
    rows=(TRAINING,),
    skipped={"gpu": "no CUDA device was present"},
)
PEAKS = {"cpu": Peaks(1e12, 1e12)}


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    runs.save(RUN, tmp_path)
    assert runs.stored(tmp_path) == [RUN]


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    path = runs.save(RUN, tmp_path)
    said = json.loads(path.read_text())
    del said["rows"][0]["sides"]
    path.write_text(json.dumps(said))
    with pytest.raises(BadInput, match=re.escape(path.name)):
        runs.stored(tmp_path)
    with pytest.raises(BadInput, match="no stored runs"):
        runs.stored(tmp_path / "other")


def test_the_newest_row_of_a_case_counts() -> None:
    later = replace(TRAINING, sides={"ours": (9.0,)})
    assert report.newest([RUN, replace(RUN, rows=(later,))]) == [later]


def test_a_reason_lasts_until_it_is_measured() -> None:
    step = Row("gpu", "Human3.6M, training step", "ms/step", "lower", {"ours": (0.9,)})
    assert "not measured: no CUDA device was present" in report.markdown([RUN])
    after = report.markdown([RUN, replace(RUN, rows=(step,), skipped={})])
    assert "no CUDA device" not in after
    assert "0.900 ms/step | reached" in after


def test_markdown_tells_ratio_floor_target_and_machine() -> None:
    said = report.markdown([replace(RUN, busy="1.0 of 2 cores busy", commit="0123456789-dirty")])
    assert (
        "| training | 3DPW | windows/s | 2 100 | 2 050-2 150 | straightforward | 1 000 |"
        " 1 000-1 000 | 2.10 | 2.05-2.15 | 50 % |"
    ) in said
    assert "| training | 3DPW | at least 1.5 times | 2.10 times | reached |" in said
    assert "Some CPU, 2 cores" in said
    assert "1.0 of 2 cores busy" in said
    assert "differed from the commit" in said
    columns = {line.count("|") for line in said.splitlines() if line.startswith("|")}
    assert columns == {7, 12}


def test_the_best_of_the_rows_that_begin_alike_counts() -> None:
    rows = [
        Row("inference", f"3DPW, {name}", "ms/frame", "lower", {name: (ms,), "eager": (0.1,)})
        for name, ms in (("compiled", 0.04), ("onnx", 0.02))
    ]
    ratio = Target("inference", "3DPW", "ratio", 4)
    value = Target("inference", "3DPW", "value", 0.012, "ms/frame")
    assert ratio.value(rows) == pytest.approx(5)
    assert ratio.reached(5)
    assert value.value(rows) == 0.02
    assert not value.reached(0.02)
    assert Target("inference", "Sub-JHMDB", "ratio", 4).value(rows) is None


def test_five_seeds_are_held_against_one() -> None:
    row = Row("gpu", "five", "ms/step", "lower", {"ours": (1.5,), "one seed": (1.0,)})
    target = Target("gpu", "five", "times", 2)
    assert target.value([row]) == pytest.approx(1.5)
    assert target.reached(1.5)
    assert not target.reached(2.1)


def test_every_target_is_of_a_benchmark() -> None:
    assert {target.benchmark for target in TARGETS} <= set(BENCHMARKS)


def test_an_unknown_benchmark_is_refused_with_its_neighbour() -> None:
    with pytest.raises(BadInput, match="training"):
        chosen(["trainin"])
    assert list(chosen([])) == list(BENCHMARKS)


def test_what_cannot_run_here_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Request) -> list[Row]:
        raise Skipped("no such device")

    said: list[str] = []
    monkeypatch.setattr(Benchmark, "measure", property(lambda _: refuse))
    found = runs.run(["gpu"], Request(), "python -m benchmarks run gpu", said.append)
    assert found.skipped == {"gpu": "no such device"}
    assert found.rows == ()
    assert "skipped gpu: no such device" in said


def breaks(_: Request) -> Iterator[Row]:
    yield TRAINING
    raise RuntimeError("a | b\nmore")


def by_name(monkeypatch: pytest.MonkeyPatch, **measures: Any) -> None:
    """Benchmarks that measure by other functions."""
    monkeypatch.setattr(Benchmark, "measure", property(lambda self: measures[self.module]))


def test_a_failure_keeps_the_rows_before_it_and_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name(monkeypatch, gpu=breaks, training=lambda _: [TRAINING])
    said: list[str] = []
    found = runs.run(["gpu", "training"], Request(), "a command", said.append)
    assert [row.benchmark for row in found.rows] == ["gpu", "training"]
    assert found.failed == {"gpu": "RuntimeError: a | b"}
    assert "failed gpu: RuntimeError: a | b" in said
    assert any("in breaks" in line for line in said)
    runs.save(found, tmp_path)
    assert runs.stored(tmp_path) == [found]


def test_the_command_tells_at_the_end_that_something_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name(monkeypatch, gpu=breaks, training=lambda _: [TRAINING])
    done = CliRunner().invoke(main, ["run", "gpu", "training", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "Failed: gpu: RuntimeError: a | b." in done.stdout
    assert "2 100" in done.stdout
    drawn = CliRunner().invoke(main, ["report", "--markdown", "--out", str(tmp_path)])
    assert drawn.exit_code == 0
    assert "not measured: failed: RuntimeError: a \\| b" in drawn.stdout


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_hardware_is_that_of_what_was_measured(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hardware(where: str) -> dict[str, Any]:
        asked.append(where)
        gpu = {"gpu": "Some GPU", "cuda": "13.0"} if where == "cuda" else {}
        return {"memory": 16.0, **gpu}

    monkeypatch.setattr(runs, "hardware", hardware)
    step = Row("", "Human3.6M", "ms/step", "lower", {"ours": (0.9,)}, device=device)
    by_name(monkeypatch, gpu=lambda _: [step], training=lambda _: [TRAINING])
    found = runs.run(["training", "gpu"], Request(), "a command", lambda _: None)
    assert asked == [device]
    used = (found.gpu, found.cuda)
    assert used == (("Some GPU", "13.0") if device == "cuda" else ("", ""))
    assert ("16 GiB, Some GPU, CUDA 13.0." in report.text([found])) == (device == "cuda")


def test_only_gpu_goes_to_the_device_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[Any] = []

    def in_turns(made: dict[str, Any], _turns: int) -> dict[str, tuple[float, ...]]:
        sides.extend(made.values())
        return dict.fromkeys(made, (1.0,))

    monkeypatch.setattr(training, "in_turns", in_turns)
    monkeypatch.setattr(training, "apart", lambda *given: given[0](*given[2:]))
    monkeypatch.setattr(training.floors, "peaks", lambda device="cpu": PEAKS[device])
    small = replace(WORKLOADS["pw3d"].with_clips(2, 1), train_frames=80, batch=4)
    monkeypatch.setattr(training, "WORKLOADS", {"small": small})
    monkeypatch.setitem(WORKLOADS, "small", small)
    rows = list(training.measure(Request(seconds=0.001, device="cuda")))
    assert [row.device for row in rows] == ["cpu", "cpu"]
    # Made where it would be measured: a GPU would be missing here.
    assert all(make()() > 0 for make in sides[:2])


def test_the_command_measures_stores_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Benchmark, "measure", property(lambda _: lambda _: [TRAINING]))
    done = CliRunner().invoke(main, ["run", "training", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "2 100" in done.stdout
    drawn = CliRunner().invoke(main, ["report", "--markdown", "--out", str(tmp_path)])
    assert "| training | 3DPW |" in drawn.stdout
    raw = CliRunner().invoke(main, ["run", "training", "--json", "--out", str(tmp_path)])
    assert json.loads(raw.stdout)["rows"][0]["case"] == "3DPW"


def test_the_list_names_every_benchmark() -> None:
    listed = CliRunner().invoke(main, ["list"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(BENCHMARKS)
