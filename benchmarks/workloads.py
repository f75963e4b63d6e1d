"""What is measured: the published sizes of MixSynthFormer, on clips of real shapes and lengths.

Poses are smooth random motion: how long anything takes does not depend on what they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import registry
from bench.config import Training, dataset_config, method_config
from bench.contracts import BadInput, Window
from bench.data.clips import DIMS, Array, Clip, Dataset, Skeleton, Split, to_root
from bench.data.skeletons import SKELETONS
from benchmarks.straightforward.model import Model

_IMAGE = (320, 240)
_METHOD = "mixsynthformer"
_PRESET = "released"


@dataclass(frozen=True)
class Workload:
    """A size of the method on the windows of a dataset.

    dataset: as in configs/datasets; title: short; train_frames, test_frames: the mean length of
    the dataset's clips (spec 3.1); train_clips, test_clips: as many as are made, as in the dataset
    but for Human3.6M, which has ten times as many; intervals: Q, and batch: windows of a training
    step, where they are not the preset's; joints: J, where it is not the dataset's, for 3D.
    """

    dataset: str
    title: str
    train_frames: int
    test_frames: int
    train_clips: int
    test_clips: int
    intervals: int = 0
    joints: int = 0
    batch: int = 0

    @property
    def options(self) -> Mapping[str, Any]:
        """Hyper-parameters of the published size."""
        return registry.resolve_options(_METHOD, self._preset.options)

    @property
    def training(self) -> Training:
        """How it is trained, without a length."""
        said = {**self._preset.training, "epochs": None}
        return Training(**said | ({"batch": self.batch} if self.batch else {}))

    @property
    def _preset(self) -> Any:
        return method_config(_METHOD).presets[_PRESET].on(self.dataset)

    @property
    def skeleton(self) -> Skeleton:
        """The dataset's, or as many nameless joints as are asked for."""
        known = SKELETONS[dataset_config(self.dataset).skeleton]
        return replace(known, joints=tuple(map(str, range(self.joints)))) if self.joints else known

    @property
    def window(self) -> Window:
        """K = 10 and the preset's Q."""
        intervals = self.intervals or self._preset.intervals
        space = dataset_config(self.dataset).space
        return Window(10, intervals, len(self.skeleton.joints), DIMS[space])

    def method(self, seed: int = 0) -> Any:
        """Ours, with random weights."""
        torch.manual_seed(seed)
        return registry.build(_METHOD, self.options, self.window)

    def plain(self, seed: int = 0) -> nn.Module:
        """The straightforward model with the weights that `method` has."""
        said, window = self.options, self.window
        model = Model(
            window.interval,
            window.keyframes,
            window.pose,
            width=said["width"],
            depth=said["depth"],
            ratio_t=said["reduction_t"],
            ratio_s=said["reduction_s"],
            dropout=said["dropout"],
        )
        model.load_state_dict(self.method(seed).state_dict())
        return model

    def with_clips(self, train: int, test: int) -> Workload:
        """The same with so many clips."""
        return replace(self, train_clips=train, test_clips=test)

    def build(self, seed: int = 0) -> Dataset:
        """Clips of lengths around the mean, end to end in one array as prepared data has them."""
        about = dataset_config(self.dataset)
        rng = np.random.default_rng(seed)
        clips: dict[Split, tuple[Clip, ...]] = {
            "train": self._clips(rng, "train", self.train_clips, self.train_frames),
            "validation": (),
            "test": self._clips(rng, "test", self.test_clips, self.test_frames),
        }
        return Dataset(
            name=self.dataset,
            title=about.title,
            estimator=about.estimator,
            space=about.space,
            fps=about.fps,
            skeleton=self.skeleton,
            clips=clips,
            origin="random motion in the shapes of the dataset",
            standin=True,
        )

    def _clips(
        self, rng: np.random.Generator, split: str, count: int, frames: int
    ) -> tuple[Clip, ...]:
        lengths = rng.integers(round(0.6 * frames), round(1.4 * frames) + 1, count)
        truth = motion(rng, int(lengths.sum()), self.window)
        noise = rng.normal(0, 0.03, truth.shape).astype(np.float32)
        flat = dataset_config(self.dataset).space == "2d"
        detected = truth + noise
        if flat:
            truth, detected = (
                poses * np.asarray(_IMAGE, np.float32) for poses in (truth, detected)
            )
        else:
            truth, detected = (to_root(poses, self.skeleton.root) for poses in (truth, detected))
        clips = []
        for number, end in enumerate(np.cumsum(lengths)):
            part = slice(int(end - lengths[number]), int(end))
            box = None
            if flat:
                low, high = truth[part].min(1) - 1, truth[part].max(1) + 1
                box = np.concatenate([low, high], 1).astype(np.float32)
            name = f"{split}/{number}"
            image = _IMAGE if flat else None
            clips.append(Clip(name, name, detected[part], truth[part], image, box))
        return tuple(clips)


def motion(rng: np.random.Generator, frames: int, window: Window) -> Array:
    """Joints that swing, each at its own pace: (frames, J, D) within 1 of the origin, float32."""
    shape = (window.joints, window.dims)
    pace, phase = rng.uniform(0.02, 0.2, shape), rng.uniform(0, 2 * np.pi, shape)
    time = np.arange(frames)[:, None, None]
    swing: Array = (0.5 + 0.4 * np.sin(time * pace + phase)).astype(np.float32)
    return swing


WORKLOADS: dict[str, Workload] = {
    "jhmdb": Workload("jhmdb-simplepose", "Sub-JHMDB", 35, 35, 687, 261),
    "pw3d": Workload("pw3d-spin", "3DPW", 669, 960, 34, 37),
    "h36m": Workload("h36m-fcn", "Human3.6M", 2600, 2302, 24, 26),
}


def workload(name: str) -> Workload:
    """A workload by name; BadInput with the known ones when there is none."""
    if name not in WORKLOADS:
        raise BadInput(f"unknown workload '{name}'", expected=" or ".join(WORKLOADS))
    return WORKLOADS[name]
