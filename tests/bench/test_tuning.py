"""Tuning: equal budgets, validation alone, pruning, resuming, finals, presets, refusals."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import yaml
from click.testing import CliRunner
from layouts import write_pw3d
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from bench import commands, config, engines, outcomes, registry, studies, tuned, tuning
from bench.cli import main
from bench.commands import run_table
from bench.contracts import BadInput
from bench.data import store
from bench.liveness import this_process
from bench.request import Request
from bench.results import Results
from bench.run import compute
from bench.storages import masked, open_storage
from bench.trying import Ground, Measured, sealed
from bench.tuning import Asked

PLUGIN = """
import os, signal
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar
import torch
from bench.contracts import Choice, Real, Search

@dataclass(frozen=True)
class _Options:
    gain: float = 0.5
    kind: str = "good"

class Tiny(torch.nn.Module):
    name, title, source, revision, Options = "tiny", "Tiny", "here", 1, _Options
    search: ClassVar[Search] = Search(
        options={"gain": Real(0.0, 1.0), "kind": Choice(("good", "bad"))},
        training={"lr": Real(1e-4, 1e-1, log=True)},
    )
    training_defaults: ClassVar[dict] = {"batch": 32, "lr": 0.01, "schedule": "cosine"}
    def __init__(self, options, window):
        super().__init__()
        self.options, self.window = options, window
        self.layer = torch.nn.Linear(window.keyframes, window.frames)
    def recover(self, keyframes):
        return self.layer(keyframes.mT).mT * (2 * self.options.gain)
    def loss(self, keyframes, truth):
        if self.options.kind == "bad":
            raise ArithmeticError("bad on purpose")
        return (self.recover(keyframes) - truth).abs().mean()

class Calm(Tiny):
    name = "calm"
    search: ClassVar[Search] = Search(options={"gain": Real(0.0, 1.0)})

class Deadly(Tiny):
    name = "deadly"
    search: ClassVar[Search] = Search(options={"kind": Choice(("good", "bad", "fair"))})
    def loss(self, keyframes, truth):
        if self.options.kind == "bad":
            os.kill(os.getpid(), signal.SIGKILL)
        return (self.recover(keyframes) - truth).abs().mean()

class Still:
    name, title, source, revision, Options = "still", "Still", "here", 1, _Options
    def __init__(self, options, window):
        self.frames = window.frames
    def recover(self, keyframes):
        return keyframes.mean(1, keepdim=True).expand(-1, self.frames, -1)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pw3d(tmp_path_factory.mktemp("data"), "abcde", "fg", frames=70)


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture
def ask(data, plugin, tmp_path):
    """A small study of a plugin's method; anything of it changed."""
    asked = Asked(
        methods=("calm",), datasets=("pw3d-spin",), trials=5, windows=96, budget="smoke",
        finalists=1, seeds=2, data=(data,), plugins=(plugin,), out=tmp_path / "out", device="cpu",
        track=False,
    )  # fmt: skip

    def tune(say=None, **change):
        said: list[str] = []
        (done,) = tuning.tune(replace(asked, **change), say or said.append)
        done.record["said"] = said
        return done

    return tune


def results(record) -> list[tuple]:
    return [(t["state"], t["params"], t["values"], t["windows"]) for t in record["trials"]]


def test_a_study_ends_in_a_record_and_a_preset(ask, tmp_path):
    done = ask()
    record = json.loads(done.files[0].read_text())
    assert done.files[0] == tmp_path / f"out/tuning/{record['study']}.json"
    assert record["base"]["method"] == "calm"
    assert [trial["number"] for trial in record["trials"]] == [0, 1, 2, 3, 4]
    assert record["trials"][0]["params"] == {"gain": 0.5}  # the preset itself comes first
    finals = {(final["label"], final["seed"]) for final in record["finals"]}
    labels = {label for label, _ in finals}
    assert finals == {(label, seed) for label in labels for seed in (1, 2)}
    assert record["chosen"]["label"] in labels
    best = min(record["chosen"]["finals"].values(), key=lambda values: values["mpjpe"])
    assert record["chosen"]["values"] == best
    mine = [f["metrics"]["mpjpe"] for f in record["finals"] if f["label"] == "preset"]
    if mine:
        assert record["chosen"]["preset_values"]["mpjpe"] == pytest.approx(sum(mine) / 2)
    found = tuned.load(tmp_path / "out" / "presets")["calm"].datasets["pw3d-spin"]
    assert found.options == record["chosen"]["options"]
    assert "windows" not in found.training
    assert found.training["batch"] == 32
    assert (found.origin.trials, found.origin.windows, found.origin.seeds) == (5, 96, 2)


