"""Cells and their results: one JSON file per cell, written to a temporary name and renamed.

Everything else (tables, MLflow) is derived from these files.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, with_config

from bench.contracts import BadInput
from bench.documents import Form
from bench.files import file_name, write_whole

FORMAT = 3

# A file with more in it is of another version.
_exact = with_config(ConfigDict(extra="forbid"))

# A preset is a name for options and training, a budget one for training and limits.
_NAMES = ("preset", "budget")


Redo = Literal["missing", "failed", "all"]
"""Which cells are computed although there may be results of them."""


@_exact
@dataclass(frozen=True)
class Cell:
    """The unit of work: everything here changes the numbers, nothing else does.

    fingerprint: of the dataset's clips; revision: of the method's code; options: every
    hyper-parameter, resolved; training: every optimiser setting, None where nothing is trained;
    geometry: `interval` and `intervals` (K, Q) or `history` and `future` (H, F); limits: what the
    budget leaves out (validation windows, ...); weights: of published weights, a digest of them.
    """

    dataset: str
    fingerprint: str
    method: str
    preset: str
    revision: int
    options: Mapping[str, Any]
    training: Mapping[str, Any] | None
    geometry: Mapping[str, int]
    protocol: str
    budget: str
    limits: Mapping[str, Any]
    selection: str
    seed: int
    weights: str = ""

    @property
    def key(self) -> str:
        """A name for the cell's file, from what changes its numbers."""
        return self._named(*_NAMES)

    @property
    def training_key(self) -> str:
        """A name for its weights: the same for cells that differ in how they are scored alone."""
        return self._named(*_NAMES, "protocol", scoring=("test_clips",))

    def _named(self, *without: str, scoring: tuple[str, ...] = ()) -> str:
        said = {k: v for k, v in asdict(self).items() if k not in without}
        said["limits"] = {k: v for k, v in self.limits.items() if k not in scoring}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        # A plan may come from anywhere, and names in it must not lead out of the folder.
        return f"{file_name(self.dataset, self.method, f's{self.seed}')}_{digest[:16]}"


@dataclass(frozen=True)
class Planned:
    """A cell and its place in a table: the numbers of its row and of its column."""

    row: int
    column: int
    cell: Cell


@_exact
@dataclass(frozen=True)
class ClipScore:
    """One clip's scores: metric -> (value, weight); a dataset's score is the weighted mean."""

    name: str
    recording: str
    frames: int
    values: Mapping[str, tuple[float, float]]


@_exact
@dataclass(frozen=True)
class Scored:
    """What a number stands on: how much was scored, missed, padded and left out.

    missed: joint detections that were NaN; padded: frames that were zero padding; dropped:
    frames at the end of clips that no window covered; sampled: share of frames used as keyframes.
    """

    clips: int
    frames: int
    joints: int
    missed: int = 0
    padded: int = 0
    dropped: int = 0
    sampled: float = 0.0


@_exact
@dataclass(frozen=True)
class Result:
    """What a cell produced. `status` is 'failed' when `error` tells why there are no numbers.

    metrics: in the metric's unit (mm, mm/frame^2, share of joints); parameters: number of values
    learned; cost: what the method costs (`bench.cost`), by name, as far as it is known; chosen:
    penalties chosen on validation; curve: one entry per evaluation during training (windows,
    loss, selection error); dataset: title, origin, standin, notes, space, fps; provenance:
    versions, hardware, commit, device, threads, seconds.
    """

    cell: Cell
    status: Literal["done", "failed"]
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    clips: tuple[ClipScore, ...] = ()
    scored: Scored | None = None
    parameters: int = 0
    cost: Mapping[str, float] = field(default_factory=dict)
    chosen: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    dataset: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stored(Result):
    """A result in its file; those of earlier versions have no digest."""

    digest: str | None = None


_FILE = Form(_Stored, FORMAT, "results", "not a result file", "delete it to compute it anew")


def to_json(result: Result) -> str:
    """A result as JSON text; numbers round-trip exactly."""
    said = {"format": FORMAT, **asdict(result)}
    return json.dumps({**said, "digest": _digest(said)}, indent=1, sort_keys=True)


def _digest(said: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with any number or word of a result."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def from_json(text: str, file: object = None) -> Result:
    """The result in a JSON text; BadInput when it is not one."""
    stored = _FILE.parse(text, file)
    if stored.digest is not None:
        raw = json.loads(text)
        if raw.pop("digest") != _digest(raw):
            raise BadInput(
                "not the result that was written",
                file=file,
                found="another digest",
                hint="delete it to compute it anew",
            )
    return Result(**{each.name: getattr(stored, each.name) for each in fields(Result)})


def check_writable(folder: Path) -> None:
    """Raise BadInput unless the folder can be written, or made; makes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = errno.EACCES if there.is_dir() else errno.ENOTDIR
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            why = errno.EROFS
        raise BadInput(
            "the output folder cannot be written",
            file=folder,
            found=os.strerror(why),
            hint="choose another with --out",
        )


class Results:
    """The result files of one output folder, `FOLDER/results/KEY.json`."""

    def __init__(self, folder: Path) -> None:
        """folder: the output folder; nothing is made before something is stored."""
        self.folder = folder / "results"

    def path(self, cell: Cell) -> Path:
        """Where the cell's result lies."""
        return self.folder / f"{cell.key}.json"

    def get(self, cell: Cell, say: Callable[[str], None] = lambda _line: None) -> Result | None:
        """The stored result; None when there is none or its file is damaged.

        say: receives one line about a file that is: which one and what is wrong with it.
        """
        path = self.path(cell)
        try:
            result = from_json(path.read_text(encoding="utf-8"), path)
            if result.cell.key != cell.key:
                raise BadInput("the result of another cell", file=path, found=result.cell.key)
        except FileNotFoundError:
            return None
        except (BadInput, UnicodeDecodeError, OSError) as error:
            said = str(error) if isinstance(error, BadInput) else f"{path}: {error}"
            say(f"{said}; it counts as absent")
            return None
        return result

    def stamp(self, cell: Cell) -> tuple[int, ...] | None:
        """Changes whenever a result is stored; None while there is none."""
        try:
            found = self.path(cell).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def put(self, result: Result) -> Path:
        """Store a result so that a kill at any instant leaves the old file or the new one.

        BadInput when it cannot be written.
        """
        path = self.path(result.cell)
        write_whole(
            path,
            to_json(result),
            what="a result",
            hint="make room; the same command goes on from there",
        )
        return path
