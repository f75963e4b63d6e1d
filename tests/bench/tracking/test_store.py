"""A real SQLite store: what it shows, and that it can be made again from the files."""

import importlib.util
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import plans
from bench.config import Column, Row, TableConfig
from bench.contracts import BadInput
from bench.results import Planned, Result
from bench.tracking import Tracker, tracker
from bench.tracking.flush import export
from bench.trials import Study, Trial

if importlib.util.find_spec("mlflow") is None:
    pytest.skip("MLflow is not installed", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Let a busy machine take its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracker, "PATIENCE", 200.0)
        yield


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    keep: Callable[..., Result],
    study: Study,
    trials: list[Trial],
) -> Path:
    """An output folder with a table of four cells and a study of four trials, logged in turn."""
    folder = tmp_path_factory.mktemp("out")
    row = Row(dataset="h36m-fcn", interval=10, intervals=9)
    config = TableConfig(
        title="A title",
        source="nowhere",
        metrics=("mpjpe",),
        protocol="deciwatch",
        reference="linear",
        columns=(Column(method="linear"), Column(method="ridge")),
        rows=(row,),
    )
    failed = {"status": "failed", "error": "out of memory", "metrics": {}, "curve": ()}
    with Tracker(folder, "table3") as log:
        # The plan is narrowed afterwards: the others are in the table's experiment all the same.
        for method in ("cubic", "deciwatch"):
            log.log(keep(folder, method, learned=method == "deciwatch"))
        log.log(keep(folder, "mct", **failed))
        made = keep(folder, "ridge", learned=True)
        plans.save(plans.Plan("table3", config, (Planned(0, 1, made.cell),)), folder)
        log.log(made)
        log.log(made)
        (folder / "table3.md").write_text("| a table |")
        (folder / "table3.png").write_bytes(b"a figure")
        log.table()
        for trial in trials:
            log.trial(study, trial)
    assert log.warnings == []
    return folder


def client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def runs(folder: Path, experiment: str = "table3", condition: str = "") -> list[Any]:
    asked = client(folder)
    found = asked.get_experiment_by_name(experiment)
    return list(asked.search_runs([found.experiment_id], condition))


def everything(folder: Path) -> dict[str, Any]:
    """All that a store shows, without its own numbers."""
    asked = client(folder)
    said: dict[str, Any] = {}
    for experiment in asked.search_experiments():
        found = asked.search_runs([experiment.experiment_id])
        names = {run.info.run_id: run.data.tags["entry"] for run in found}
        for run in found:
            tags = {**run.data.tags}
            if parent := tags.pop("mlflow.parentRunId", None):
                tags["parent"] = names[parent]
            said[f"{experiment.name} {tags['entry']}"] = {
                "name": run.info.run_name,
                "status": run.info.status,
                "begin": run.info.start_time if tags["kind"] == "cell" else None,
                "params": run.data.params,
                "metrics": {name: repr(value) for name, value in run.data.metrics.items()},
                "curve": [
                    (point.step, point.value)
                    for point in asked.get_metric_history(run.info.run_id, "by-epoch/loss")
                ],
                "tags": tags,
                "data": [one.dataset.digest for one in run.inputs.dataset_inputs],
                "files": files(run),
            }
    return said


def files(run: Any) -> list[str]:
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_every_cell_is_one_run(folder: Path) -> None:
    found = runs(folder, condition="tags.kind = 'cell'")
    assert len(found) == 4
    states = {run.data.params["method"]: run.info.status for run in found}
    assert states == {
        "cubic": "FINISHED",
        "deciwatch": "FINISHED",
        "mct": "FAILED",
        "ridge": "FINISHED",
    }