def test_one_worker_makes_the_same_study_again_interrupted_or_not(ask, tmp_path):
    whole = ask(out=tmp_path / "whole").record
    ask(out=tmp_path / "parts", trials=2)
    parts = ask(out=tmp_path / "parts").record
    assert results(parts) == results(whole)
    assert ask(out=tmp_path / "other", seed=1).record["study"] != whole["study"]


def test_the_same_command_computes_nothing_again(ask, monkeypatch):
    first = ask().record
    monkeypatch.setattr(Ground, "measure", None)
    again = ask().record
    assert results(again) == results(first)
    assert again["chosen"] == first["chosen"]


def test_every_trial_of_every_method_sees_the_same_number_of_windows(ask):
    for method in ("calm", "ridge", "smoothnet-linear"):
        record = ask(methods=(method,), trials=3).record
        assert len(record["trials"]) == 3
        assert {trial["windows"] for trial in record["trials"]} == {96}
        assert all(final["windows"] == 96 for final in record["finals"])
        assert record["windows"] == 96 * (3 + len(record["finals"]))


class _Sealed(dict):
    def __getitem__(self, split):
        if split == "test":
            raise AssertionError("the test split was touched")
        return super().__getitem__(split)


def test_the_test_split_is_never_opened(ask, monkeypatch):
    opened = []

    def guarded(folder, load=store.load):
        dataset = load(folder)
        clips = {split: dataset.clips[split] for split in ("train", "validation")}
        opened.append(replace(dataset, clips=_Sealed(clips)))
        return opened[-1]

    monkeypatch.setattr(store, "load", guarded)
    assert ask().record["chosen"]
    assert ask(methods=("ridge",), trials=2).record["chosen"]
    assert opened
    with pytest.raises(AssertionError, match="touched"):
        opened[0].clips["test"]
    assert sealed(opened[0]).clips["test"] is opened[0].clips["validation"]


@pytest.fixture
def measured(monkeypatch):
    """In place of training: three looks at an error that is the option `gain` itself."""

    def measure(self, cell, seed, look=lambda *_: None):
        error = cell.options["gain"]
        for seen in (32, 64, 96):
            look(seen, error)
        return Measured({"mpjpe": error, "macs": 1 - error}, 96, 0.0)

    monkeypatch.setattr(Ground, "measure", measure)


def test_trials_worse_than_the_median_are_ended_early(ask, measured):
    record = ask(trials=30).record
    gone = [trial for trial in record["trials"] if trial["state"] == "pruned"]
    complete = [trial for trial in record["trials"] if trial["state"] == "complete"]
    assert gone
    assert all(trial["windows"] == 32 for trial in gone)
    assert {trial["windows"] for trial in complete} == {96}
    assert all(trial["state"] == "complete" for trial in record["trials"][: studies.START_PRUNING])
    for trial in record["trials"][studies.START_PRUNING :]:
        done = [one for one in complete if one["number"] < trial["number"]]
        median = np.median([one["params"]["gain"] for one in done])
        assert (trial["state"] == "pruned") == (trial["params"]["gain"] > median)
    assert record["windows"] == 32 * len(gone) + 96 * len(complete) + 96 * len(record["finals"])


def test_the_sampler_learns(ask, measured):
    record = ask(trials=30).record
    gains = [trial["params"]["gain"] for trial in record["trials"]]
    assert np.mean(gains[-10:]) < np.mean(gains[: studies.START_TRIALS]) / 2
    assert record["chosen"]["options"]["gain"] == min(gains)


