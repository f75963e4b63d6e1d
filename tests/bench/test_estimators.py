"""The estimator's own errors: computed once for a prepared dataset, anew where that is needed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import estimators
from bench.data.clips import Clip, Dataset
from bench.data.skeletons import BODY_14
from bench.estimators import own_errors
from bench.evaluation import full_rate


@pytest.fixture
def data():
    poses = np.random.default_rng(0).normal(0, 0.3, (2, 9, 14, 3)).astype(np.float32)
    parts = {"test": (Clip("a", "a", *poses),)}
    return Dataset("d", "D", "E", "3d", 30, BODY_14, parts, "made here", fingerprint="abc")


@pytest.fixture
def asked(monkeypatch):
    """How often errors were computed."""
    calls = []
    monkeypatch.setattr(estimators, "full_rate", lambda d: calls.append(d) or full_rate(d))
    return calls


def test_errors_are_computed_once(data, asked, tmp_path):
    first = own_errors(data, tmp_path)
    assert own_errors(data, tmp_path) == first == full_rate(data)
    assert len(asked) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["full_rate.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"errors": {"mpjpe": "many"}}', "\x00"])
def test_what_is_damaged_or_lost_is_made_anew(data, asked, tmp_path, content):
    first = own_errors(data, tmp_path)
    (tmp_path / "full_rate.json").write_text(content)
    assert own_errors(data, tmp_path) == first
    (tmp_path / "full_rate.json").unlink()
    assert own_errors(data, tmp_path) == first
    assert len(asked) == 3


def test_errors_of_other_clips_are_not_taken(data, asked, tmp_path):
    own_errors(data, tmp_path)
    file = tmp_path / "full_rate.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"errors": {"mpjpe": 1.0}}))
    assert own_errors(data, tmp_path) == {"mpjpe": 1.0}
    assert own_errors(replace(data, fingerprint="def"), tmp_path) != {"mpjpe": 1.0}


def test_a_folder_that_cannot_be_written_costs_only_time(data, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert own_errors(data, blocked) == full_rate(data)
