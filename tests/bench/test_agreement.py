"""What a worker must have in common with a run: each difference is refused with one line."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from bench import agreement
from bench.contracts import BadInput


@pytest.fixture
def agreed(job):
    one = job("net")
    with agreement.of_jobs([one]) as made:
        yield one, made


def test_this_process_agrees_with_itself(agreed):
    one, made = agreed
    assert made.problem() is None
    assert agreement.of_code().problem() is None
    assert made.data == {one.folder: one.cells[0].fingerprint}


def test_the_mark_is_there_while_the_run_lasts(job):
    with agreement.of_jobs([job("net")]) as made:
        assert made.mark.is_file()
    assert not made.mark.exists()
    assert "does not see the output folder" in made.problem()


def test_other_code_is_refused(agreed):
    _, made = agreed
    other = replace(made, versions={**made.versions, "bench": "0.0.1"})
    assert other.problem().startswith("it has bench ")
    assert other.problem().endswith(", the run 0.0.1")
    missing = replace(made, versions={**made.versions, "their-methods": "1"})
    assert missing.problem() == "it has their-methods not at all, the run 1"
    assert "its code of bench differs" in replace(made, source="0" * 16).problem()


def test_builds_of_one_torch_are_the_same(monkeypatch):
    said = {"versions": {"torch": "2.13.0+cu126", "bench": "1"}}
    monkeypatch.setattr(agreement.provenance, "provenance", lambda *_: said)
    assert agreement.of_code().versions["torch"] == "2.13.0"


def test_another_plugin_is_refused(agreed):
    one, made = agreed
    (file,) = one.plugins
    file.write_text(file.read_text() + "\n")
    assert made.problem() == f"its plugin {file} differs from the run's"
    file.unlink()
    assert "does not see the plugin" in made.problem()


def test_other_data_is_refused_whatever_its_folder_says(agreed):
    one, made = agreed
    assert made.problem() is None
    file = one.folder / "test_truth.npy"
    poses = np.load(file)
    poses[3, 2, 1] += 0.001
    np.save(file, poses)
    assert "has the fingerprint" in made.problem()
    assert one.cells[0].fingerprint in made.problem()
    file.write_bytes(b"nothing")
    assert "damaged" in made.problem()
    shutil.rmtree(one.folder)
    assert "does not see the data" in made.problem()


def test_a_digest_changes_with_the_code(monkeypatch, tmp_path):
    before = agreement.source_digest()
    assert len(before) == 16
    monkeypatch.setattr(agreement.config, "assets", lambda: tmp_path)
    agreement.source_digest.cache_clear()
    try:
        assert agreement.source_digest() != before
    finally:
        agreement.source_digest.cache_clear()


def test_an_output_folder_that_cannot_be_written_is_said(job, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = replace(job("net"), out=tmp_path / "file")
    with pytest.raises(BadInput, match="mark cannot be written"), agreement.of_jobs([blocked]):
        pass
