"""Cells in processes: the same numbers whatever runs beside them, and nothing else dies along."""

from pathlib import Path

import numpy as np
import pytest

from bench import config, engines, plan, registry
from bench.data import store
from bench.data.clips import Clip, Dataset
from bench.data.skeletons import BODY_14
from bench.engines import run_jobs
from bench.results import Result
from bench.run import Job, compute

PLUGIN = """
import os
from types import SimpleNamespace
from dataclasses import dataclass
import torch

@dataclass(frozen=True)
class _Options:
    pass

class Net(torch.nn.Module):
    title, source, revision, Options = "net", "here", 1, _Options
    def __init__(self, options, window):
        super().__init__()
        self.window = window
        self.layer = torch.nn.Linear(window.keyframes * window.pose, window.frames * window.pose)
    def recover(self, keyframes):
        return self.layer(keyframes.flatten(1)).view(len(keyframes), self.window.frames, -1)
    def loss(self, keyframes, truth):
        return (self.recover(keyframes) - truth).abs().mean()

class Broken(Net):
    def loss(self, keyframes, truth):
        raise KeyError("broken on purpose")

class Dies(Net):
    def loss(self, keyframes, truth):
        os._exit(7)
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)
    rng = np.random.default_rng(1)
    poses = rng.normal(0, 0.2, (2, 80, 14, 3)).astype(np.float32)
    clip = Clip("a", "a", poses[0], poses[1])
    clips = {"train": (clip,), "validation": (clip,), "test": (clip,)}
    data = Dataset("pw3d-spin", "D", "E", "3d", 30, BODY_14, clips, "made here", fingerprint="f")
    store.save(data, tmp_path / "data")

    def make(method: str, seed: int = 0, device: str = "cpu") -> Job:
        table = plan.chosen_table(config.table_config("table3"), [method], ["pw3d-spin"], "smoke")
        places = plan.plan(table, {"pw3d-spin": data}, budget="smoke", seeds=seed + 1)
        return Job(
            (places[-1].cell,), tmp_path / "data", device, tmp_path / "out", (file,), anew=True
        )

    return make


def by_cell(results) -> dict[tuple[str, int], Result]:
    return {(result.cell.method, result.cell.seed): result for result in results}


def test_one_and_two_workers_and_none_compute_the_same_bits(job):
    told = []
    jobs = [job("net"), job("broken"), job("net", 1)]
    here = by_cell(result for one in jobs for result in compute(one, lambda *_: None))
    one = by_cell(run_jobs(jobs, workers=1, tell=lambda *said: told.append(said)))
    two = by_cell(run_jobs(jobs, workers=2, tell=lambda *_: None))
    for key in (("net", 0), ("net", 1)):
        assert here[key].metrics == one[key].metrics == two[key].metrics
        assert here[key].clips == one[key].clips == two[key].clips
        assert [r[key].provenance["threads"] for r in (one, two)] == [1, 1]
    assert here["net", 0].metrics != here["net", 1].metrics
    # A failing cell is recorded and stops no other.
    assert one["broken", 0].status == two["broken", 0].status == "failed"
    assert one["broken", 0].error == "KeyError: 'broken on purpose'"
    assert {(key, text) for key, _, text in told} >= {(jobs[0].cells[0].key, "scoring")}


def test_a_process_that_dies_fails_its_own_cell_only(job):
    found = by_cell(run_jobs([job("dies"), job("linear")], workers=2, tell=lambda *_: None))
    assert found["linear", 0].status == "done"
    assert found["dies", 0].status == "failed"
    assert "the process died" in found["dies", 0].error


def test_cells_on_a_gpu_run_one_after_another_in_this_process(job, monkeypatch):
    seen = []

    def spy(one: Job, tell) -> tuple[Result, ...]:
        seen.append(one.device)
        return (Result(cell=one.cells[0], status="done"),)

    monkeypatch.setattr(engines, "compute", spy)
    jobs = [job("net", seed, "cuda:0") for seed in (0, 1)]
    results = run_jobs(jobs, workers=8, tell=lambda *_: None)
    assert next(results).cell == jobs[0].cells[0]
    assert seen == ["cuda:0"]
    assert [result.cell for result in results] == [jobs[1].cells[0]]


def test_without_jobs_nothing_is_started():
    assert list(run_jobs([], workers=2, tell=lambda *_: None)) == []