def test_several_objectives_make_a_front_and_end_nothing_early(ask, measured, tmp_path):
    done = ask(trials=12, objectives=("mpjpe", "macs"))
    record = done.record
    assert {trial["state"] for trial in record["trials"]} == {"complete"}
    # The lower the error the higher the cost: no trial beats another one in both.
    assert all(trial["front"] for trial in record["trials"])
    names = {path.name.partition("-pareto")[2] for path in done.files if "-pareto" in path.name}
    assert names == {".tex", ".md", ".csv", ".pdf", ".svg", ".png"}
    assert any("Pareto front of calm" in line for line in done.lines)


def test_a_trial_that_fails_counts_and_says_why(ask):
    record = ask(methods=("tiny",), trials=8).record
    failed = [trial for trial in record["trials"] if trial["state"] == "failed"]
    assert failed
    assert len(record["trials"]) == 8
    for trial in failed:
        assert trial["params"]["kind"] == "bad"
        assert trial["error"] == "ArithmeticError: bad on purpose"
    assert record["chosen"]["options"]["kind"] == "good"


def test_a_trial_left_by_a_killed_process_does_not_count(ask, tmp_path):
    first = ask(trials=2)
    storage = open_storage(str(tmp_path / "out/tuning/studies.journal"))
    study = optuna.load_study(study_name=first.record["study"], storage=storage)
    left = study.ask()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    machine, _, _ = this_process().split()
    left.set_user_attr("worker", f"{machine} {gone.stdout.strip()} 1")
    mine = study.ask()
    assert mine.user_attrs["worker"] == this_process()
    assert studies.settle(study) == 1
    states = {t.number: t.state for t in study.get_trials()}
    assert states[left.number] == TrialState.FAIL
    assert states[mine.number] == TrialState.RUNNING
    study.tell(mine.number, state=TrialState.FAIL)
    record = ask(trials=4).record
    assert len(record["trials"]) == 4
    assert record["lost"] == 2
    assert "2 left by killed workers" in outcomes.summary(record)[0]


