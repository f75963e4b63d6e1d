"""Finals: each trained by one worker, taken over from the dead, given up after two deaths."""

from types import SimpleNamespace

import optuna
import pytest

from bench import finals, studies
from bench.finals import Final
from bench.liveness import this_process
from bench.storages import open_storage
from bench.trying import Measured

MACHINE, NUMBER, BEGAN = this_process().split()
DEAD = f"{MACHINE} {NUMBER} {BEGAN}0"  # of the same number as this process, but begun earlier
LIVING = f"{MACHINE} 1 1"
TASKS = [Final("preset", SimpleNamespace(name="p"), 1), Final("trial 2", SimpleNamespace(), 1)]


@pytest.fixture
def study(tmp_path) -> optuna.Study:
    place = str(tmp_path / "studies.journal")
    return optuna.create_study(storage=open_storage(place), study_name="a")


@pytest.fixture
def trained(study, monkeypatch) -> list:
    """The cells that are trained; what is in place of training them."""
    cells: list = []

    class Ground:
        def measure(self, cell, seed):
            cells.append(cell)
            return Measured({"mpjpe": 1.0}, 96, 0.0)

    monkeypatch.setattr(studies, "load", lambda _order: study)
    monkeypatch.setattr(studies, "ground", lambda _order: Ground())
    monkeypatch.setattr(finals, "is_gone", lambda worker: worker == DEAD)
    return cells


ORDER = SimpleNamespace(plan=SimpleNamespace(seed=0))


def claim(study: optuna.Study, worker: str, **about) -> None:
    said = {"worker": worker, "since": 0.0, "deaths": 0, **about}
    study.set_user_attr(TASKS[0].claim, said)


def test_every_final_is_trained_once(study, trained):
    told: list = []
    finals.compute(ORDER, TASKS, told.append)
    finals.compute(ORDER, TASKS, told.append)
    assert trained == [task.cell for task in TASKS]
    assert told == TASKS
    assert finals.missing(study, TASKS) == []
    assert finals.outcome(study, TASKS[0]) == Measured({"mpjpe": 1.0}, 96, 0.0)


def test_what_another_process_is_at_is_left_to_it(study, trained):
    claim(study, LIVING)
    finals.settle(study)
    assert not finals.is_free(study, TASKS[0])
    finals.compute(ORDER, TASKS)
    assert trained == [TASKS[1].cell]
    assert finals.missing(study, TASKS) == TASKS[:1]


def test_what_a_dead_process_was_at_is_taken_over(study, trained):
    claim(study, DEAD)
    assert not finals.is_free(study, TASKS[0])
    finals.settle(study)
    assert finals.is_free(study, TASKS[0])
    finals.compute(ORDER, TASKS)
    assert len(trained) == 2


def test_a_final_that_two_processes_died_of_has_failed(study, trained):
    claim(study, DEAD)
    finals.settle(study)
    claim(study, DEAD, deaths=study.user_attrs[TASKS[0].claim]["deaths"])
    finals.settle(study)
    assert study.user_attrs[TASKS[0].key] == {"error": studies.DIED_TWICE}
    finals.compute(ORDER, TASKS)
    assert trained == [TASKS[1].cell]
    assert finals.outcome(study, TASKS[0]) is None


def test_processes_that_are_ended_from_outside_do_not_count(study, trained):
    for _ in range(3):
        claim(study, DEAD, deaths=study.user_attrs.get(TASKS[0].claim, {}).get("deaths", 0))
        finals.settle(study, stopped=True)
    assert finals.is_free(study, TASKS[0])


def test_what_ctrl_c_ends_is_given_back(study, trained, monkeypatch):
    def stop(_cell, _seed):
        raise KeyboardInterrupt

    monkeypatch.setattr(studies, "ground", lambda _order: SimpleNamespace(measure=stop))

    with pytest.raises(KeyboardInterrupt):
        finals.compute(ORDER, TASKS)
    said = study.user_attrs[TASKS[0].claim]
    assert (said["worker"], said["deaths"]) == (None, 0)


def test_another_machine_is_waited_for_as_long_as_trials_take(study, trained, monkeypatch):
    claim(study, f"another {NUMBER} {BEGAN}", since=1000.0)
    monkeypatch.setattr(studies.time, "time", lambda: 1050.0)
    assert not finals.is_free(study, TASKS[0])
    monkeypatch.setattr(studies.time, "time", lambda: 1070.0)
    assert finals.is_free(study, TASKS[0])


def test_of_two_that_claim_at_once_one_trains(study, trained, monkeypatch):
    def meanwhile(_seconds):
        claim(study, LIVING)

    monkeypatch.setattr(finals.time, "sleep", meanwhile)
    finals.compute(ORDER, TASKS[:1])
    assert trained == []
