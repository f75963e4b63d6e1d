"""Where a dataset comes from on this machine: files under the data roots, or its stand-in.

Every dataset ends up as a folder in our own format in the cache (bench/data/store.py), so that
processes share it through memory maps.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import config as configs
from bench.config import DatasetConfig, Source
from bench.contracts import BadInput
from bench.data import deciwatch, expmap, h36m, smpl, store
from bench.data.clips import Dataset
from bench.data.prepare import folder_for, prepare
from bench.data.standin import standin

Say = Callable[[str], None]

# Raised when a loader or generator changes what it makes of the same files.
_REVISION = 2


class NoData(BadInput):
    """A dataset is nowhere to be found, and has no stand-in."""


@dataclass(frozen=True)
class Found:
    """A place that holds a dataset: `layout` is deciwatch, h36m, expmap or stand-in.

    body: the folder of the body model that its rotations are of, where it is on this machine.
    """

    layout: str
    root: Path | None
    source: Source | None
    words: str
    body: Path | None = None


def data_roots(given: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The folders to look in: those given, else BENCH_DATA's; BadInput when one is missing."""
    named = list(given) or [
        Path(p) for p in os.environ.get("BENCH_DATA", "").split(os.pathsep) if p
    ]
    for root in named:
        if not root.exists():
            raise BadInput(
                "no such data folder", file=root, hint="see docs/data.md for what to put where"
            )
        captured = any(expmap.find(root, dataset) for dataset in expmap.NAMES)
        if deciwatch.find(root) is None and h36m.find(root) is None and not captured:
            raise BadInput(
                "no data in a known layout in this folder",
                file=root,
                expected="groundtruth_poses/ and detected_poses/, h36m/cameras.h5, h3.6m/ or "
                "h3.6m.zip, or cmu_mocap/",
                hint="see docs/data.md",
            )
    return tuple(named)


def locate(name: str, roots: Sequence[Path]) -> Found:
    """Where a dataset is: the first root and source that have it, else its stand-in.

    NoData when it is nowhere and has no stand-in; BadInput when only some of its files are there.
    """
    config = configs.dataset_config(name)
    for root in roots:
        for source in config.sources:
            if source.layout == "deciwatch":
                if deciwatch.holds(root, source):
                    body = smpl.find(roots) if deciwatch.is_body(source) else None
                    words = f"DeciWatch files in {root}"
                    words += f", body model in {body}" if body else ""
                    return Found("deciwatch", root, source, words, body)
            elif source.layout == "expmap":
                place = expmap.find(root, source.dataset)
                if place is not None:
                    return Found("expmap", place, source, f"exponential maps in {place}")
            else:
                raw = h36m.find(root)
                if raw is not None:
                    return Found("h36m", raw, source, f"raw Human3.6M in {raw}")
    if config.standin is None:
        raise NoData(
            f"no data for {name}, and it has no stand-in",
            hint="point --data or BENCH_DATA at it, see docs/data.md",
        )
    return Found("stand-in", None, None, "stand-in, no data found")


def open_folder(
    name: str,
    roots: Sequence[Path],
    *,
    budget: str,
    device: str = "cpu",
    make: bool = True,
    say: Say = lambda _text: None,
) -> Path:
    """The folder of a dataset in our own format, made on first use.

    budget: of the lifter that `h36m-fcn` is prepared with when it is not there yet; a `quick` run
    takes one that was prepared with the `paper` budget when there is one. make: False raises
    BadInput instead of making anything. say: receives progress lines.
    """
    config = configs.dataset_config(name)
    found = locate(name, roots)
    if found.layout == "h36m" and found.root is not None:
        budget = _best(name, config, found.root, budget)
        folder = folder_for(name, found.root, budget)
    elif found.root is not None:
        folder = store.cache_folder() / "read" / f"{name}-{_stamp(found, config)}"
    else:
        folder = store.cache_folder() / "stand-ins" / f"{name}-{_digest(config.model_dump_json())}"
    if (folder / "dataset.json").is_file():
        return folder
    if not make:
        raise BadInput(f"{name} is not prepared", hint="bench run prepares and computes")
    if found.layout == "h36m" and found.root is not None:
        return prepare(name, found.root, budget, device=device, say=say)
    with store.making(folder, say) as needed:
        if needed and found.root is not None and found.source is not None:
            say(f"{name}: reading {found.words}")
            store.save(_read(found, found.root, found.source, config, name), folder)
        elif needed:
            say(f"{name}: no data found, making its stand-in")
            store.save(standin(name, config), folder)
    return folder


def _read(found: Found, root: Path, source: Source, config: DatasetConfig, name: str) -> Dataset:
    """A dataset from the files of others."""
    if found.layout == "expmap":
        return expmap.load(root, source, config, name)
    body = smpl.read(found.body) if found.body else None
    return deciwatch.load(root, source, config, name, body)


def prepared_budgets(name: str, root: Path) -> list[str]:
    """With which budgets a dataset is prepared already, the most thorough one first."""
    return [
        budget
        for budget in ("paper", "quick")
        if (folder_for(name, root, budget) / "dataset.json").is_file()
    ]


def _best(name: str, config: DatasetConfig, root: Path, budget: str) -> str:
    """With which budget a run of the given one has its lifter prepared."""
    # Only a quick run may take a better lifter than its own: a smoke run must not pass for more
    # than it is, and a paper run must not rest on less.
    if not config.lifter or budget != "quick":
        return budget
    return next(iter(prepared_budgets(name, root)), budget)


def _stamp(found: Found, config: DatasetConfig) -> str:
    """Changes with the files that a dataset is read from."""
    if found.root is None or found.source is None:
        raise TypeError("only files have a stamp")
    list_files = expmap.files if found.layout == "expmap" else deciwatch.files
    files = [path.resolve() for path in list_files(found.root, found.source)]
    files += smpl.files(found.body) if found.body else ()
    seen = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return _digest(json.dumps([seen, config.model_dump_json()]))


def _digest(text: str) -> str:
    return hashlib.sha256(f"{_REVISION}/{store.FORMAT}/{text}".encode()).hexdigest()[:12]