@pytest.mark.parametrize("method", ["calm", "kalman"])
def test_a_trial_that_was_lost_is_tried_again_and_the_study_is_the_same(
    ask, tmp_path, monkeypatch, method
):
    whole = ask(methods=(method,), out=tmp_path / "whole").record
    measure, calls = Ground.measure, 0

    def killed(self, cell, seed, look=lambda *_: None):
        nonlocal calls
        calls += 1
        if calls in (1, 3):
            raise KeyboardInterrupt
        return measure(self, cell, seed, look)

    monkeypatch.setattr(Ground, "measure", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            ask(methods=(method,), out=tmp_path / "parts")
    parts = ask(methods=(method,), out=tmp_path / "parts").record
    assert parts["lost"] == 2
    assert [trial["number"] for trial in parts["trials"]][:2] == [1, 3]
    assert results(parts) == results(whole)
    assert parts["chosen"]["values"] == whole["chosen"]["values"]
    assert parts["chosen"]["options"] == whole["chosen"]["options"]


def test_what_is_not_told_by_a_worker_of_another_machine_stays(ask, tmp_path):
    first = ask(trials=1)
    study = optuna.load_study(
        study_name=first.record["study"],
        storage=open_storage(str(tmp_path / "out/tuning/studies.journal")),
    )
    study.ask().set_user_attr("worker", "another 1 1")
    assert studies.settle(study) == 0


def test_what_killed_writers_left_is_cleared_away(ask, tmp_path):
    done = ask(trials=1)
    left = [path.with_name(f"{path.name}.00c0ffee00c0ffee.tmp") for path in done.files]
    for path in left:
        path.write_text("half")
    ask(trials=1)
    assert len(left) == 2
    assert not any(path.exists() for path in left)


def test_no_trial_begins_after_the_timeout(ask):
    done = ask(timeout=1e-9)
    assert done.record["trials"] == []
    assert done.record["finals"] == []
    assert done.record["chosen"] is None
    assert [path.suffix for path in done.files] == [".json"]
    assert any("the same command goes on" in line for line in done.lines)
    assert len(ask().record["trials"]) == 5


def test_a_space_with_an_end_is_tried_to_it(ask):
    record = ask(methods=("kalman",), trials=6).record
    assert record["sampler"] == studies.EXHAUSTIVE
    models = sorted(trial["params"]["model"] for trial in record["trials"])
    assert models == ["acceleration", "velocity"]
    best = min(record["trials"], key=lambda trial: trial["values"]["mpjpe"])
    assert record["chosen"]["values"] == best["values"]


def test_all_tunes_what_can_be_tuned(data, tmp_path, monkeypatch, measured):
    said: list[str] = []
    asked = Asked(methods=(), datasets=("pw3d-spin",), data=(data,), budget="smoke")
    methods = tuning._methods(asked, "pw3d-spin", said.append)
    assert {"mixsynthformer", "mct", "deciwatch", "ridge", "kalman"} <= set(methods)
    assert not {"linear", "simlpe", "shared-filter"} & set(methods)
    assert "linear is left out: it learns nothing" in said


def test_a_tuned_preset_is_run_and_the_table_tells(ask, data, plugin, tmp_path, monkeypatch):
    def here(jobs, *, workers, tell, claim):
        for job in filter(None, map(claim, jobs)):
            yield from compute(job, tell)

    monkeypatch.setattr(engines, "run_jobs", here)
    ask()
    request = Request(
        "table3", methods=("linear", "calm"), datasets=("pw3d-spin",), budget="smoke", seeds=1,
        device="cpu", data=(data,), plugins=(plugin,), out=tmp_path / "out", workers=1,
        track=False, tuned=tmp_path / "out/presets",
    )  # fmt: skip
    outcome = run_table(request, _Quiet())
    found = tuned.load(tmp_path / "out/presets")["calm"].datasets["pw3d-spin"]
    cells = [cell for cell in outcome.table.cells if cell.method == "calm"]
    assert [cell.preset for cell in cells] == [tuned.PRESET]
    assert cells[0].options == found.options
    assert cells[0].training["windows"] == 512  # the budget's, not the trials'
    assert cells[0].training["lr"] == found.training["lr"]
    assert Results(tmp_path / "out").get(cells[0]).status == "done"
    finalists = found.origin.finalists
    effort = f"5 trials of 96 windows each, then {finalists} finalist"
    notes = " ".join(outcome.table.config.notes)
    assert f"3DPW / SPIN: tuned on validation, {effort}" in notes
    assert "3DPW / SPIN: not tuned, with their presets: linear" in notes
    for ending in ("tex", "md"):
        assert "tuned on validation" in (tmp_path / f"out/table3.{ending}").read_text()
    plain = run_table(replace(request, tuned=None), _Quiet())
    assert [c.preset for c in plain.table.cells if c.method == "calm"] == ["default"]
    assert not any("tuned" in note for note in plain.table.config.notes)


class _Quiet:
    def say(self, text): ...

    def begin(self, cells, earlier, names): ...

    def tell(self, key, share, text): ...

    def done(self, result): ...


def origin(**change) -> tuned.Origin:
    said = {
        "study": "s", "fingerprint": "f", "standin": False, "protocol": "deciwatch",
        "budget": "quick", "base": "quick", "trials": 16, "windows": 15000, "finalists": 3,
        "seeds": 3, "seed": 0, "label": "trial 4", "values": {"mpjpe": 1.0},
    }  # fmt: skip
    return tuned.Origin(**{**said, **change})


def preset(**change) -> tuned.Tuned:
    return tuned.Tuned(
        options={"width": 32},
        training={"lr": 0.1},
        geometry={"intervals": 4},
        origin=origin(**change),
    )


def test_presets_of_other_datasets_stay_in_the_file(tmp_path):
    tuned.save(tmp_path, "mct", "pw3d-spin", preset())
    path = tuned.save(tmp_path, "mct", "h36m-fcn", preset(trials=2))
    tuned.save(tmp_path, "ridge", "h36m-fcn", preset())
    assert yaml.safe_load(path.read_text())["method"] == "mct"
    found = tuned.load(tmp_path / "presets")
    assert set(found) == {"mct", "ridge"}
    assert found["mct"].datasets["pw3d-spin"] == preset()
    assert found["mct"].datasets["h36m-fcn"].origin.trials == 2
    assert tuned.load(path).keys() == {"mct"}


def test_a_tuned_preset_replaces_options_and_keeps_the_length_of_training():
    own = config.method_config("mct").presets["paper"]
    changed = preset().on(own)
    assert changed.options == {"width": 32}
    assert changed.training == {**own.training, "lr": 0.1}
    assert changed.intervals == 4


def test_what_a_table_says_of_tuning():
    table = config.table_config("table3")
    methods = {"linear", "ridge", "mct", "deciwatch"}
    columns = tuple(column for column in table.columns if column.method in methods)
    table = table.model_copy(update={"columns": columns})
    found = {
        "mct": tuned.TunedMethod(method="mct", datasets={"h36m-fcn": preset()}),
        "deciwatch": tuned.TunedMethod(
            method="deciwatch", datasets={"h36m-fcn": preset(fingerprint="g")}
        ),
        "ridge": tuned.TunedMethod(
            method="ridge", datasets={"h36m-fcn": preset(finalists=0, seeds=0, trials=1)}
        ),
    }
    notes = tuned.noted(table, found, {"h36m-fcn": "f", "pw3d-spin": "x"}).notes
    assert notes[len(table.notes) :] == (
        "Human3.6M / FCN: tuned on validation, 1 trial of 15 000 windows: ridge",
        "Human3.6M / FCN: tuned on validation, 16 trials of 15 000 windows each, then 3 finalists"
        " under 3 seeds: MCT, DeciWatch",
        "Human3.6M / FCN: not tuned, with their presets: linear",
        "Human3.6M / FCN: tuned on other clips than these: DeciWatch",
    )
    with pytest.raises(BadInput, match="nothing of this table is tuned"):
        tuned.noted(table, found, {"pw3d-spin": "x"})


def test_a_column_with_a_preset_of_its_own_is_not_tuned():
    found = {"mct": tuned.TunedMethod(method="mct", datasets={"h36m-fcn": preset()})}
    column = config.Column(method="mct")
    assert tuned.of(found, column, "h36m-fcn") == preset()
    assert tuned.of(found, column, "pw3d-spin") is None
    assert tuned.of(found, config.Column(method="mct", preset="paper"), "h36m-fcn") is None
    assert tuned.of(found, config.Column(method="ridge"), "h36m-fcn") is None


def test_the_password_of_a_storage_is_not_shown():
    assert masked("postgresql://me:secret@host:5/db") == "postgresql://me:***@host:5/db"
    assert masked("out/studies.journal") == "out/studies.journal"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["linear"], "nothing can be tuned of linear; found it learns nothing"),
        (["mixsynthformr"], "did you mean mixsynthformer"),
        (["simlpe"], "h36m-fcn is for recovery; found simlpe"),
        (["ridge", "--objectives", "mpjpee"], "unknown metric 'mpjpee'; did you mean"),
        (["ridge", "--dataset", "nowhere"], "unknown dataset 'nowhere'"),
        (["ridge", "--storage", "sqlite:////no/such/folder/db"], "cannot be opened"),
        (["ridge", "--storage", "nosuch://x"], "--storage takes a file or an URL"),
        (["ridge", "--data", "/no/such/folder"], "no such data folder"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_computed(tmp_path, monkeypatch, words, said):
    monkeypatch.setattr(tuning.catalogue, "open_folder", None)
    arguments = ["tune", *words, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments, prog_name="bench")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["ridge", "--all"]])
