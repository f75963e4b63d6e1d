"""Trials stored as files, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.contracts import BadInput
from bench.trials import Study, Trial, Trials

STUDY = Study(
    name="ridge-h36m",
    experiment="tune-recovery",
    method="ridge",
    dataset="h36m",
    fingerprint="f00d",
    protocol="deciwatch",
    objectives={"mpjpe": "minimize"},
    about={"sampler": "TPE"},
)
TRIAL = Trial(
    12,
    "complete",
    params={"depth": 2, "norm": None},
    values={"mpjpe": 60.1},
    curve=({"epoch": 1.0, "mpjpe": 61.0}, {"epoch": 2.0, "mpjpe": 60.1}),
    seed=3,
    provenance={"commit": "c0ffee"},
)


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    trials = Trials(tmp_path)
    assert trials.studies() == []
    path = trials.put(STUDY, TRIAL)
    assert path == tmp_path / "trials" / "ridge-h36m" / "00012.json"
    trials.put(STUDY, replace(TRIAL, number=3, state="failed", values={}, error="boom"))
    assert trials.studies() == ["ridge-h36m"]
    assert trials.numbers("ridge-h36m") == [3, 12]
    assert trials.study("ridge-h36m") == STUDY
    assert trials.trial("ridge-h36m", 12) == TRIAL
    assert trials.trial("ridge-h36m", 3).error == "boom"


def test_a_study_is_written_when_it_changes_alone(tmp_path: Path) -> None:
    trials = Trials(tmp_path)
    trials.put(STUDY, TRIAL)
    about = tmp_path / "trials" / "ridge-h36m" / "study.json"
    before = about.stat().st_ino
    trials.put(STUDY, TRIAL)
    assert about.stat().st_ino == before
    changed = replace(STUDY, about={"sampler": "random"})
    trials.put(changed, TRIAL)
    assert trials.study("ridge-h36m") == changed


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".hidden"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="not a name for a study"):
        replace(STUDY, name=name)
    with pytest.raises(BadInput, match="not a name for a study"):
        replace(STUDY, experiment=name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "x": 2}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    trials = Trials(tmp_path)
    path = trials.put(STUDY, TRIAL)
    path.write_text(text)
    path.with_name("study.json").write_text(text)
    with pytest.raises(BadInput, match="not the file of a study or trial"):
        trials.trial("ridge-h36m", 12)
    with pytest.raises(BadInput, match="not the file of a study or trial"):
        trials.study("ridge-h36m")


def test_another_format_is_said(tmp_path: Path) -> None:
    trials = Trials(tmp_path)
    path = trials.put(STUDY, TRIAL)
    path.write_text('{"format": 99}')
    with pytest.raises(BadInput, match="another format of trials; found 99; expected 1"):
        trials.trial("ridge-h36m", 12)
