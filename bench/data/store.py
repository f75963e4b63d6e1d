"""Our own on-disk format: a folder per dataset, memory-mapped, without pickle, checked on load.

`dataset.json` tells names, lengths and provenance; `SPLIT_detected.npy` and `SPLIT_truth.npy`
hold (N, J, D) float32, clip after clip; `SPLIT_box.npy` (N, 4) float32 where there are boxes;
`SPLIT_detected_shape.npy` and `SPLIT_truth_shape.npy` (N, 10) float32 where there are shapes of
bodies, and `body_*.npy` the body model. Where every clip's detections are its truth (motion
capture), `detected_is_truth` says so instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import BadInput
from bench.data.body import BodyModel, check_model
from bench.data.clips import BODY_SHAPE, DIMS, SPLITS, Array, Clip, Dataset, Space, Split, missed
from bench.data.npz import DAMAGE
from bench.data.skeletons import SKELETONS
from bench.documents import Form
from bench.locks import Locks

FORMAT = 1
_ANEW = "delete the folder to prepare it anew"
_SHAPES = ("detected_shape", "truth_shape")
_FIELDS = ("name", "title", "estimator", "space", "fps", "origin", "standin", "fingerprint")


def cache_folder() -> Path:
    """Where prepared data is kept: BENCH_CACHE, or `bench` in the user's cache folder."""
    own = os.environ.get("BENCH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bench"


def fingerprint(clips: Iterable[tuple[Split, Clip]], body: BodyModel | None = None) -> str:
    """16 hexadecimal digits that change with any name, number or order in clips and body."""
    digest = hashlib.sha256()
    for split, clip in clips:
        head = [split, clip.name, clip.recording, list(clip.truth.shape), clip.image]
        digest.update(json.dumps(head).encode())
        arrays = (clip.detected, clip.truth, clip.box, clip.detected_shape, clip.truth_shape)
        for array in arrays:
            if array is not None:
                digest.update(np.ascontiguousarray(array, np.float32).data)
    if body is not None:
        digest.update(body.digest.encode())
    return digest.hexdigest()[:16]


@contextmanager
def making(folder: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Make a prepared folder while no other process does; whether it has to be made at all.

    Waits where another one is at it, and says so. What processes left that died on the way is
    deleted. BadInput when the folder around it cannot be written.
    """
    hint = "set BENCH_CACHE to a folder that can be"
    with Locks(cache_folder(), what="the cache", hint=hint) as locks:
        waiting = f"another command prepares {folder.name}: waiting for it"
        locks.wait(folder.name, lambda: say(waiting))
        # Whoever holds the lock is the only one alive that makes this folder.
        for left in folder.parent.glob(f"{folder.name}.*.tmp"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        yield not (folder / "dataset.json").is_file()


def save(dataset: Dataset, folder: Path) -> None:
    """Write a dataset; an older one of that folder is replaced only when this one is complete."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        same = all(clip.detected is clip.truth for split in SPLITS for clip in dataset.clips[split])
        listed = [clip for split in SPLITS for clip in dataset.clips[split]]
        shaped = dataset.space == "6d" and all(clip.truth_shape is not None for clip in listed)
        for split in SPLITS:
            clips = dataset.clips[split]
            if not same:
                _stack(temporary / f"{split}_detected.npy", [clip.detected for clip in clips])
            _stack(temporary / f"{split}_truth.npy", [clip.truth for clip in clips])
            if dataset.space == "2d":
                boxes = [clip.box for clip in clips if clip.box is not None]
                _stack(temporary / f"{split}_box.npy", boxes)
            for what in _SHAPES if shaped else ():
                _stack(temporary / f"{split}_{what}.npy", [getattr(clip, what) for clip in clips])
        if dataset.body is not None:
            for what, array in dataset.body.arrays().items():
                _stack(temporary / f"body_{what}.npy", [array])
        meta: dict[str, Any] = {field: getattr(dataset, field) for field in _FIELDS}
        meta |= {
            "format": FORMAT,
            "skeleton": dataset.skeleton.name,
            "notes": list(dataset.notes),
            "detected_is_truth": same,
            "shaped": shaped,
            "missed": {split: missed(dataset, split) for split in SPLITS},
            "body_parents": dataset.body.parents if dataset.body else None,
            "clips": {
                split: [
                    {
                        "name": clip.name,
                        "recording": clip.recording,
                        "frames": clip.frames,
                        "image": clip.image,
                    }
                    for clip in dataset.clips[split]
                ]
                for split in SPLITS
            },
        }
        (temporary / "dataset.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise BadInput(
            "the prepared data cannot be written",
            file=folder,
            found=error.strerror,
            hint="set BENCH_CACHE to a folder with space",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _Listed:
    """A clip in dataset.json."""

    name: str
    recording: str
    frames: int
    image: tuple[int, int] | None


@dataclass(frozen=True)
class _Meta:
    """dataset.json; data prepared by earlier versions does not say the last four."""

    name: str
    title: str
    estimator: str
    space: Space
    fps: float
    origin: str
    standin: bool
    fingerprint: str
    skeleton: str
    notes: tuple[str, ...]
    clips: Mapping[Split, tuple[_Listed, ...]]
    detected_is_truth: bool = False
    shaped: bool = False
    body_parents: tuple[int, ...] | None = None
    missed: Mapping[Split, int] = field(default_factory=dict)


_FILE = Form(_Meta, FORMAT, "prepared data", "the prepared data is damaged", _ANEW)


def load(folder: Path) -> Dataset:
    """Open a dataset; its arrays are memory-mapped, so this takes no time and no memory."""
    file = folder / "dataset.json"
    meta = _FILE.read(file)
    try:
        skeleton = SKELETONS[meta.skeleton]
        shape = (len(skeleton.joints), DIMS[meta.space])
        return Dataset(
            skeleton=skeleton,
            clips={split: _clips(folder, split, meta, shape) for split in SPLITS},
            body=_body(folder, meta),
            notes=meta.notes,
            # Data prepared earlier does not say it: then it is counted when it is asked for.
            counted=dict(meta.missed),
            **{name: getattr(meta, name) for name in _FIELDS},
        )
    except DAMAGE as error:
        raise BadInput(_FILE.problem, file=file, found=repr(error), hint=_ANEW) from error


def _stack(file: Path, parts: list[Array]) -> None:
    """Write (T_i, ...) arrays one after the other, without holding them twice in memory."""
    shape = (sum(len(part) for part in parts), *(parts[0].shape[1:] if parts else ()))
    with file.open("wb") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(out, header)
        for part in parts:
            out.write(np.ascontiguousarray(part, "<f4").data)


def _body(folder: Path, meta: _Meta) -> BodyModel | None:
    """The body model of a prepared folder; BadInput when its arrays are not what it wrote."""
    if not meta.body_parents:
        return None
    arrays = {
        field.name: _open(folder / f"body_{field.name}.npy")
        for field in fields(BodyModel)
        if field.name != "parents"
    }
    model = BodyModel(**arrays, parents=meta.body_parents)
    check_model(model, folder)
    return model


def _open(file: Path) -> Array:
    """A memory-mapped array."""
    # Copy on write: never changed, but torch wants memory that could be.
    # Not np.load: that would take archives and pickles, and answers an empty file otherwise.
    mapped = np.lib.format.open_memmap(file, mode="c")
    # A slice of a memmap is an object with attributes, and ten thousand of them are slow to make.
    plain: Array = mapped.view(np.ndarray)
    return plain


def _clips(folder: Path, split: Split, meta: _Meta, shape: tuple[int, int]) -> tuple[Clip, ...]:
    listed, same = meta.clips[split], meta.detected_is_truth
    frames = [entry.frames for entry in listed]
    if min(frames, default=1) < 1:
        raise ValueError(f"a clip of {min(frames)} frames")
    ends = np.cumsum(frames)
    arrays: dict[str, Array] = {}
    wanted: dict[str, tuple[int, ...]] = {"truth": shape}
    if not same:
        wanted["detected"] = shape
    if meta.space == "2d":
        wanted["box"] = (4,)
    if meta.shaped:
        wanted |= dict.fromkeys(_SHAPES, (BODY_SHAPE,))
    for what, rest in wanted.items():
        file = folder / f"{split}_{what}.npy"
        if not listed:
            continue
        array = _open(file)
        if array.shape != (sum(frames), *rest) or array.dtype != np.float32:
            raise BadInput(
                "the prepared data is damaged",
                file=file,
                found=f"{array.shape} {array.dtype}",
                expected=f"{(sum(frames), *rest)} float32",
                hint=_ANEW,
            )
        arrays[what] = array
    clips = []
    for entry, end, count in zip(listed, ends, frames, strict=True):
        part = {what: array[end - count : end] for what, array in arrays.items()}
        clips.append(
            Clip(
                name=entry.name,
                recording=entry.recording,
                detected=part["truth" if same else "detected"],
                truth=part["truth"],
                image=entry.image,
                box=part.get("box"),
                **{what: part.get(what) for what in _SHAPES},
            )
        )
    return tuple(clips)