def test_methods_or_all_have_to_be_named(words):
    result = CliRunner().invoke(main, ["tune", *words], prog_name="bench")
    assert result.exit_code == 2
    assert "name METHODS, or give --all" in result.stderr


def test_an_objective_that_a_dataset_does_not_have_is_refused(ask):
    with pytest.raises(BadInput, match=r"has no pck@0.2 .* choose of mpjpe"):
        ask(objectives=("pck@0.2",))
    with pytest.raises(BadInput, match="the leading objective is no error"):
        ask(objectives=("macs",))
    with pytest.raises(BadInput, match="does not say how many windows"):
        ask(budget="paper", windows=None, methods=("ridge",))


def test_tuned_presets_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no tuned presets"):
        tuned.load(tmp_path)
    (tmp_path / "a.yaml").write_text("method: mct\ndatasets: {x: {optionz: {}}}\n")
    with pytest.raises(BadInput, match="unknown key, did you mean options"):
        tuned.load(tmp_path)


def test_spaces_are_listed():
    result = CliRunner().invoke(main, ["tune", "--list"], prog_name="bench")
    assert result.exit_code == 0
    assert "linear: nothing to tune, it learns nothing" in result.output
    assert "training.decay" in result.output
    assert "when training.schedule is exponential" in result.output