def test_the_table_has_its_files_and_figures(folder: Path) -> None:
    (run,) = runs(folder, condition="tags.kind = 'table'")
    assert files(run) == ["table3.md", "table3.png"]
    experiment = client(folder).get_experiment_by_name("table3")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_weights_have_a_signature_and_no_pickle(folder: Path) -> None:
    import mlflow

    (run,) = runs(folder, condition="params.method = 'deciwatch'")
    root = Path(run.info.artifact_uri.removeprefix("file://")) / "model"
    kept = sorted((folder / "weights").glob("*deciwatch*"))
    assert sorted(path.name for path in root.iterdir()) == ["MLmodel", kept[0].name]
    assert (root / kept[0].name).read_bytes() == kept[0].read_bytes()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        info = mlflow.models.get_model_info(f"runs:/{run.info.run_id}/model")
    finally:
        mlflow.set_tracking_uri(None)
    assert info.signature.inputs.inputs[0].name == "keyframes"
    assert info.signature.inputs.inputs[0].shape == (-1, 10, 51)
    assert info.signature.inputs.inputs[0].type.name == "float32"
    assert info.signature.outputs.inputs[0].shape == (-1, 91, 51)
    assert info.flavors["bench"]["weights"] == kept[0].name


def test_trials_are_inside_of_their_study(folder: Path) -> None:
    (study,) = runs(folder, "tune-recovery", "tags.kind = 'study'")
    found = runs(folder, "tune-recovery", "tags.kind = 'trial'")
    assert len(found) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in found} == {study.info.run_id}
    assert study.data.metrics["best/mpjpe"] == 58.5
    assert study.data.metrics["trials/pruned"] == 1


def test_a_lost_store_is_made_again_with_the_same_runs(folder: Path, tmp_path: Path) -> None:
    before = everything(folder)
    assert len(before) == 4 + 1 + 1 + 4
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "mlflow.db").unlink()
    shutil.rmtree(copy / "mlartifacts")
    done = export(copy)
    assert {one.experiment: (one.new, one.same) for one in done} == {
        "table3": (5, 0),
        "tune-recovery": (4, 0),
    }
    assert everything(copy) == before
    assert [(one.new, one.same) for one in export(copy)] == [(0, 5), (0, 4)]
    # Half a run, as a kill leaves it, gives way to a whole one.
    with sqlite3.connect(copy / "mlflow.db") as database:
        database.execute("DELETE FROM tags WHERE key = 'digest'")
    assert [one.new for one in export(copy)] == [5, 4]
    assert everything(copy) == before


def test_the_journal_may_be_lost_too(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("mlflow-queue", "mlartifacts"):
        shutil.rmtree(copy / name)
    (copy / "mlflow.db").unlink()
    experiments = {one.experiment: one.new for one in export(copy)}
    # The plan names one cell; the others are in no table any more.
    assert experiments == {"table3": 2, "tune-recovery": 4, "cells": 3}


def test_a_cell_that_failed_gives_way_to_the_one_that_is_done(
    folder: Path, keep: Callable[..., Result], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "mlflow.db").unlink()
    export(copy)
    keep(copy, "mct")
    assert [one.new for one in export(copy)] == [1, 0]
    (run,) = runs(copy, condition="params.method = 'mct'")
    assert run.info.status == "FINISHED"


def test_what_is_there_is_not_logged_again_nor_mlflow_imported(
    folder: Path, result: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker.Tracker, "_start", lambda self: pytest.fail("started"))
    with Tracker(folder, "table3") as log:
        log.log(result("ridge"))
        log.table()
    assert log.warnings == []


def test_a_long_curve_goes_in_batches(tmp_path: Path, keep: Callable[..., Result]) -> None:
    curve = tuple({"windows": float(step), "loss": 1.0} for step in range(1200))
    keep(tmp_path, curve=curve)
    export(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        query = "SELECT count(*) FROM metrics WHERE key = 'by-windows/loss'"
        assert database.execute(query).fetchone() == (1200,)


def test_a_damaged_result_waits_for_nobody(tmp_path: Path, keep: Callable[..., Result]) -> None:
    keep(tmp_path)
    keep(tmp_path, "cubic")
    (tmp_path / "results" / "broken.json").write_text("{")
    assert [(one.new, one.same) for one in export(tmp_path)] == [(2, 1)]


def test_an_empty_folder_and_a_broken_database_are_said(
    tmp_path: Path, keep: Callable[..., Result]
) -> None:
    with pytest.raises(BadInput, match="nothing to copy"):
        export(tmp_path)
    keep(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BadInput, match=r"\(sqlite:///mlflow.db\).*file is not a database"):
        export(tmp_path)


def test_nothing_here_imports_mlflow_before_it_is_needed() -> None:
    import subprocess

    code = "import sys, bench.tracking.flush; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.lower()) is False
