"""Tables run without a command line: what is computed, kept, stored and refused."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import packed, write_pw3d
from rich.console import Console

from bench import engines, plan, plans, request
from bench.commands import device_named, run_table
from bench.config import Column, Published, Row, TableConfig, table_config, table_names
from bench.contracts import BadInput
from bench.metrics import COSTS
from bench.progress import Shown
from bench.request import Request
from bench.results import Result, Results, from_json
from bench.run import compute

METHODS = ("linear", "nearest", "cubic")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pw3d(tmp_path_factory.mktemp("data"))


@pytest.fixture
def ask(data, tmp_path, monkeypatch):
    """Run a request in this process; returns the outcome and the methods computed, in order."""
    computed: list[str] = []

    def here(jobs, *, workers, tell, claim):
        for job in filter(None, map(claim, jobs)):
            computed.extend(cell.method for cell in job.cells)
            yield from compute(job, tell)

    monkeypatch.setattr(engines, "run_jobs", here)

    def run(**change):
        computed.clear()
        request = Request(
            "table3", None, METHODS, ("pw3d-spin",), budget="smoke", data=(data,), device="cpu",
            track=False, out=tmp_path / "out",
        )  # fmt: skip
        outcome = run_table(replace(request, **change), Shown(Console(file=StringIO())))
        return outcome, list(computed)

    run.out = tmp_path / "out"
    return run


def stored(out: Path) -> list[Path]:
    return sorted((out / "results").iterdir())


def _read(file: Path) -> Result:
    return from_json(file.read_text(encoding="utf-8"), file)


def test_what_is_stored_is_not_computed_again(ask):
    outcome, computed = ask()
    assert sorted(computed) == sorted(METHODS)
    assert outcome.failed == 0
    assert {file.name for file in outcome.files} == {"table3.tex", "table3.md", "table3.csv"}
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in stored(ask.out)}
    outcome, computed = ask(workers=1, device="auto", methods=METHODS[::-1])
    assert computed == []
    assert (outcome.table.run.computed, outcome.table.run.earlier) == (0, 3)
    assert {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in stored(ask.out)} == before
    # One more method is one more cell.
    assert ask(methods=(*METHODS, "quadratic"))[1] == ["quadratic"]


def test_redo_all_computes_all_again_and_failed_what_failed(ask):
    ask()
    assert len(ask(redo="all")[1]) == 3
    results = Results(ask.out)
    done = next(r for r in map(_read, stored(ask.out)) if r.cell.method == "linear")
    results.put(Result(cell=done.cell, status="failed", error="RuntimeError: a full disk"))
    outcome, computed = ask()
    assert computed == []
    assert outcome.failed == 1
    outcome, computed = ask(redo="failed")
    assert computed == ["linear"]
    assert outcome.failed == 0
    assert ask(redo="failed")[1] == []


def test_a_damaged_result_is_computed_anew(ask):
    ask()
    first, second, third = stored(ask.out)
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    second.write_bytes(b"\xff\xfe\x00")
    third.write_text('{"format": 1}')
    assert len(ask()[1]) == 3
    assert _read(first).metrics
    assert ask()[1] == []


def test_each_result_is_stored_before_the_next_is_computed(ask, monkeypatch):
    def interrupted(jobs, *, workers, tell, claim):
        assert (workers, len(jobs)) == (2, 3)
        yield from compute(claim(jobs[0]), tell)
        assert [_read(file).cell for file in stored(ask.out)] == [*jobs[0].cells]
        raise KeyboardInterrupt

    whole = engines.run_jobs
    monkeypatch.setattr(engines, "run_jobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(workers=2)
    assert not list(ask.out.glob("table3.*"))
    monkeypatch.setattr(engines, "run_jobs", whole)
    assert len(ask()[1]) == 2


def test_workers_are_stopped_when_something_else_goes_wrong(ask, monkeypatch):
    closed = []

    def endless(jobs, *, workers, tell, claim):
        try:
            while True:
                yield from compute(claim(jobs[0]), tell)
        except GeneratorExit:
            closed.append(True)
            raise

    def full(self, result):
        raise OSError("no space left")

    monkeypatch.setattr(engines, "run_jobs", endless)
    monkeypatch.setattr(Results, "put", full)
    with pytest.raises(OSError, match="no space left"):
        ask()
    assert closed == [True]


def test_trained_cells_come_first(ask, monkeypatch):
    order = []

    def spy(jobs, *, workers, tell, claim):
        order.extend(cell.method for job in jobs for cell in job.cells)
        yield from ()

    monkeypatch.setattr(engines, "run_jobs", spy)
    ask(methods=("linear", "mct", "ridge", "deciwatch"))
    assert order == ["mct", "deciwatch", "linear", "ridge"]


def test_a_report_computes_nothing(ask, tmp_path):
    def states(**change):
        outcome, computed = ask(compute=False, **change)
        assert computed == []
        return [entry.state for _, entry in outcome.table.entries]

    ask(methods=("linear",))
    assert states(redo="all") == ["not run", "done", "not run"]
    assert states(out=tmp_path / "other") == ["not run"] * 3


def test_another_protocol_scores_the_weights_that_are_there(ask, monkeypatch):
    first, _ = ask(methods=("mct",))
    monkeypatch.setattr("bench.learning.train_together", None)
    second, computed = ask(methods=("mct",), protocol="full")
    assert computed == ["mct"]
    assert second.failed == 0
    ours, theirs = (o.table.rows[0].entries[0] for o in (first, second))
    # Published values hold under their own protocol alone.
    assert ours.published
    assert not theirs.published
    assert ours.parameters == theirs.parameters > 0
    # Computing all again trains again.
    with_error, _ = ask(methods=("mct",), redo="all")
    assert with_error.failed == 1


@pytest.fixture
def motion(ask):
    """`ask` for Table 4 on its stand-in."""

    def run(**change):
        given = {"methods": ("zero-velocity", "stsgcn"), "datasets": None, "data": ()}
        return ask(**{"table": "table4", **given, **change})

    return run


def test_prediction_trains_once_for_both_protocols(motion, monkeypatch):
    outcome, computed = motion()
    assert computed == ["stsgcn", "stsgcn", "zero-velocity", "zero-velocity"]
    assert [row.protocol for row in outcome.table.rows] == ["h36m-average", "h36m-horizon"]
    average, horizon = (row.entries[1].numbers for row in outcome.table.rows)
    assert average["mpjpe@400"] != horizon["mpjpe@400"]
    assert len(list((outcome.files[0].parent / "weights").iterdir())) == 1


def test_one_protocol_alone(motion):
    outcome, computed = motion(methods=("zero-velocity",), protocol="h36m-horizon-8")
    assert computed == ["zero-velocity"]
    (row,) = outcome.table.rows
    assert row.protocol == "h36m-horizon-8"
    assert not row.entries[0].published


def test_a_column_group_for_each_action(motion):
    outcome, _ = motion(methods=("zero-velocity",), by="action")
    actions = [row.action for row in outcome.table.rows if row.protocol == "h36m-average"]
    assert len(actions) == 7  # one of the six actions' two takes each, and their average
    assert actions[-1] == ""
    assert len(set(actions)) == 7


def test_actions_that_names_do_not_tell_are_refused_before_anything_runs(ask):
    with pytest.raises(BadInput, match="pw3d-spin"):
        ask(by="action")
    assert not (ask.out / "results").exists()


def test_published_weights_are_scored_as_they_are(motion, tmp_path):
    from bench import registry
    from bench.contracts import Span

    span = Span(10, 4, 22, 3)
    torch.manual_seed(1)
    method = registry.build("stsgcn", {"horizons": [2, 4]}, span)
    folder = tmp_path / "published"
    folder.mkdir()
    for horizon, network in method.networks.items():
        torch.save(network.state_dict(), folder / f"{horizon}frames")
    outcome, computed = motion(checkpoints=(folder,), methods=("zero-velocity",))
    assert sorted(computed) == ["stsgcn", "stsgcn", "zero-velocity", "zero-velocity"]
    entry = outcome.table.rows[0].entries[1]
    assert entry.label == "STSGCN, published weights"
    assert (entry.cell.training, entry.cell.geometry) == (None, {"history": 10, "future": 4})
    assert set(entry.numbers) - set(COSTS) == {"mpjpe@80", "mpjpe@160"}
    assert motion(checkpoints=(folder,), methods=("zero-velocity",))[1] == []


def _save_stsgcn(folder: Path, joints: int = 22, seed: int = 1) -> Path:
    """Weights of a small STSGCN for 2 frames, as others would publish them."""
    from bench import registry
    from bench.contracts import Span

    folder.mkdir()
    torch.manual_seed(seed)
    method = registry.build("stsgcn", {"horizons": [2]}, Span(10, 2, joints, 3))
    torch.save(method.networks["2"].state_dict(), folder / "2frames")
    return folder


def test_published_weights_of_two_folders_are_told_apart_and_equal_ones_are_one(motion, tmp_path):
    folders = [_save_stsgcn(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 2))]
    same = _save_stsgcn(tmp_path / "c", seed=1)
    outcome, _ = motion(checkpoints=(*folders, same), methods=("zero-velocity",))
    labels = [entry.label for entry in outcome.table.rows[0].entries]
    assert len(labels) == len(set(labels)) == 3
    assert [any(name in label for label in labels[1:]) for name in ("a", "b")] == [True, True]


def test_a_report_with_published_weights_writes_none(motion, tmp_path):
    folder = _save_stsgcn(tmp_path / "a")
    out = tmp_path / "fresh"
    motion(methods=("zero-velocity",), out=out)
    motion(methods=("zero-velocity",), out=out, checkpoints=(folder,), compute=False)
    assert not (out / "weights").exists()


def test_published_weights_that_do_not_belong_are_refused_before_anything_runs(
    ask, motion, tmp_path
):
    with pytest.raises(BadInput, match="not for recovery"):
        ask(checkpoints=(_save_stsgcn(tmp_path / "a"),))
    with pytest.raises(BadInput, match=r"another skeleton than h36m-motion; found 18 joints"):
        motion(checkpoints=(_save_stsgcn(tmp_path / "b", joints=18),), methods=("zero-velocity",))
    assert not ask.out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("linear",)}, "linear is not for prediction"),
        ({"datasets": ("h36m-fcn",)}, "h36m-fcn is not for prediction"),
        ({"protocol": "full"}, "h36m-motion is not for recovery"),
        ({"metrics": ("mpjpe",)}, "h36m-motion is a 3d dataset without mpjpe"),
        ({"checkpoints": (Path("nowhere"),)}, "nowhere"),
    ],
)
def test_recovery_and_prediction_do_not_mix(motion, change, message):
    with pytest.raises(BadInput, match=message):
        motion(**change)


def test_an_empty_plan_is_an_error(ask, monkeypatch):
    monkeypatch.setattr(plan, "plan", lambda *_args, **_rest: [])
    with pytest.raises(BadInput, match="nothing to run"):
        ask()
    assert not ask.out.exists()


def test_missed_detections_are_counted_and_scored(ask, tmp_path):
    root = write_pw3d(tmp_path / "gaps")
    file = root / "detected_poses/pw3d/spin/pw3d_spin_test.npz"
    rng = np.random.default_rng(0)
    poses = [rng.normal(0, 0.2, (60, 51)) for _ in "de"]
    poses[0][10, 36:39] = np.nan  # one wrist at one keyframe
    images = [[f"{video}/{i:06d}" for i in range(60)] for video in "de"]
    np.savez(file, imgname=packed(images), joints_3d=packed(poses))
    outcome, _ = ask(data=(root,))
    assert outcome.failed == 0
    assert [entry.scored.missed for _, entry in outcome.table.entries] == [1, 1, 1]
    assert "1 missed" in (ask.out / "table3.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "tabel3"}, "unknown table 'tabel3'; did you mean table3"),
        ({"methods": ("lineer",)}, "unknown method 'lineer'; did you mean .*linear"),
        ({"datasets": ("pw3d",)}, "unknown dataset 'pw3d'; "),
        ({"budget": "quik"}, "unknown budget 'quik'; did you mean quick"),
        ({"protocol": "ful"}, "unknown protocol 'ful'; did you mean full"),
        ({"data": (Path("nowhere"),)}, "nowhere: no such data folder"),
        ({"plugins": (Path("nothing.py"),)}, "nothing.py: no such plugin file"),
        ({"datasets": ("h36m-sh",)}, "h36m-sh is a 2d dataset without mpjpe; .* pixels"),
        (
            {"datasets": ("pw3d-spin-smpl",), "metrics": ("pixels",)},
            "pw3d-spin-smpl is a 6d dataset without pixels",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(ask, change, message):
    with pytest.raises(BadInput, match=message):
        ask(**change)
    assert not ask.out.exists()


def test_devices(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("cpu") == device_named("auto") == "cpu"
    with pytest.raises(BadInput, match="no CUDA device is available; use --device cpu"):
        device_named("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_named("auto") == device_named("cuda") == "cuda:0"
    assert device_named("cpu") == "cpu"


ONE_ROW = TableConfig(
    title="t",
    source="s",
    layout="metrics",
    metrics=("mpjpe",),
    protocol="deciwatch",
    reference="linear",
    columns=(Column(method="linear"), Column(method="nearest")),
    rows=(Row(dataset="pw3d-spin"), Row(dataset="aist-spin-smpl", metrics=("angle",))),
)


def test_a_dataset_that_is_not_there_has_a_row_without_numbers(ask):
    outcome, computed = ask(table="mine", config=ONE_ROW, methods=None, datasets=None)
    assert sorted(computed) == ["linear", "nearest"]
    there, absent = outcome.table.rows
    assert [entry.state for entry in there.entries] == ["done", "done"]
    assert [entry.state for entry in absent.entries] == ["no data", "no data"]
    assert absent.missing
    assert outcome.failed == 0
    # The plan says it too, so that the table can be drawn again where nothing is known of data.
    assert plans.load(ask.out / "plans/mine.json").missing == {"aist-spin-smpl": absent.missing}
    # One that was asked for by name is refused.
    with pytest.raises(BadInput, match="no data for aist-spin-smpl"):
        ask(table="mine", config=ONE_ROW, methods=None, datasets=("aist-spin-smpl",))


def test_a_table_may_be_given_instead_of_named(ask):
    outcome, _ = ask(table="mine", config=ONE_ROW, methods=None, compute=False)
    assert outcome.table.name == "mine"
    assert {file.name for file in outcome.files} == {"mine.tex", "mine.md", "mine.csv"}


def test_results_say_what_their_method_costs(ask):
    ask(methods=("linear", "mct"))
    costs = {result.cell.method: result.cost for result in map(_read, stored(ask.out))}
    assert costs["linear"]["parameters"] == costs["linear"]["live"] == 0
    assert costs["mct"]["parameters"] >= costs["mct"]["live"] > 0
    assert costs["mct"]["macs"] > costs["linear"]["macs"]
    outcome, _ = ask(methods=("linear", "mct"), metrics=("mpjpe", "live", "macs"))
    numbers = outcome.table.rows[0].entries[1].numbers
    # Printed in millions.
    assert numbers["live"].mean == pytest.approx(costs["mct"]["live"] / 1e6)
    assert numbers["macs"].mean == pytest.approx(costs["mct"]["macs"] / 1e6)


def test_other_metrics_hold_for_rows_with_their_own_too(ask):
    rows = (
        Row(dataset="pw3d-spin", metrics=("mpjpe", "accel"),
            published={"linear": {"mpjpe": Published(value=97.2), "accel": Published(value=6.7)}}),
    )  # fmt: skip
    config = ONE_ROW.model_copy(update={"rows": rows})
    outcome, _ = ask(table="mine", config=config, methods=None, metrics=("pampjpe", "accel"))
    (row,) = outcome.table.rows
    assert row.metrics == ("pampjpe", "accel")
    assert dict(row.entries[0].published) == {"accel": 6.7}
    assert {"pampjpe", "accel"} <= set(row.entries[0].numbers)


@pytest.mark.parametrize("name", table_names())
def test_every_table_that_ships_can_be_run(name):
    # Their rows may be of different spaces: details stand where a dataset has them.
    request._check_metrics(table_config(name))