def test_trials_are_copied_to_mlflow(ask, tmp_path, monkeypatch):
    told = []

    class Tracked:
        warnings = ("a warning",)

        def __init__(self, out, experiment):
            told.append((out, experiment))

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def trial(self, study, trial):
            told.append((study, trial))

    monkeypatch.setattr(tuning, "Tracker", Tracked)
    done = ask(trials=2, track=True)
    assert told[0] == (tmp_path / "out", "tune-pw3d-spin")
    (study, first), (_, second) = told[1:]
    assert study.name == done.record["study"]
    assert study.objectives == {"mpjpe": "minimize"}
    assert (first.number, second.number) == (0, 1)
    assert first.values == done.record["trials"][0]["values"]
    assert [entry["windows"] for entry in first.curve] == [64.0, 96.0]
    assert done.warnings == ("a warning",)
    # What was done earlier is offered again: a lost database comes back.
    told.clear()
    ask(trials=2, track=True)
    assert [trial.number for _, trial in told[1:]] == [0, 1]


BENCH = (sys.executable, "-m", "bench")


@pytest.fixture
def typed(data, plugin, tmp_path) -> list[str]:
    """The words of a small `bench tune` but for the method."""
    return [
        "tune", "--dataset", "pw3d-spin", "--windows", "64", "--budget", "smoke",
        "--finalists", "1", "--seeds", "1", "--no-track", "--device", "cpu", "--data", str(data),
        "--plugin", str(plugin), "--out", str(tmp_path / "out"),
    ]  # fmt: skip


@pytest.fixture
def another(ask, tmp_path):
    """The study of a first command, and the name of another process that lives until it is told."""
    first = ask(trials=2)
    place = open_storage(str(tmp_path / "out/tuning/studies.journal"))
    study = optuna.load_study(study_name=first.record["study"], storage=place)
    code = "from bench.liveness import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield study, process.stdout.readline().strip(), process
        process.kill()


def begun(study: optuna.Study, worker: str) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("gain", 0.0, 1.0)
    trial.set_user_attr("worker", worker)
    return trial


def test_finals_begin_when_the_trials_of_other_commands_are_over(
    ask, another, measured, monkeypatch
):
    monkeypatch.setattr(tuning, "_LOOK", 0.01)
    study, name, _ = another
    theirs = begun(study, name)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "waiting for it" in line:
            study.tell(theirs.number, 0.0)

    done = ask(say, trials=3)
    assert "another command computes 1 trial: waiting for it, at most 60 s for one" in " ".join(
        said
    )
    assert done.record["chosen"]["finals"].keys() >= {f"trial {theirs.number}"}
    assert len(done.record["trials"]) == 3


def test_trials_of_a_command_that_dies_are_tried_by_the_one_that_waits(ask, another, monkeypatch):
    monkeypatch.setattr(tuning, "_LOOK", 0.01)
    study, name, process = another
    theirs = begun(study, name)

    def say(line: str) -> None:
        if "waiting for it" in line:
            process.kill()
            process.wait()

    done = ask(say, trials=3)
    assert done.record["lost"] == 1
    assert [trial["number"] for trial in done.record["trials"]] == [0, 1, theirs.number + 1]


