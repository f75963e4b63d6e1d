"""Records as runs: names, parameters, curves, tags; no MLflow needed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.results import Result, to_json
from bench.tracking import runs
from bench.trials import Study, Trial


def points(run: runs.Run, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in run.metrics if point.name == name]


def test_a_cell_says_everything(result: Callable[..., Result]) -> None:
    made = result()
    run = runs.of_cell(made)
    assert run.name == "linear seed 1, h36m-fcn K=10, Q=9"
    assert run.params == {
        "dataset": "h36m-fcn",
        "fingerprint": "f00d",
        "method": "linear",
        "preset": "default",
        "revision": "2",
        "interval": "10",
        "intervals": "9",
        "protocol": "deciwatch",
        "budget": "quick",
        "selection": "validation",
        "seed": "1",
        "parameters": "7",
        "options/layers": "3",
        "options/norm": "None",
        "training/lr": "0.001",
        "training/epochs": "5",
        "limits/test_clips": "4",
        "chosen/penalty": "0.1",
    }
    assert run.tags == {
        "kind": "cell",
        "key": made.cell.key,
        "status": "done",
        "protocol": "deciwatch",
        "fingerprint": "f00d",
        "budget": "quick",
        "stand-in": "true",
        "commit": "c0ffee-dirty",
        "hardware": "Z80",
        "mlflow.source.name": "bench",
        "mlflow.source.git.commit": "c0ffee-dirty",
        "mlflow.note.content": "MPJPE 52.8 mm, PCK@0.05 nan %\n\n"
        "**Stand-in**: synthetic clips; the numbers say nothing about the dataset.",
    }
    assert points(run, "mpjpe") == [(0, 52.8)]
    assert len(points(run, "pck_0.05")) == 1
    assert points(run, "seconds") == [(0, 90.0)]
    assert run.data == ("h36m-fcn", "f00d")
    assert (run.begin, run.end) == (1767225510000, 1767225600000)
    assert run.texts == {f"{made.cell.key}.json": to_json(made)}


def test_a_curve_stands_by_windows_and_by_epoch(result: Callable[..., Result]) -> None:
    run = runs.of_cell(result())
    assert points(run, "by-windows/loss") == [(100 * n, 1 / n) for n in range(1, 6)]
    assert points(run, "by-epoch/loss") == [(n, 1 / n) for n in range(1, 6)]
    assert points(run, "by-epoch/selection") == [(n, 60.0) for n in range(1, 6)]


def test_a_look_within_an_epoch_gives_way_to_one_at_its_end(result: Callable[..., Result]) -> None:
    curve = tuple({"windows": 50.0 * n, "loss": float(n)} for n in range(1, 5))
    cell = replace(result().cell, training={"epochs": 2})
    assert points(runs.of_cell(result(curve=curve, cell=cell)), "by-epoch/loss") == [
        (1, 2.0),
        (2, 4.0),
    ]


def test_without_epochs_there_is_no_curve_by_them(result: Callable[..., Result]) -> None:
    cell = replace(result().cell, training={"windows": 500, "epochs": None})
    run = runs.of_cell(result(cell=cell))
    assert points(run, "by-epoch/loss") == []
    assert len(points(run, "by-windows/loss")) == 5


def test_epochs_that_a_curve_tells_are_taken(result: Callable[..., Result]) -> None:
    curve = ({"epoch": 3.0, "windows": 7.0, "loss": 1.0},)
    assert points(runs.of_cell(result(curve=curve)), "by-epoch/loss") == [(3, 1.0)]


def test_a_failed_cell_says_why(result: Callable[..., Result]) -> None:
    run = runs.of_cell(result(status="failed", error="x" * 9000, metrics={}, curve=()))
    assert run.status == "FAILED"
    assert run.tags["error"] == "x" * 5000


def test_another_result_has_another_digest(result: Callable[..., Result]) -> None:
    first = runs.of_cell(result())
    assert first == runs.of_cell(result())
    assert first.digest != runs.of_cell(result(parameters=8)).digest


def test_a_table_is_described_by_itself(tmp_path: Path) -> None:
    files = [tmp_path / "table3.md", tmp_path / "table3.tex"]
    files[0].write_text("| a |")
    files[1].write_text("tex")
    run = runs.of_table("table3", "A title", files)
    assert run.tags["mlflow.note.content"] == "| a |"
    files[0].write_text("x" * 9000)
    longer = runs.of_table("table3", "A title", files)
    assert longer.tags["mlflow.note.content"] == "A title"
    assert longer.digest != run.digest


def test_trials_end_as_they_did(study: Study, trials: list[Trial]) -> None:
    made = [runs.of_trial(study, trial, "d") for trial in trials]
    assert [run.status for run in made] == ["FINISHED", "KILLED", "FAILED", "FINISHED"]
    assert made[0].params == {"depth": "2", "seed": "5"}
    assert points(made[0], "by-epoch/mpjpe") == [(1, 61.0), (2, 60.0)]
    assert points(made[0], "mpjpe") == [(0, 60.0)]
    assert made[2].tags["error"] == "boom"
    assert {run.inside for run in made} == {"study ridge-h36m"}


def test_a_study_counts_and_knows_the_best(study: Study, trials: list[Trial]) -> None:
    run = runs.of_study(study, trials)
    assert run.name == "ridge on h36m-fcn"
    assert run.tags["about/sampler"] == "TPE"
    assert run.tags["objectives"] == "minimize mpjpe"
    assert points(run, "best/mpjpe") == [(4, 58.5)]
    assert points(run, "trials/complete") == [(4, 2.0)]
    highest = replace(study, objectives={"mpjpe": "maximize"})
    assert points(runs.of_study(highest, trials), "best/mpjpe") == [(4, 60.0)]
