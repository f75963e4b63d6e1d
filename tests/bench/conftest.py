"""What several tests need: a body model with few vertices, and jobs that take a second."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from bench import config, plan, registry
from bench.data import store
from bench.data.body import BENDS, JOINTS, BodyModel
from bench.data.clips import BODY_SHAPE, SPLITS, Clip, Dataset
from bench.data.skeletons import BODY_14
from bench.run import Job
from bench.sums import in_parts

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
VERTICES = 30


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In how many parts each long sum was taken, one after another."""
    taken: list[int] = []

    def noted(a: Tensor, b: Tensor, count: int) -> Tensor:
        taken.append(count)
        return in_parts(a, b, count)

    monkeypatch.setattr("bench.sums.in_parts", noted)
    return taken


@pytest.fixture(scope="session")
def small_body() -> BodyModel:
    """Thirty vertices of a metre or so, each turned by some joints; nothing in it is symmetric."""
    rng = np.random.default_rng(7)

    def shares(*shape: int) -> np.ndarray:
        values = rng.uniform(0, 1, shape) ** 8
        return (values / values.sum(-1, keepdims=True)).astype(np.float32)

    def small(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.02, shape).astype(np.float32)

    return BodyModel(
        template=rng.uniform(-0.8, 0.8, (VERTICES, 3)).astype(np.float32),
        shape_basis=small(VERTICES, 3, BODY_SHAPE),
        pose_basis=small(BENDS, VERTICES * 3),
        regressor=shares(JOINTS, VERTICES),
        weights=shares(VERTICES, JOINTS),
        headtop=shares(VERTICES),
        parents=PARENTS,
    )


PLUGIN = """
import os
import time
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

class Slow(Net):
    def loss(self, keyframes, truth):
        time.sleep(0.7)
        return super().loss(keyframes, truth)
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes jobs of the plugin's methods, or any others, on one dataset of three clips."""
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    registry.load_plugin(file)
    rng = np.random.default_rng(1)
    poses = rng.normal(0, 0.2, (2, 80, 14, 3)).astype(np.float32)
    clip = Clip("a", "a", poses[0], poses[1])
    clips = {"train": (clip,), "validation": (clip,), "test": (clip,)}
    known = store.fingerprint((split, clip) for split in SPLITS)
    data = Dataset("pw3d-spin", "D", "E", "3d", 30, BODY_14, clips, "made here", fingerprint=known)
    store.save(data, tmp_path / "data")

    def make(method: str, seed: int = 0, device: str = "cpu") -> Job:
        table = plan.chosen_table(config.table_config("table3"), [method], ["pw3d-spin"], "smoke")
        places = plan.plan(table, {"pw3d-spin": data}, budget="smoke", seeds=seed + 1)
        return Job(
            (places[-1].cell,), tmp_path / "data", device, tmp_path / "out", (file,), redo="all"
        )

    return make