def test_finals_of_another_command_are_taken_from_it(ask, another, monkeypatch):
    monkeypatch.setattr(tuning, "_LOOK", 0.01)
    study, name, _ = another
    trained: list[object] = []

    def measure(self, cell, seed, look=lambda *_: None):
        trained.append(seed)
        return Measured({"mpjpe": 0.5, "macs": 1.0}, 96, 0.0)

    monkeypatch.setattr(Ground, "measure", measure)
    study.set_user_attr("claim:preset:3", {"worker": name, "since": 0.0, "deaths": 0})
    study.set_user_attr("claim:trial 0:3", {"worker": name, "since": 0.0, "deaths": 0})
    study.set_user_attr("claim:trial 1:3", {"worker": name, "since": 0.0, "deaths": 0})
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "waiting for it" in line:
            for label in ("preset", "trial 0", "trial 1"):
                theirs = {"metrics": {"mpjpe": 0.25}, "windows": 96, "seconds": 0.0}
                study.set_user_attr(f"final:{label}:3", theirs)

    done = ask(say, trials=2, seeds=3)
    assert "0 final 3" not in trained
    finals = [final for final in done.record["finals"] if final["seed"] == 3]
    assert {final["metrics"]["mpjpe"] for final in finals} == {0.25}
    assert sum("seed 3: MPJPE" in line for line in said) == len(finals)


def test_two_commands_that_tune_a_method_on_two_datasets_lose_none(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bench import tuned\n"
        "found = tuned.Tuned.model_validate_json(sys.argv[2])\n"
        "for number in range(25):\n"
        "    tuned.save(Path(sys.argv[1]), 'mct', sys.argv[3] + str(number), found)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path), preset().model_dump_json()]
    running = [subprocess.Popen([*words, name]) for name in "ab"]
    assert [process.wait(120) for process in running] == [0, 0]
    wanted = {f"{name}{number}" for name in "ab" for number in range(25)}
    assert tuned.load(tmp_path / "presets")["mct"].datasets.keys() == wanted


def spoil(place: Path) -> None:
    """A database in the middle of a study becomes none."""
    place.write_bytes(b"no database" * 1000)


def test_a_database_that_goes_away_is_said_in_one_line(ask, measured, tmp_path, monkeypatch):
    place = tmp_path / "studies.db"
    measure, calls = Ground.measure, 0

    def lose(self, *given):
        nonlocal calls
        calls += 1
        if calls == 2:
            spoil(place)
        return measure(self, *given)

    monkeypatch.setattr(Ground, "measure", lose)
    with pytest.raises(BadInput) as caught:
        ask(storage=f"sqlite:///{place}")
    assert "the storage of studies does not answer" in str(caught.value)
    assert "file is not a database" in str(caught.value)
    assert "the same command goes on" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_worker_leaves_it_to_its_command_to_say_that_a_database_is_gone(monkeypatch):
    def work(error: Exception) -> None:
        try:
            raise StorageInternalError("gone")
        finally:
            raise error

    monkeypatch.setattr(tuning, "follow_parent", lambda: None)
    monkeypatch.setattr(tuning.processes, "settle", lambda _visible: None)
    with pytest.raises(SystemExit) as caught:
        tuning._alone(None, work, (UnboundLocalError("state"),))
    assert caught.value.code == 2
    with pytest.raises(ZeroDivisionError):
        tuning._alone(None, lambda: 1 / 0, ())


def test_a_study_without_a_preset_ends_in_exit_code_1(typed, monkeypatch):
    def fail(*_given):
        raise ArithmeticError("on purpose")

    monkeypatch.setattr(Ground, "measure", fail)
    result = CliRunner().invoke(main, [*typed, "calm", "--trials", "2"], prog_name="bench")
    assert "no configuration could be measured: no preset is written" in result.stdout
    assert result.exit_code == 1


def test_objectives_with_a_dot_are_tuned(ask, monkeypatch):
    names = ("pixels", "pck@0.05")
    monkeypatch.setattr(tuning, "metrics_of", lambda *_: names)
    found = Measured({"pixels": 2.0, "pck@0.05": 0.5}, 96, 0.0)
    monkeypatch.setattr(Ground, "measure", lambda *_: found)
    done = ask(trials=1, objectives=names)
    assert done.record["study"].startswith("calm_pw3d-spin_pixels-pck005_")
    assert done.record["chosen"]["values"] == {"pixels": 2.0, "pck@0.05": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "codes"), [("1", [-9, -9, 0]), ("2", [0])])
