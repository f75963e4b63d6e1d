"""Datasets made from raw Human3.6M: `h36m-sh` by pairing, `h36m-fcn` by training a lifter.

One lifter serves all splits. Variants: 'held-out' trains it on S1, S5, S6, S7 and keeps S8 from it
and from every recovery method, as the validation subject; 'all' trains it on the five training
subjects, as published, and holds validation takes out of recovery training only; 'out-of-fold'
lifts every training subject by a lifter that has not seen it, the test by one that saw all five.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import config as configs
from bench.config import DatasetConfig
from bench.contracts import BadInput
from bench.data import h36m, store
from bench.data.assembly import assemble
from bench.data.clips import Array, Clip, Dataset, Split, check_clip, to_root
from bench.data.placing import Scene
from bench.data.skeletons import H36M_17, SKELETONS
from bench.documents import read_yaml
from bench.lifter import Lifter, LifterConfig, lift, train

Variant = Literal["held-out", "all", "out-of-fold"]
Say = Callable[[str], None]

_VALIDATION_SUBJECT = "S8"
# In the variants that train on all five subjects, these takes of each are the validation split.
_VALIDATION_TAKES = ("Waiting", "Walking", "Sitting 1")


def lifter_config(budget: str) -> LifterConfig:
    """The lifter's settings for a budget, from configs/lifters.yaml."""
    file = configs.assets() / "configs/lifters.yaml"
    settings = read_yaml(file)
    if budget not in settings:
        raise BadInput(f"unknown budget '{budget}'", hint=configs.nearest_names(budget, settings))
    return LifterConfig(**settings[budget])


def folder_for(name: str, root: Path, budget: str) -> Path:
    """Where a dataset prepared from the files under `root` is kept: one folder for each content."""
    config = configs.dataset_config(name)
    files = sorted(path for path in root.glob("S*/*/**/*.h5"))
    listed = [(str(path.relative_to(root)), path.stat().st_size) for path in files]
    said: list[Any] = [store.FORMAT, listed, config.lifter]
    if config.lifter:
        said.append(asdict(lifter_config(budget)))
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
    label = f"{name}-{budget}" if config.lifter else name
    return store.cache_folder() / "prepared" / f"{label}-{digest}"


def prepare(
    name: str, root: Path, budget: str, *, device: str = "cpu", say: Say = lambda _text: None
) -> Path:
    """Make a dataset from raw Human3.6M under `root` unless it is there; returns its folder.

    An interrupted preparation goes on where it stopped. say: receives progress lines.
    """
    folder = folder_for(name, root, budget)
    if (folder / "dataset.json").is_file():
        return folder
    config = configs.dataset_config(name)
    with store.making(folder, say) as needed:
        if needed:
            dataset = (
                _lifted(name, config, root, budget, folder, device, say)
                if config.lifter
                else _detected_2d(name, config, root, say)
            )
            say(f"{name}: writing {sum(len(c) for c in dataset.clips.values())} clips")
            store.save(dataset, folder)
        # The lifters are rebuilt from these files only while the dataset is not there.
        for file in folder.parent.glob(f"{folder.name}.*.safetensors"):
            file.unlink()
    return folder


def _lifted(
    name: str,
    config: DatasetConfig,
    root: Path,
    budget: str,
    folder: Path,
    device: str,
    say: Say,
) -> Dataset:
    """`h36m-fcn` and its variants: (T, 17, 3) metres relative to the hip, camera frame."""
    variant: Variant = config.lifter or "held-out"
    settings = lifter_config(budget)
    say(f"{name}: reading motion capture and detections")
    views = _read(root)
    learners = [s for s in h36m.TRAIN_SUBJECTS if s != _VALIDATION_SUBJECT or variant != "held-out"]

    def lifter(subjects: list[str]) -> Lifter:
        scene = _scene([view for view in views if view.take.subject in subjects])
        label = f"{name}: lifter on {', '.join(subjects)} ({len(scene.pixels)} frames)"
        checkpoint = folder.with_name(f"{folder.name}.{'-'.join(subjects)}.safetensors")
        return train(
            settings,
            scene,
            device=device,
            checkpoint=checkpoint,
            progress=lambda done, all_, text: say(f"{label}: epoch {done}/{all_}, {text}"),
        )

    whole = lifter(learners)
    by_subject = dict.fromkeys((*h36m.TRAIN_SUBJECTS, *h36m.TEST_SUBJECTS), whole)
    if variant == "out-of-fold":
        by_subject |= {s: lifter([t for t in learners if t != s]) for s in learners}
    clips: dict[Split, list[Clip]] = {"train": [], "validation": [], "test": []}
    for view in views:
        take = view.take
        lifted = lift(by_subject[take.subject], view.pixels, device)
        clip = Clip(
            name=f"{take.recording}/{view.camera.name}",
            recording=take.recording,
            detected=np.pad(lifted, ((0, 0), (1, 0), (0, 0))),
            truth=view.truth,
        )
        check_clip(clip, H36M_17, "3d", take.mocap)
        clips[_split(take, variant)].append(clip)
    seen = ", ".join(learners)
    return _dataset(
        name,
        config,
        root,
        clips,
        f"Human3.6M, stacked-hourglass detections lifted by our FCN ({budget} budget, {variant}: "
        f"trained on {seen}), detector not fine-tuned on Human3.6M",
    )


