"""Studies by several processes: what killed ones leave, who is waited for, names of studies."""

import time
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import TrialState

from bench import studies
from bench.liveness import this_process
from bench.results import Cell
from bench.storages import WORKER, open_storage
from bench.trials import NAME

MACHINE, NUMBER, BEGAN = this_process().split()
DEAD = f"{MACHINE} {NUMBER} {BEGAN}0"  # of the same number as this process, but begun earlier
ELSEWHERE = f"another {NUMBER} {BEGAN}"


@pytest.fixture(params=["journal", "database"])
def study(request, tmp_path) -> optuna.Study:
    journal = str(tmp_path / "studies.journal")
    place = journal if request.param == "journal" else f"sqlite:///{tmp_path}/studies.db"
    return optuna.create_study(storage=open_storage(place), study_name="a")


def begin(study: optuna.Study, gain: float | None, worker: str = DEAD) -> optuna.Trial:
    """A trial of a process, with a configuration unless it was killed before it had one."""
    trial = study.ask()
    if gain is not None:
        trial.suggest_float("gain", gain, gain)
    trial.set_user_attr(WORKER, worker)
    return trial


def test_a_configuration_that_two_processes_died_of_has_failed_and_counts(study):
    begin(study, 0.5)
    assert studies.settle(study) == 1
    assert studies.counted(study) == []
    begin(study, 0.5)
    begin(study, 0.25)
    before = studies.progress(study)
    assert studies.settle(study) == 2
    assert studies.progress(study) > before
    (failed,) = studies.finished(study)
    assert (failed.number, failed.state) == (1, TrialState.FAIL)
    assert failed.user_attrs["error"] == studies.DIED_TWICE
    assert [trial.number for trial in studies.lost(study)] == [0, 2]


def test_two_that_die_of_one_configuration_at_once_are_two(study):
    begin(study, 0.5)
    begin(study, 0.5)
    studies.settle(study)
    assert [trial.number for trial in studies.finished(study)] == [1]


def test_a_trial_that_died_before_it_had_a_configuration_is_no_fault_of_one(study):
    for _ in range(3):
        begin(study, None)
        studies.settle(study)
    assert studies.finished(study) == []


def test_what_was_stopped_from_outside_is_no_death(study):
    for _ in range(2):
        begin(study, 0.5)
        studies.settle(study, stopped=True)
    begin(study, 0.5)
    studies.settle(study)
    assert studies.finished(study) == []
    assert len(studies.lost(study)) == 3


def test_trials_of_others_are_awaited_while_they_may_live(study):
    begin(study, 0.5, this_process())
    assert studies.awaited(study) == 0
    begin(study, 0.5, ELSEWHERE)
    assert studies.awaited(study) == 1
    assert studies.patience(study) == 60
    assert not studies.is_silent(study, ELSEWHERE, time.time() - 5)
    assert studies.is_silent(study, ELSEWHERE, time.time() - 70)
    # One of this machine that lives is waited for however long it takes.
    assert not studies.is_silent(study, this_process(), 0.0)
    done = study.ask()
    done.set_user_attr("seconds", 100.0)
    study.tell(done, 1.0)
    assert studies.patience(study) == 300
    assert not studies.is_silent(study, ELSEWHERE, time.time() - 200)


def test_a_trial_of_another_machine_that_shows_no_sign_of_life_is_lost(tmp_path, monkeypatch):
    place = f"sqlite:///{tmp_path}/studies.db"
    study = optuna.create_study(storage=open_storage(place), study_name="a")
    for _ in range(2):
        trial = begin(study, 0.5, ELSEWHERE)
        study._storage.record_heartbeat(trial._trial_id)
        assert studies.settle(study) == 0
        monkeypatch.setattr(study._storage._backend, "grace_period", -10)
        # Optuna leaves it alone, before each of its own trials.
        optuna.storages.fail_stale_trials(study)
        assert studies.settle(study) == 1
        monkeypatch.undo()
    assert [trial.number for trial in studies.finished(study)] == [1]


def test_a_trial_from_the_queue_has_a_minute_to_say_who_computes_it(study, monkeypatch):
    trial = begin(study, 0.5, "")
    study._storage.set_trial_user_attr(trial._trial_id, WORKER, None)
    assert (studies.settle(study), studies.awaited(study)) == (0, 1)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=61)

    monkeypatch.setattr(studies, "datetime", Later)
    assert (studies.settle(study), studies.awaited(study)) == (1, 0)


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        (("pixels", "pck@0.05"), "ridge_h36m-sh_pixels-pck005_"),
        (("mpjpe@400", "macs"), "ridge_h36m-sh_mpjpe400-macs_"),
        (("pck@0.2:wrist",), "ridge_h36m-sh_pck02wrist_"),
    ],
)
def test_a_study_is_called_by_a_name_for_paths_whatever_its_objectives(objectives, said):
    cell = Cell(
        method="ridge", preset="quick", revision=1, options={}, training=None, limits={},
        geometry={}, dataset="h36m-sh", fingerprint="f", protocol="full", seed=0, budget="quick",
        selection="",
    )  # fmt: skip
    name = studies.Plan(cell, objectives).name
    assert name.startswith(said)
    assert NAME.fullmatch(name)
    assert int(name.removeprefix(said), 16) >= 0