def test_a_configuration_that_kills_its_process_fails_and_the_study_goes_on(
    typed, tmp_path, workers, codes
):
    words = [*BENCH, *typed, "deadly", "--trials", "3", "-j", workers]
    assert [subprocess.run(words, check=False).returncode for _ in codes] == codes
    (path,) = (tmp_path / "out/tuning").glob("*.json")
    record = json.loads(path.read_text())
    assert record["lost"] == 1
    assert {trial["params"]["kind"]: trial["error"] for trial in record["trials"]} == {
        "good": None, "fair": None, "bad": studies.DIED_TWICE,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [("1", [-9] * 4), ("2", [])])
def test_finals_that_kill_their_process_fail_and_the_study_ends(typed, tmp_path, workers, kills):
    plugin = tmp_path / "plugin.py"
    flag = tmp_path / "deadly"
    text = plugin.read_text().replace('self.options.kind == "bad"', f'os.path.exists("{flag}")')
    plugin.write_text(text)
    words = [*BENCH, *typed, "deadly", "--trials", "3", "-j", workers]
    assert subprocess.run([*words, "--seeds", "1"], check=False).returncode == 0
    flag.touch()
    for code in [*kills, 1]:
        done = subprocess.run([*words, "--seeds", "2"], check=False, capture_output=True, text=True)
        assert done.returncode == code
    assert "seed 2: failed: its process died twice" in done.stderr
    (path,) = (tmp_path / "out/tuning").glob("*.json")
    finals = json.loads(path.read_text())["finals"]
    died = {final["seed"]: final.get("error") for final in finals}
    assert died == {1: None, 2: studies.DIED_TWICE}


@pytest.mark.slow
def test_two_commands_share_trials_and_finals(typed, tmp_path):
    words = [*BENCH, *typed, "calm", "--trials", "8", "--seeds", "3"]
    running = [
        subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    best = [out[out.index("  best:") :].splitlines()[0] for out, _ in said]
    assert best[0] == best[1]
    (path,) = (tmp_path / "out/tuning").glob("*.json")
    record = json.loads(path.read_text())
    assert len(record["trials"]) == 8
    chosen = tuned.load(tmp_path / "out/presets")["calm"].datasets["pw3d-spin"]
    assert chosen.origin.label == record["chosen"]["label"]
    assert chosen.origin.trials == 8


@pytest.mark.slow
def test_workers_say_in_one_line_that_a_database_is_gone(typed, tmp_path):
    place = tmp_path / "studies.db"
    plugin = tmp_path / "plugin.py"
    gone = f'open("{place}", "wb").write(b"no database" * 1000)'
    plugin.write_text(plugin.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", gone))
    words = [*typed, "deadly", "--trials", "6", "-j", "2", "--storage", f"sqlite:///{place}"]
    done = subprocess.run([*BENCH, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("the storage of studies does not answer") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_several_workers_share_a_study(ask):
    record = ask(trials=8, workers=2).record
    assert [trial["number"] for trial in record["trials"]] == list(range(8))
    assert record["lost"] == 0
    assert all(math.isfinite(trial["values"]["mpjpe"]) for trial in record["trials"])
    assert len(record["finals"]) == 2 * len({final["label"] for final in record["finals"]})


def test_each_worker_sees_one_gpu(monkeypatch):
    monkeypatch.setattr(tuning.processes, "gpus", lambda: ("2", "5"))
    assert tuning._seats(SimpleNamespace(device="cuda:0"), 3) == ["2", "5", "2"]
    assert tuning._seats(SimpleNamespace(device="cpu"), 2) == [None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    # This process is no worker, and hears Ctrl-C.
    monkeypatch.setattr(tuning, "follow_parent", lambda: None)
    seen = []
    tuning._alone("5", lambda: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]), ())
    assert seen == ["5"]


@pytest.mark.slow
def test_workers_that_do_nothing_end_the_command(ask, monkeypatch):
    monkeypatch.setattr(tuning, "_alone", os._exit)
    with pytest.raises(BadInput, match="ended without doing anything; found exit codes"):
        ask(workers=2)


def test_a_device_is_asked_for_by_name(monkeypatch, ask):
    monkeypatch.setattr(tuning, "device_named", commands.device_named)
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BadInput, match="no CUDA device"):
        ask(device="cuda")