def _detected_2d(name: str, config: DatasetConfig, root: Path, say: Say) -> Dataset:
    """`h36m-sh`: (T, 14, 2) pixels of the detector, projected motion capture, its bounding box."""
    say(f"{name}: pairing detections with motion capture")
    joints = [h36m.MOCAP_DETECTED[j] for j in h36m.SCORED_2D]
    clips: dict[Split, list[Clip]] = {"train": [], "validation": [], "test": []}
    for take, camera, pixels in h36m.views(root, (*h36m.TRAIN_SUBJECTS, *h36m.TEST_SUBJECTS)):
        truth = camera.project(take.world[:, joints].astype(np.float64)).astype(np.float32)
        clip = Clip(
            name=f"{take.recording}/{camera.name}",
            recording=take.recording,
            detected=np.ascontiguousarray(pixels[:, list(h36m.SCORED_2D)]),
            truth=truth,
            image=h36m.IMAGE[camera.name],
            box=np.concatenate([truth.min(1), truth.max(1)], axis=1),
        )
        check_clip(clip, SKELETONS[config.skeleton], "2d", take.detections(camera.name))
        clips[_split(take, "held-out")].append(clip)
    return _dataset(name, config, root, clips, "Human3.6M, stacked-hourglass detections")


@dataclass(frozen=True, eq=False)
class _View:
    """A take from one camera: detections (T, 16, 2) px, truth (T, 17, 3) m relative to the hip."""

    take: h36m.Take
    camera: h36m.Camera
    pixels: Array
    truth: Array
    hips: Array


def _read(root: Path) -> list[_View]:
    """Every view; `hips` are (T, 3) mm in the camera's frame."""
    views = []
    for take, camera, pixels in h36m.views(root, (*h36m.TRAIN_SUBJECTS, *h36m.TEST_SUBJECTS)):
        seen = camera.to_camera(take.world[:, h36m.MOCAP_17].astype(np.float64))
        truth = to_root((seen / 1000).astype(np.float32), H36M_17.root)
        views.append(_View(take, camera, pixels, truth, seen[:, 0].astype(np.float32)))
    return views


def _scene(views: list[_View]) -> Scene:
    """What a lifter is trained on."""
    lengths = torch.tensor([len(view.pixels) for view in views])
    vertical, ground = np.array([0.0, 0.0, 1.0]), np.zeros(3)

    def rows(values: list[NDArray[np.float64]]) -> Tensor:
        return torch.from_numpy(np.stack(values)).float()

    return Scene(
        pixels=torch.from_numpy(np.concatenate([view.pixels for view in views])),
        poses=torch.from_numpy(np.concatenate([view.truth for view in views])) * 1000,
        hips=torch.from_numpy(np.concatenate([view.hips for view in views])),
        camera=torch.repeat_interleave(torch.arange(len(views)), lengths),
        lenses=rows([view.camera.lens for view in views]),
        up=rows([vertical @ view.camera.rotation for view in views]),
        floor=rows([view.camera.to_camera(ground) for view in views]),
    )


def _split(take: h36m.Take, variant: Variant) -> Split:
    if take.subject in h36m.TEST_SUBJECTS:
        return "test"
    if variant == "held-out":
        return "validation" if take.subject == _VALIDATION_SUBJECT else "train"
    return "validation" if take.name in _VALIDATION_TAKES else "train"


def _dataset(
    name: str, config: DatasetConfig, root: Path, clips: dict[Split, list[Clip]], origin: str
) -> Dataset:
    left_out = ", ".join(f"{subject} {take}" for subject, take in h36m.MISALIGNED)
    notes = [f"left out for misaligned ground truth: {left_out}"]
    absent = h36m.missing(root)
    if absent:
        notes.append(f"not in the data: {', '.join(absent)}")
    return assemble(name, config, clips, origin, notes=notes)
